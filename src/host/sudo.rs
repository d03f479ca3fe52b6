//! Doing what only root may do.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use super::Host;
use super::process::{ProcessError, detach, run};
use crate::sync::lock;

/// How long a check may take: sudo itself waits two seconds after a wrong password, PAM modules may more.
const CHECK_LIMIT: Duration = Duration::from_secs(10);

/// A way to run programs as root: directly where this process is root's, else through sudo.
#[derive(Debug)]
pub struct Sudo {
    host: Host,
    root: bool,
    /// Kept in memory only, and never shown: not in a log, not among the arguments of a process.
    password: Mutex<Option<Secret>>,
}

struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl Sudo {
    /// With the password of this process's user, where sudo wants one.
    pub fn new(host: &Host, password: Option<String>) -> Self {
        let root = host.is_this() && nix::unistd::geteuid().is_root();
        Self { host: host.clone(), root, password: Mutex::new(password.map(Secret)) }
    }

    /// Takes another password, or forgets it.
    pub fn set_password(&self, password: Option<String>) {
        *lock(&self.password) = password.map(Secret);
    }

    /// Whether programs can be run as root.
    pub async fn check(&self) -> bool {
        if self.root || self.host.program("sudo").is_none() {
            return self.root;
        }
        // Also right after a good one a wrong password is to be found out.
        let fresh = lock(&self.password).is_some();
        self.run_with(if fresh { &["-k"] } else { &[] }, "true", &[], CHECK_LIMIT).await.is_ok()
    }

    /// Runs a program as root, as [`run`] does. Where there is no sudo it is run all the same: it may have its
    /// own way to the rights (polkit).
    ///
    /// # Errors
    /// Where it is not installed, sudo refuses, or it fails.
    pub async fn run(
        &self,
        program: &str,
        arguments: &[&str],
        limit: Duration,
    ) -> Result<String, ProcessError> {
        self.run_with(&[], program, arguments, limit).await
    }

    /// Starts a program as root that outlives this one, as [`detach`] does.
    ///
    /// # Errors
    /// Where it is not installed or cannot be started.
    pub fn detach(&self, program: &str, arguments: &[&str]) -> Result<(), ProcessError> {
        let Line { program, words, input } = self.line(&[], program, arguments)?;
        detach(program, &words, &input)
    }

    async fn run_with(
        &self,
        options: &[&str],
        program: &str,
        arguments: &[&str],
        limit: Duration,
    ) -> Result<String, ProcessError> {
        let Line { program, words, input } = self.line(options, program, arguments)?;
        run(program, &words, &input, limit).await
    }

    /// What is to be started to run a program as root.
    fn line(&self, options: &[&str], program: &str, arguments: &[&str]) -> Result<Line, ProcessError> {
        let path = match program.starts_with('/') {
            true => self.host.path(program),
            false => self.host.program(program).ok_or_else(|| ProcessError::Missing(program.to_owned()))?,
        };
        let arguments = arguments.iter().map(OsString::from);
        let sudo = if self.root { None } else { self.host.program("sudo") };
        let Some(sudo) = sudo else {
            return Ok(Line { program: path, words: arguments.collect(), input: String::new() });
        };
        let password = lock(&self.password).as_ref().map(|secret| format!("{}\n", secret.0));
        let how: &[&str] = if password.is_some() { &["-S", "-p", ""] } else { &["-n"] };
        let words = how.iter().chain(options).chain(&["--"]).map(OsString::from);
        let words = words.chain([path.into_os_string()]).chain(arguments).collect();
        Ok(Line { program: sudo, words, input: password.unwrap_or_default() })
    }
}

/// A command with its input.
struct Line {
    program: PathBuf,
    words: Vec<OsString>,
    input: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::Tree;

    /// A sudo that takes the password "right".
    const SUDO: &str = "@@ /usr/bin/sudo\n#!/bin/sh\n\
        case $1 in -n) echo 'sudo: a password is required' >&2; exit 1;; esac\n\
        read -r password\n\
        if [ \"$password\" != right ]; then echo 'sudo: no password was provided' >&2; exit 1; fi\n\
        while [ \"$1\" != -- ]; do shift; done; shift; echo \"root: $(basename \"$1\") $2\"\n\
        @@ /usr/bin/true\n#!/bin/sh\n@@ /usr/bin/systemctl\n#!/bin/sh\necho plain\n";

    #[test]
    fn the_password_opens_it() {
        let tree = Tree::unpack(SUDO);
        let sudo = Sudo::new(tree.host(), None);
        smol::block_on(async {
            assert!(!sudo.check().await);
            sudo.set_password(Some("wrong".into()));
            assert!(!sudo.check().await);
            let error = sudo.run("systemctl", &["x"], CHECK_LIMIT).await.unwrap_err();
            assert_eq!(error.to_string(), "sudo: sudo: no password was provided");
            sudo.set_password(Some("right".into()));
            assert!(sudo.check().await);
            assert_eq!(sudo.run("systemctl", &["x"], CHECK_LIMIT).await.unwrap(), "root: systemctl x\n");
            assert!(!format!("{sudo:?}").contains("right"));
        });
    }

    #[test]
    fn without_sudo_programs_are_run_as_they_are() {
        let tree = Tree::unpack("@@ /usr/bin/systemctl\n#!/bin/sh\necho plain\n@@ /bin/true\n#!/bin/sh\n");
        let sudo = Sudo::new(tree.host(), None);
        let printed = smol::block_on(sudo.run("systemctl", &[], CHECK_LIMIT)).unwrap();
        assert_eq!(printed, "plain\n");
        assert!(!smol::block_on(sudo.check()));
    }
}
