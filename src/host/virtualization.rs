//! Whether this is a container, a virtual machine or bare metal.
//!
//! Told from files alone, so it also works where there is no systemd to ask. The identifiers are those of
//! `systemd-detect-virt`.

use procfs::FromRead;
use procfs::ProcessCGroups;
use procfs::process::MountInfo;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::Host;

/// What the system runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VirtType {
    /// Bare metal.
    None,
    /// A container shares the kernel of its host, so it cannot shut the machine down.
    Container,
    /// A virtual machine.
    Vm,
}

/// `virtualization` of spec api.md §5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Virtualization {
    /// The kind.
    pub virt_type: VirtType,
    /// The software (`docker`, `kvm`), or `none`.
    pub identifier: &'static str,
}

impl Serialize for Virtualization {
    /// The identifier has two names: `virt_identifier` on the wire, `virt_id` in the documentation
    /// (spec behaviour.md §25).
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Virtualization", 3)?;
        object.serialize_field("virt_type", &self.virt_type)?;
        object.serialize_field("virt_identifier", self.identifier)?;
        object.serialize_field("virt_id", self.identifier)?;
        object.end()
    }
}

impl Virtualization {
    /// Looks for the marks that containers and virtual machines leave. A container in a virtual machine is a
    /// container: the innermost counts.
    pub fn of(host: &Host) -> Self {
        if let Some(identifier) = container(host) {
            return Self { virt_type: VirtType::Container, identifier };
        }
        if let Some(identifier) = vm(host) {
            return Self { virt_type: VirtType::Vm, identifier };
        }
        Self { virt_type: VirtType::None, identifier: "none" }
    }

    /// Whether this is a container.
    pub fn is_container(&self) -> bool {
        self.virt_type == VirtType::Container
    }
}

/// Names of container managers as they appear in cgroup paths and in the variable `container`, each with its
/// identifier; `lxc-libvirt` stands before the `lxc` that it contains.
const CONTAINERS: [(&str, &str); 11] = [
    ("docker", "docker"),
    ("lxc-libvirt", "lxc-libvirt"),
    ("lxc", "lxc"),
    ("libpod", "podman"),
    ("podman", "podman"),
    ("systemd-nspawn", "systemd-nspawn"),
    ("kubepods", "docker"),
    ("openvz", "openvz"),
    ("proot", "proot"),
    ("rkt", "rkt"),
    ("wsl", "wsl"),
];

fn container(host: &Host) -> Option<&'static str> {
    // WSL runs the distribution in a container of a hidden machine.
    let release = host.line("/proc/sys/kernel/osrelease").unwrap_or_default();
    if release.contains("Microsoft") || release.contains("WSL") {
        return Some("wsl");
    }
    // systemd writes what its manager told it; that also is in the environment of process 1.
    let told = host.line("/run/systemd/container").or_else(|| container_variable(host));
    if let Some(told) = told {
        let known = CONTAINERS.iter().find(|(name, _)| told.contains(name));
        return Some(known.map_or("container-other", |(_, identifier)| identifier));
    }
    if host.exists("/.dockerenv") || host.exists("/.dockerinit") {
        return Some("docker");
    }
    if host.exists("/run/.containerenv") {
        return Some("podman");
    }
    if host.exists("/proc/vz") && !host.exists("/proc/bc") {
        return Some("openvz");
    }
    cgroup_of_init(host).or_else(|| lxcfs(host)).or_else(|| outer_pid(host))
}

fn container_variable(host: &Host) -> Option<String> {
    let environment = host.text("/proc/1/environ")?;
    let value = environment.split('\0').find_map(|entry| entry.strip_prefix("container="))?;
    (!value.is_empty()).then(|| value.to_owned())
}

/// With cgroup v1, and with v2 where the namespace is shared, the path of process 1 names the manager.
fn cgroup_of_init(host: &Host) -> Option<&'static str> {
    let groups = ProcessCGroups::from_read(host.bytes("/proc/1/cgroup")?.as_slice()).ok()?;
    let manager = |path: &str| {
        // "init.scope", "system.slice/docker.service": a host that runs the manager is no container
        let path = path.trim_end_matches('/');
        if path.is_empty() || path.ends_with(".scope") && !path.contains('-') || path.ends_with(".service") {
            return None;
        }
        CONTAINERS.iter().find(|(name, _)| path.contains(name)).map(|(_, identifier)| *identifier)
    };
    groups.0.iter().find_map(|group| manager(&group.pathname))
}

/// LXC and LXD lay files of lxcfs over `/proc/cpuinfo` and others.
fn lxcfs(host: &Host) -> Option<&'static str> {
    let mounts = host.text("/proc/self/mountinfo")?;
    let over_proc = mounts.lines().filter_map(|line| MountInfo::from_line(line).ok());
    let mut of_lxcfs = over_proc.filter(|m| m.fs_type == "fuse.lxcfs" && m.mount_point.starts_with("/proc"));
    of_lxcfs.next().map(|_| "lxc")
}

/// Kernels before 4.15 show in `sched` which number process 1 has outside: `init (4711, #threads: 1)`.
fn outer_pid(host: &Host) -> Option<&'static str> {
    let line = host.line("/proc/1/sched")?;
    let (_, rest) = line.rsplit_once('(')?;
    let (pid, _) = rest.split_once(',')?;
    let pid: u32 = pid.trim().parse().ok()?;
    (pid != 1).then_some("lxc")
}

/// What the firmware of virtual machines calls itself (DMI vendor and product names).
const VENDORS: [(&str, &str); 13] = [
    ("KVM", "kvm"),
    ("OpenStack", "kvm"),
    ("KubeVirt", "kvm"),
    ("Amazon EC2", "amazon"),
    ("QEMU", "qemu"),
    ("VMware", "vmware"),
    ("VirtualBox", "oracle"),
    ("innotek", "oracle"),
    ("Xen", "xen"),
    ("Bochs", "bochs"),
    ("Parallels", "parallels"),
    ("BHYVE", "bhyve"),
    ("Google Compute Engine", "google"),
];

fn vm(host: &Host) -> Option<&'static str> {
    for name in ["product_name", "sys_vendor", "board_vendor", "bios_vendor", "product_version"] {
        let Some(value) = host.line(format!("/sys/class/dmi/id/{name}")) else { continue };
        if value == "Virtual Machine" {
            return Some("microsoft");
        }
        if let Some((_, identifier)) = VENDORS.iter().find(|(vendor, _)| value.starts_with(vendor)) {
            // QEMU's firmware does not tell whether KVM runs it; the flag of the hypervisor does.
            return Some(match *identifier {
                "qemu" if hypervisor_flag(host) => "kvm",
                identifier => identifier,
            });
        }
    }
    if host.line("/sys/hypervisor/type").as_deref() == Some("xen") {
        // The first domain is the bare metal of a Xen host.
        let control = host.text("/proc/xen/capabilities").unwrap_or_default();
        return (!control.contains("control_d")).then_some("xen");
    }
    match host.line("/proc/device-tree/hypervisor/compatible").as_deref() {
        Some("linux,kvm") => return Some("kvm"),
        Some("xen") => return Some("xen"),
        Some(_) => return Some("vm-other"),
        None => {}
    }
    let tree = host.names("/proc/device-tree");
    if tree.iter().any(|name| name.starts_with("fw-cfg")) {
        return Some("qemu");
    }
    let cpuinfo = host.text("/proc/cpuinfo").unwrap_or_default();
    if cpuinfo.lines().any(|line| line.starts_with("vendor_id") && line.contains("User Mode Linux")) {
        return Some("uml");
    }
    hypervisor_flag(host).then_some("vm-other")
}

/// x86: whether the CPU says that there is a hypervisor.
fn hypervisor_flag(host: &Host) -> bool {
    let cpuinfo = host.text("/proc/cpuinfo").unwrap_or_default();
    let flags = cpuinfo.lines().find_map(|line| line.strip_prefix("flags"));
    flags.is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::Tree;

    fn identify(tree: &str) -> (VirtType, &'static str) {
        let tree = Tree::unpack(tree);
        let found = Virtualization::of(tree.host());
        (found.virt_type, found.identifier)
    }

    #[test]
    fn containers() {
        let cases = [
            ("@@ /.dockerenv\n", "docker"),
            ("@@ /run/.containerenv\n", "podman"),
            ("@@ /run/systemd/container\nsystemd-nspawn\n", "systemd-nspawn"),
            ("@@ /run/systemd/container\nsomething\n", "container-other"),
            ("@@ /proc/1/environ\nPATH=/bin\\0container=lxc\\0\n", "lxc"),
            ("@@ /proc/1/cgroup\n11:cpu:/docker/abcdef\n", "docker"),
            ("@@ /proc/1/cgroup\n0::/kubepods/besteffort/pod1/x\n", "docker"),
            ("@@ /proc/1/sched\ninit (4711, #threads: 1)\n-----\n", "lxc"),
            ("@@ /proc/sys/kernel/osrelease\n5.15.90.1-microsoft-standard-WSL2\n", "wsl"),
            (
                "@@ /proc/self/mountinfo\n9 1 0:5 /proc/cpuinfo /proc/cpuinfo rw - fuse.lxcfs lxcfs rw\n",
                "lxc",
            ),
        ];
        for (tree, identifier) in cases {
            assert_eq!(identify(tree), (VirtType::Container, identifier), "{tree}");
        }
    }

    #[test]
    fn virtual_machines() {
        let cases = [
            ("@@ /sys/class/dmi/id/sys_vendor\nQEMU\n", "qemu"),
            ("@@ /sys/class/dmi/id/sys_vendor\nQEMU\n@@ /proc/cpuinfo\nflags : fpu hypervisor\n", "kvm"),
            ("@@ /sys/class/dmi/id/product_name\nVirtualBox\n", "oracle"),
            ("@@ /sys/class/dmi/id/product_name\nVirtual Machine\n", "microsoft"),
            ("@@ /proc/device-tree/hypervisor/compatible\nlinux,kvm\\0\n", "kvm"),
            ("@@ /sys/hypervisor/type\nxen\n", "xen"),
            ("@@ /proc/cpuinfo\nflags\t\t: fpu vme hypervisor\n", "vm-other"),
        ];
        for (tree, identifier) in cases {
            assert_eq!(identify(tree), (VirtType::Vm, identifier), "{tree}");
        }
    }

    #[test]
    fn bare_metal() {
        let cases = [
            "",
            "@@ /proc/1/cgroup\n0::/init.scope\n",
            // a host on which docker runs
            "@@ /proc/1/cgroup\n0::/system.slice/docker.service\n",
            // busybox and vendor systems name their first process as they like
            "@@ /proc/1/sched\nprocd (1, #threads: 1)\n",
            "@@ /sys/hypervisor/type\nxen\n@@ /proc/xen/capabilities\ncontrol_d\n",
            "@@ /sys/class/dmi/id/sys_vendor\nDell Inc.\n@@ /proc/cpuinfo\nflags : fpu vmx\n",
        ];
        for tree in cases {
            assert_eq!(identify(tree), (VirtType::None, "none"), "{tree}");
        }
    }

    #[test]
    fn both_names_on_the_wire() {
        let found = Virtualization { virt_type: VirtType::Vm, identifier: "kvm" };
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(json, r#"{"virt_type":"vm","virt_identifier":"kvm","virt_id":"kvm"}"#);
    }
}
