//! The user that this process belongs to.

use super::Host;

/// The name by `/etc/passwd`, else the number.
pub fn user_name(host: &Host) -> String {
    let id = nix::unistd::geteuid().to_string();
    let users = host.text("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number == id && !name.is_empty()).then(|| name.to_owned())
    });
    name.unwrap_or(id)
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
