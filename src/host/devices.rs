//! What USB, serial and video devices have in common: their place in sysfs and their links in `/dev`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::Host;

/// How many folders up a USB device is looked for above one of its interfaces.
const MAX_DEPTH: usize = 16;

/// A USB device's `bus:device`, which is how device lists refer to each other (spec api.md §5).
pub(crate) fn usb_location(host: &Host, folder: &Path) -> Option<String> {
    let bus: u32 = host.number(folder.join("busnum"))?;
    let device: u32 = host.number(folder.join("devnum"))?;
    Some(format!("{bus}:{device}"))
}

/// The location of the USB device that a sysfs folder (links are followed) belongs to, or `None` where it is not
/// below one.
pub(crate) fn usb_parent(host: &Host, folder: &Path) -> Option<String> {
    let root = host.path("/").canonicalize().ok()?;
    let real = host.path(folder).canonicalize().ok()?;
    let inside = Path::new("/").join(real.strip_prefix(root).ok()?);
    inside.ancestors().take(MAX_DEPTH).find_map(|folder| usb_location(host, folder))
}

/// A node in `/dev` that a device class has.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Its name: `ttyACM0`.
    pub(crate) name: String,
    /// The link that names the socket that the device is plugged into.
    pub(crate) by_path: Option<PathBuf>,
    /// The link that names the device itself.
    pub(crate) by_id: Option<PathBuf>,
}

/// The nodes of `/sys/class/<class>` in natural order, with their links in `/dev/<links_in>`.
pub(crate) fn nodes(host: &Host, class: &str, links_in: &str) -> Vec<Node> {
    let mut by_path = links(host, &format!("/dev/{links_in}/by-path"));
    let mut by_id = links(host, &format!("/dev/{links_in}/by-id"));
    let mut names = host.names(Path::new("/sys/class").join(class));
    names.sort_by(|a, b| node_order(a).cmp(&node_order(b)));
    let node = |name: String| Node { by_path: by_path.remove(&name), by_id: by_id.remove(&name), name };
    names.into_iter().map(node).collect()
}

/// The links in a folder such as `/dev/serial/by-id`: node name to path of the link. Where two links lead to the
/// same node, the first by name counts.
fn links(host: &Host, folder: &str) -> HashMap<String, PathBuf> {
    let mut links = HashMap::new();
    for name in host.names(folder) {
        let path = Path::new(folder).join(name);
        if let Some(node) = host.link_name(&path) {
            links.entry(node).or_insert(path);
        }
    }
    links
}

/// Natural order for node names: `video2` before `video10`.
fn node_order(name: &str) -> (&str, u32) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (stem, name[stem.len()..].parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_names_in_order() {
        let mut names = ["video10", "video2", "ttyS0", "video", "video99999999999"];
        names.sort_by_key(|name| node_order(name));
        assert_eq!(names, ["ttyS0", "video", "video99999999999", "video2", "video10"]);
    }
}
