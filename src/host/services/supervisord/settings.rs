//! How to reach supervisord: its configuration file.

use std::path::{Path, PathBuf};

use super::super::super::Host;

/// Where the configuration is, by custom.
const CONFIGS: [&str; 3] =
    ["/etc/supervisord.conf", "/etc/supervisor/supervisord.conf", "/etc/supervisor.conf"];

/// The address of the interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A unix socket.
    Unix(PathBuf),
    /// `host:port`
    Tcp(String),
}

/// The address and the credentials for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) address: Address,
    pub(super) credentials: Option<(String, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { address: Address::Unix("/var/run/supervisor.sock".into()), credentials: None }
    }
}

impl Settings {
    /// Reads the given configuration, or the first of the usual ones.
    pub(super) fn read(host: &Host, config: Option<&Path>) -> Self {
        let usual = CONFIGS.iter().map(Path::new);
        let read = |path: &Path| Some((path.to_owned(), host.text(path)?));
        let found = match config {
            Some(path) => read(path),
            None => usual.into_iter().find_map(read),
        };
        found.map_or_else(Self::default, |(path, text)| {
            Self::parse(&text, path.parent().unwrap_or(Path::new("/")))
        })
    }

    /// The sections of the server: its unix socket, else its port.
    fn parse(text: &str, here: &Path) -> Self {
        let value = |section: &str, option: &str| {
            let value = option_of(text, section, option)?;
            Some(value.replace("%(here)s", &here.to_string_lossy()))
        };
        let credentials = |section: &str| value(section, "username").zip(value(section, "password"));
        if let Some(file) = value("unix_http_server", "file") {
            return Self {
                address: Address::Unix(file.into()),
                credentials: credentials("unix_http_server"),
            };
        }
        if let Some(port) = value("inet_http_server", "port") {
            let address = match port.rsplit_once(':') {
                Some(("*" | "", port)) => format!("127.0.0.1:{port}"),
                Some(_) => port,
                None => format!("127.0.0.1:{port}"),
            };
            return Self { address: Address::Tcp(address), credentials: credentials("inet_http_server") };
        }
        Self::default()
    }
}

/// An option of an INI file as supervisord writes them: a comment begins with `;` after a blank.
fn option_of(text: &str, section: &str, option: &str) -> Option<String> {
    let mut inside = false;
    for line in text.lines() {
        let line = line.split_once(" ;").map_or(line, |(line, _)| line).trim();
        if let Some(name) = line.strip_prefix('[') {
            inside = name.strip_suffix(']') == Some(section);
        } else if inside
            && let Some((name, value)) = line.split_once(['=', ':'])
            && name.trim() == option
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn socket_port_and_neither() {
        let here = Path::new("/etc/x");
        let unix = Settings::parse(
            "[supervisord]\nfile=/no\n[unix_http_server]\nfile=%(here)s/s.sock ; here\n;username=x\n",
            here,
        );
        assert_eq!(unix, Settings { address: Address::Unix("/etc/x/s.sock".into()), credentials: None });
        let tcp = Settings::parse("[inet_http_server]\nport = *:9001\nusername=a\npassword=b=c\n", here);
        let credentials = Some(("a".into(), "b=c".into()));
        assert_eq!(tcp, Settings { address: Address::Tcp("127.0.0.1:9001".into()), credentials });
        assert_eq!(Settings::parse("[x]\n", here), Settings::default());
    }

    proptest! {
        #[test]
        fn any_text(text: String) {
            Settings::parse(&text, Path::new("/"));
        }
    }
}
