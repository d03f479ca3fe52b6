//! Names of users and groups.

use super::Host;

/// The user that this process belongs to: its name by `/etc/passwd`, else its number.
pub fn user_name(host: &Host) -> String {
    let id = nix::unistd::geteuid().as_raw();
    name_of(id, "/etc/passwd", host).unwrap_or_else(|| id.to_string())
}

/// The name of a group by `/etc/group`.
pub(super) fn group_name(host: &Host, id: u32) -> Option<String> {
    name_of(id, "/etc/group", host)
}

/// Both files have lines of a name, a password and a number, with colons between them (passwd(5), group(5)).
fn name_of(id: u32, file: &str, host: &Host) -> Option<String> {
    host.text(file)?.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number.parse() == Ok(id) && !name.is_empty()).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::Tree;

    #[test]
    fn names_and_numbers() {
        let id = nix::unistd::geteuid();
        let tree = Tree::unpack(&format!(
            "@@ /etc/passwd\nbroken\nother:x:987654:1::/:/bin/sh\npi:x:{id}:{id}::/:/bin/sh\n"
        ));
        assert_eq!(user_name(tree.host()), "pi");
        assert_eq!(user_name(Tree::unpack("").host()), id.to_string());
    }
}
