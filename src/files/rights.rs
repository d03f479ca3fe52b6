//! Which role may see and change what, by root. G-code files are an operator's; everything else, the configuration
//! above all, is an administrator's to change.

use super::list::GCODES;
use super::path::RootPath;
use crate::api::Role;

/// The root whose files may hold passwords.
const CONFIG: &str = "config";

/// The root of the logs, which tell much of the machine.
const LOGS: &str = "logs";

/// Folders of the configuration from which front-ends take their looks.
const THEMES: [&str; 2] = [".theme", ".fluidd-theme"];

/// The role that may change files of a root.
pub fn to_write(root: &str) -> Role {
    if root == GCODES { Role::Operator } else { Role::Admin }
}

/// The role that may change what lies at a path, `root/directory/name`.
pub fn to_write_path(path: &str) -> Role {
    RootPath::parse(path).map_or(Role::Admin, |at| to_write(&at.root))
}

/// The role that may see the content of a file, `root/directory/name`. Lists of names are for everybody who may
/// look.
pub fn to_read(path: &str) -> Role {
    // what is no path leads nowhere
    let Ok(at) = RootPath::parse(path) else { return Role::ReadOnly };
    let is_theme = || at.path.components().next().is_some_and(|folder| THEMES.contains(&folder));
    match &*at.root {
        CONFIG if !is_theme() => Role::Admin,
        LOGS => Role::Operator,
        // the logs under names of their own
        file if at.path.is_root() && file.ends_with(".log") => Role::Operator,
        _ => Role::ReadOnly,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_have_their_roles() {
        for (path, role) in [
            ("gcodes/a.gcode", Role::ReadOnly),
            ("gcodes/../config/moonraker.conf", Role::Admin),
            ("/config//moonraker.conf", Role::Admin),
            ("config/./printer.cfg", Role::Admin),
            ("config/.theme/default.json", Role::ReadOnly),
            ("config/.theme/../moonraker.conf", Role::Admin),
            ("config/x/.theme/a", Role::Admin),
            ("logs/klippy.log", Role::Operator),
            ("klippy.log", Role::Operator),
            ("docs/a.md", Role::ReadOnly),
        ] {
            assert_eq!(to_read(path), role, "{path}");
        }
        assert_eq!(to_write_path("gcodes/a"), Role::Operator);
        for path in ["config/a", "gcodes/../config/a", "/config", "docs/a", ""] {
            assert_eq!(to_write_path(path), Role::Admin, "{path}");
        }
    }
}
