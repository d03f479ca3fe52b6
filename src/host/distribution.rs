//! Which Linux it is: `os-release` and the kernel.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Host;

/// The most entries taken from `os-release`; distributions have about 20.
const MAX_ENTRIES: usize = 128;

/// The distribution (`distribution` of spec api.md §5). What is not known is an empty text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Distribution {
    /// Full name: `Debian GNU/Linux 12 (bookworm)`.
    pub name: String,
    /// `debian`, `raspbian`, `buildroot`.
    pub id: String,
    /// `12`, `24.04`.
    pub version: String,
    /// `version` in parts.
    pub version_parts: VersionParts,
    /// What it is derived from: `debian`.
    pub like: String,
    /// `bookworm`.
    pub codename: String,
    /// All of `os-release`, keys in lower case.
    pub release_info: BTreeMap<String, String>,
    /// `uname -r`.
    pub kernel_version: String,
}

/// A version in parts. The third one has two names: `build_number` on the wire, `release` in the documentation
/// (spec behaviour.md §25).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct VersionParts {
    pub major: String,
    pub minor: String,
    pub build_number: String,
    pub release: String,
}

impl Distribution {
    /// Reads `/etc/os-release` (or `/usr/lib/os-release`) and the kernel's release.
    pub fn of(host: &Host) -> Self {
        let text =
            host.text("/etc/os-release").or_else(|| host.text("/usr/lib/os-release")).unwrap_or_default();
        let info = parse(&text);
        let get = |key: &str| info.get(key).cloned().unwrap_or_default();
        let version = get("version_id");
        let kernel_version = host.line("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            name: info.get("pretty_name").or_else(|| info.get("name")).cloned().unwrap_or_default(),
            id: get("id"),
            version_parts: VersionParts::of(&version),
            version,
            like: get("id_like"),
            codename: codename(&info),
            kernel_version,
            release_info: info,
        }
    }
}

impl VersionParts {
    fn of(version: &str) -> Self {
        let mut parts = version.splitn(3, '.').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        let (major, minor, release) = (next(), next(), next());
        Self { major, minor, build_number: release.clone(), release }
    }
}

/// The code name, which older systems have only in the version's parentheses: `10 (buster)`.
fn codename(info: &BTreeMap<String, String>) -> String {
    let named = info.get("version_codename").or_else(|| info.get("ubuntu_codename"));
    if let Some(name) = named {
        return name.clone();
    }
    let version = info.get("version").map_or("", String::as_str);
    let inner = version.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    inner.map_or("", |(name, _)| name.trim()).to_owned()
}

/// os-release(5): lines of `KEY=value`, the value quoted as in a shell.
fn parse(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| {
            let (key, value) = line.trim().split_once('=')?;
            let valid = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            valid.then(|| (key.to_ascii_lowercase(), unquote(value)))
        })
        .take(MAX_ENTRIES)
        .collect()
}

/// Takes one level of shell quoting off. In single quotes nothing is special; otherwise a backslash takes the
/// next character as it is.
fn unquote(value: &str) -> String {
    if let Some(inner) = value.strip_prefix('\'') {
        return inner.strip_suffix('\'').unwrap_or(inner).to_owned();
    }
    let inner = match value.strip_prefix('"') {
        Some(inner) => inner.strip_suffix('"').unwrap_or(inner),
        None => value,
    };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quoting() {
        assert_eq!(unquote("plain"), "plain");
        assert_eq!(unquote("\"Debian GNU/Linux\""), "Debian GNU/Linux");
        assert_eq!(unquote("'It is $5'"), "It is $5");
        assert_eq!(unquote(r#""a \"b\" \$c""#), r#"a "b" $c"#);
        assert_eq!(unquote("\"open"), "open");
        assert_eq!(unquote("\""), "");
        assert_eq!(unquote("\\"), "");
    }

    #[test]
    fn version_in_parts() {
        let parts = VersionParts::of("2026.02.1-rc2");
        assert_eq!((parts.major.as_str(), parts.minor.as_str()), ("2026", "02"));
        assert_eq!((parts.build_number.as_str(), parts.release.as_str()), ("1-rc2", "1-rc2"));
        assert_eq!(VersionParts::of(""), VersionParts::default());
    }

    #[test]
    fn code_name_in_parentheses() {
        assert_eq!(codename(&parse("VERSION=\"10 (buster)\"\n")), "buster");
        assert_eq!(codename(&parse("VERSION=\"10\"\n")), "");
        assert_eq!(codename(&parse("VERSION=\"10 (x)\"\nVERSION_CODENAME=y\n")), "y");
    }

    proptest! {
        #[test]
        fn any_text(text: String) {
            let _ = codename(&parse(&text));
            let _ = VersionParts::of(&text);
        }
    }
}
