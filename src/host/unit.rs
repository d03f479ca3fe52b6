//! Which unit of systemd a process belongs to.

use procfs::{FromRead, ProcessCGroups};

use super::Host;

/// The name, without `.service`, of the service that systemd started a process in; `None` where it was started
/// otherwise. The kernel tells by the control group, so nobody needs to be asked.
pub fn unit_of_process(host: &Host, pid: u32) -> Option<String> {
    let groups = ProcessCGroups::from_read(host.bytes(format!("/proc/{pid}/cgroup"))?.as_slice()).ok()?;
    let ours = |group: &&procfs::ProcessCGroup| {
        group.hierarchy == 0 || group.controllers.iter().any(|name| name == "name=systemd")
    };
    groups.0.iter().filter(ours).find_map(|group| service_of_path(&group.pathname))
}

/// The service in a path such as `/system.slice/klipper.service`. A service may have made groups of its own
/// below, and services of users are below their manager `user@1000.service`, which is none itself.
fn service_of_path(path: &str) -> Option<String> {
    let name = path.rsplit('/').find_map(|part| part.strip_suffix(".service"))?;
    (!name.is_empty() && !name.starts_with("user@")).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::Tree;

    #[test]
    fn services_of_paths() {
        let cases = [
            ("/system.slice/klipper.service", Some("klipper")),
            ("/system.slice/system-klipper.slice/klipper@2.service", Some("klipper@2")),
            ("/system.slice/moonraker.service/worker", Some("moonraker")),
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/klipper-1.service", Some("klipper-1")),
            ("/user.slice/user-1000.slice/user@1000.service/session.slice/x.scope", None),
            ("/user.slice/user-1000.slice/session-3.scope", None),
            ("/.service", None),
            ("/", None),
        ];
        for (path, expected) in cases {
            assert_eq!(service_of_path(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn both_versions_of_control_groups() {
        let tree = Tree::unpack(
            "@@ /proc/7/cgroup\n0::/system.slice/klipper.service\n\
             @@ /proc/8/cgroup\n5:cpu:/x\n1:name=systemd:/system.slice/klipper_mcu.service\n0::/\n\
             @@ /proc/9/cgroup\ngarbage\n",
        );
        let unit = |pid| unit_of_process(tree.host(), pid);
        assert_eq!(unit(7).as_deref(), Some("klipper"));
        assert_eq!(unit(8).as_deref(), Some("klipper_mcu"));
        assert_eq!((unit(9), unit(10)), (None, None));
    }
}
