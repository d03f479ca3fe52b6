//! Files with the number of a process, by which init scripts find their daemons.

use std::collections::BTreeMap;

use super::super::Host;
use super::seen::Look;

/// The most assignments that are taken from a script.
const MAX_VARIABLES: usize = 64;
/// The longest value that a variable of a script can have here.
const MAX_VALUE: usize = 4096;

/// The process that a pid file names, if it runs.
pub(super) fn running(host: &Host, path: &str) -> Option<u32> {
    let pid: u32 = host.number(path)?;
    host.exists(format!("/proc/{pid}")).then_some(pid)
}

/// The process that the first of some pid files names, if one runs, with what that goes by: while a process runs its
/// folder in `/proc`, before that the files and where they may come into being.
pub(super) fn look(host: &Host, files: &[String], look: &mut Look) -> Option<u32> {
    for file in files {
        look.note_folder(&host.path(file));
        if let Some(pid) = running(host, file) {
            look.note_process(host, pid);
            return Some(pid);
        }
    }
    for file in files.iter().filter(|file| host.exists(file)) {
        look.note(host.path(file));
    }
    None
}

/// Where an init script has its pid file: what it says itself, then what is the custom.
pub(super) fn candidates(name: &str, script: &str) -> Vec<String> {
    let mut found = assigned(script);
    for folder in ["/run", "/var/run"] {
        found.push(format!("{folder}/{name}.pid"));
        found.push(format!("{folder}/{name}/{name}.pid"));
    }
    found
}

/// The values of a script's variables that are paths of pid files. Only plain assignments are understood, and
/// variables in them: that is how init scripts are written.
fn assigned(script: &str) -> Vec<String> {
    let mut variables = BTreeMap::new();
    let mut found = Vec::new();
    for line in script.lines() {
        let line = line.trim().trim_start_matches("export ").trim_start_matches("local ");
        let Some((name, value)) = line.split_once('=') else { continue };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            continue;
        }
        let Some(value) = expand(value, &variables) else { continue };
        if value.starts_with('/') && value.ends_with(".pid") && !found.contains(&value) {
            found.push(value.clone());
        }
        if variables.len() < MAX_VARIABLES {
            variables.insert(name.to_owned(), value);
        }
    }
    found
}

/// The value of an assignment: one word, quoted or not, with `$NAME` and `${NAME}` replaced. `None` where it is
/// more than that.
fn expand(text: &str, variables: &BTreeMap<String, String>) -> Option<String> {
    let text = match text.chars().next() {
        Some(quote @ ('"' | '\'')) => text.get(1..)?.split_once(quote)?.0,
        _ => text.split([' ', '\t', ';', '#']).next()?,
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, tail) = match after.strip_prefix('{') {
            Some(braced) => braced.split_once('}')?,
            None => {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                after.split_at(end)
            }
        };
        out.push_str(variables.get(name)?);
        if out.len() > MAX_VALUE {
            return None;
        }
        rest = tail;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pid_files_of_scripts() {
        let script = "#!/bin/sh\n# PIDFILE=/wrong.pid\nDAEMON=\"klippy\"\nRUN=/var/run\n\
            PIDFILE=\"$RUN/${DAEMON}.pid\"\nOTHER=$(cat /x.pid)\n  OWN='/tmp/a.pid' # here\nX=$UNKNOWN.pid\n";
        assert_eq!(assigned(script), ["/var/run/klippy.pid", "/tmp/a.pid"]);
        assert_eq!(candidates("x", "")[0], "/run/x.pid");
    }

    #[test]
    fn values_cannot_grow_without_end() {
        let mut script = "A=aaaaaaaaaaaaaaaa\n".to_owned();
        for _ in 0..100 {
            script.push_str("A=$A$A$A$A\n");
        }
        script.push_str("P=/$A.pid\n");
        assert!(assigned(&script).iter().all(|value| value.len() <= 2 * MAX_VALUE));
    }

    proptest! {
        #[test]
        fn any_script(script in "([A-Z]{1,2}=[\"'$\\{\\}A-Z/.pid ;#]{0,20}\n){0,10}") {
            let _ = assigned(&script);
        }
    }
}
