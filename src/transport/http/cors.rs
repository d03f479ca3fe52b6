//! Which other sites' pages may use this server from a browser (spec behaviour.md §4.3).

use std::net::IpAddr;

use http_types::Response;
use tide::http as http_types;

use crate::auth::TrustedClients;

/// What a preflight allows.
const ALLOW_METHODS: &str = "GET, POST, PUT, DELETE, OPTIONS";
const ALLOW_HEADERS: &str = "Origin, Accept, Content-Type, X-Requested-With, X-CRSF-Token, Authorization, \
                             X-Access-Token, X-Api-Key";

/// The origins that are allowed.
#[derive(Debug, Clone, Default)]
pub struct Cors {
    patterns: Vec<String>,
    trusted: TrustedClients,
}

impl Cors {
    /// Allows these origins; `*` in a pattern stands for anything. Patterns that would allow too much are left
    /// out: the second list says which and why. Pages that a trusted client serves under its address are allowed
    /// where anybody is.
    pub fn new(patterns: impl IntoIterator<Item = String>, trusted: TrustedClients) -> (Self, Vec<String>) {
        let (mut taken, mut refused) = (Vec::new(), Vec::new());
        for pattern in patterns {
            let host = pattern.rsplit_once("://").map_or(&*pattern, |(_, host)| host);
            let name = host.split_once(':').map_or(host, |(name, _)| name);
            let top = name.rsplit('.').next().unwrap_or_default();
            if pattern.ends_with('/') {
                refused.push(format!("CORS domain '{pattern}' must not end in '/'"));
            } else if pattern != "*" && name.contains('.') && top.contains('*') {
                refused.push(format!("CORS domain '{pattern}' has a wildcard in its top level label"));
            } else {
                taken.push(pattern);
            }
        }
        (Self { patterns: taken, trusted }, refused)
    }

    /// Whether a page of this origin may. Without patterns none may; with some, also one that a trusted client
    /// serves under its address.
    pub fn allows(&self, origin: &str) -> bool {
        let is_trusted = |address: IpAddr| self.trusted.has_address(address);
        !self.patterns.is_empty()
            && (self.patterns.iter().any(|pattern| matches(pattern, origin))
                || host_of(origin).parse().is_ok_and(is_trusted))
    }

    /// Adds what the browser has to see on any answer to a request of this origin.
    pub(super) fn mark(&self, response: &mut Response, origin: &str) {
        if self.allows(origin) {
            response.insert_header("Access-Control-Allow-Origin", origin);
            response.append_header("Vary", "Origin");
        }
    }

    /// Adds what a preflight is answered with.
    pub(super) fn answer_preflight(response: &mut Response, private_network: bool) {
        response.insert_header("Access-Control-Allow-Methods", ALLOW_METHODS);
        response.insert_header("Access-Control-Allow-Headers", ALLOW_HEADERS);
        if private_network {
            response.insert_header("Access-Control-Allow-Private-Network", "true");
        }
    }
}

/// The host of an origin or `Host` header: without scheme and port, brackets of IPv6 addresses taken off.
pub(super) fn host_of(origin: &str) -> &str {
    let host = origin.rsplit_once("://").map_or(origin, |(_, host)| host);
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    }
}

/// Whether `text` is `pattern` with anything in place of each `*`. Linear in both: the first place where a part
/// fits is as good as any later one.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_origins() {
        for (pattern, origin, allowed) in [
            ("*", "http://anything", true),
            ("http://app.fluidd.xyz", "http://app.fluidd.xyz", true),
            ("http://app.fluidd.xyz", "http://app.fluidd.xyz.evil.org", false),
            ("http://app.fluidd.xyz", "http://appxfluidd.xyz", false),
            ("*.local", "http://printer.local", true),
            ("*.local", "http://printer.local:8080", false),
            ("*://my.mainsail.xyz", "https://my.mainsail.xyz", true),
            ("a*ab", "ab", false),
            ("a*b*c", "a-b-b-c", true),
        ] {
            let (cors, _) = Cors::new([pattern.to_owned()], TrustedClients::default());
            assert_eq!(cors.allows(origin), allowed, "{pattern} {origin}");
        }
    }

    #[test]
    fn dangerous_patterns_are_left_out() {
        let (cors, refused) = Cors::new(["http://x.*".to_owned(), "http://y.z/".to_owned()], trusted());
        assert_eq!((cors.patterns.len(), refused.len()), (0, 2));
        assert!(!cors.allows("http://127.0.0.1"), "without patterns nobody is allowed");
    }

    fn trusted() -> TrustedClients {
        TrustedClients::new(["127.0.0.0/8".to_owned(), "::1".to_owned()]).0
    }

    #[test]
    fn trusted_clients_are_allowed_where_somebody_is() {
        let (cors, _) = Cors::new(["*.local".to_owned()], trusted());
        assert!(cors.allows("http://127.0.0.1:8080") && cors.allows("http://[::1]:80"));
        assert!(!cors.allows("http://10.0.0.1"));
    }

    #[test]
    fn hosts_are_cut_out() {
        for (origin, host) in
            [("http://a.b:80", "a.b"), ("[::1]:7125", "::1"), ("a", "a"), ("https://[fe80::1]", "fe80::1")]
        {
            assert_eq!(host_of(origin), host);
        }
    }
}
