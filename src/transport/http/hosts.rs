//! Names that this machine may be called by.
//!
//! A page of a foreign site can have its own name resolve to this machine's address. The browser then takes this
//! server for a part of that site, and whoever visits it hands his rights to it. What gives it away is the name in
//! the `Host` header (DNS rebinding).

use std::net::IpAddr;

use super::cors::{Cors, host_of, matches};

/// Endings of names that nobody can own on the Internet: RFC 6761, 6762, 8375, ICANN's `.internal`, and those that
/// routers use and ICANN does not give out.
const PRIVATE: [&str; 7] = ["local", "localhost", "lan", "home", "internal", "home.arpa", "localdomain"];

/// The names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts {
    patterns: Vec<String>,
}

impl Hosts {
    /// Takes these names besides those that are always taken; `*` stands for anything.
    pub fn new(patterns: impl IntoIterator<Item = String>) -> Self {
        Self { patterns: patterns.into_iter().map(|pattern| pattern.to_ascii_lowercase()).collect() }
    }

    /// Whether a `Host` header names this machine: by an address, a name without a dot, a private one, the
    /// machine's own, a configured one, or one whose pages may use the server.
    pub fn allow(&self, host: &str, cors: &Cors) -> bool {
        let name = host_of(host).trim_end_matches('.').to_ascii_lowercase();
        let is_private = |ending: &str| {
            name.strip_suffix(ending).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        name.parse::<IpAddr>().is_ok()
            || !name.contains('.')
            || PRIVATE.into_iter().any(is_private)
            || self.patterns.iter().any(|pattern| matches(pattern, &name))
            || ["http", "https"].iter().any(|scheme| {
                cors.allows(&format!("{scheme}://{host}")) || cors.allows(&format!("{scheme}://{name}"))
            })
            || nix::unistd::gethostname().is_ok_and(|own| own.eq_ignore_ascii_case(&*name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allowed(host: &str) -> bool {
        let (cors, _) = Cors::new(["https://my.front-end.test".to_owned()], Default::default());
        Hosts::new(["*.Example.org".to_owned()]).allow(host, &cors)
    }

    #[test]
    fn names_of_this_machine_are_taken() {
        for host in [
            "127.0.0.1",
            "192.168.1.5:7125",
            "[fe80::1]:7125",
            "[::1]",
            "localhost:7125",
            "voron",
            "VORON.local",
            "voron.local.",
            "a.b.lan:80",
            "x.home.arpa",
            "p.example.org",
            "my.front-end.test:7125",
        ] {
            assert!(allowed(host), "{host}");
        }
    }

    #[test]
    fn names_of_others_are_not() {
        for host in [
            "evil.test",
            "evil.test:7125",
            "127.0.0.1.evil.test",
            "voron.local.evil.test",
            "local.evil.test",
            "evillocal.test",
            "x.arpa",
            "example.org.evil.test",
        ] {
            assert!(!allowed(host), "{host}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read(host in ".*") {
            allowed(&host);
        }
    }
}
