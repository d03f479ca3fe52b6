//! Whole machines: `tests/fixtures/host/*.tree` against the JSON that is expected of them.

use std::net::IpAddr;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::fixture::Tree;
use super::*;

/// The boards that there are trees of.
const BOARDS: [&str; 8] = ["pi3", "pi4", "pi5", "cb1", "cb1-maker", "t113", "x86", "docker"];

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/host").join(name)
}

/// Everything that is told of a machine. What the kernel tells by other ways than files is made up.
fn report(host: &Host) -> Value {
    let own = |name: &str| {
        let ips = ["192.168.1.127", "2001:db8::5", "fe80::1c2b:3aff:fe4d:5e6f"];
        ips.map(|ip| (name.to_owned(), ip.parse::<IpAddr>().unwrap()))
    };
    let addresses: Vec<_> = ["eth0", "wlan0", "end0", "enp1s0"].into_iter().flat_map(own).collect();
    let timing = |index| Ok(BitTiming { bitrate: Some(100_000 * index), driver: None });
    let mut sampler = Sampler::new(host);
    sampler.sample();
    json!({
        "cpu_info": CpuInfo::of(host),
        "sd_info": SdCard::of(host),
        "distribution": Distribution::of(host),
        "virtualization": Virtualization::of(host),
        "network": interfaces(host, &addresses),
        "canbus": can_interfaces(host, timing),
        "usb_devices": usb_devices(host, &usb_ids_files(host, None)),
        "serial_devices": serial_devices(host),
        "throttled_state": Throttled::of(host).and_then(|throttled| throttled.state().ok()),
        "cpu_temp": sampler.cpu_temp,
        "system_memory": sampler.memory,
        "network_usage": sampler.network,
        "memory": sampler.process.memory,
    })
}

/// Makes what depends on the machine that the test runs on the same everywhere.
fn normalise(report: &mut Value, host: &Host) {
    report["cpu_info"]["bits"] = Value::Null;
    if !host.exists("/proc/sys/kernel/arch") {
        report["cpu_info"]["processor"] = Value::Null;
    }
}

#[test]
fn every_board_is_told_as_expected() {
    for board in BOARDS {
        let tree = Tree::unpack(&std::fs::read_to_string(fixture(&format!("{board}.tree"))).unwrap());
        let mut report = report(tree.host());
        normalise(&mut report, tree.host());
        let path = fixture(&format!("{board}.json"));
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, format!("{}\n", serde_json::to_string_pretty(&report).unwrap())).unwrap();
        }
        let expected: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(report, expected, "{board}");
    }
}

#[test]
fn this_machine_can_be_told() {
    let report = report(&Host::default());
    assert!(report["cpu_info"]["total_memory"].is_u64());
}

/// The script shows what is read of the real machine.
#[test]
fn captures_are_faithful() {
    let captured = std::process::Command::new("sh").arg(fixture("capture.sh")).output().unwrap();
    let tree = Tree::unpack(&String::from_utf8_lossy(&captured.stdout));
    let facts = |host: &Host| {
        let mut cpu = CpuInfo::of(host);
        // taken at another moment, or not from a file
        cpu.processor.clear();
        let found = Virtualization::of(host);
        json!([
            cpu,
            SdCard::of(host),
            Distribution::of(host),
            found,
            serial_devices(host),
            usb_devices(host, &[])
        ])
    };
    assert_eq!(facts(tree.host()), facts(&Host::default()));
}

/// Names of files are bytes: with newlines, or in no encoding at all. They do not hide their neighbours.
#[test]
fn odd_names_are_borne() {
    use std::os::unix::ffi::OsStrExt;
    const FOLDERS: [&str; 9] = [
        "/sys/class/net",
        "/sys/class/tty",
        "/sys/class/video4linux",
        "/sys/class/hwmon",
        "/sys/class/thermal",
        "/sys/bus/usb/devices",
        "/dev/serial/by-id",
        "/dev/serial/by-path",
        "/sys/bus/platform/drivers/raspberrypi-firmware",
    ];
    const NAMES: [&[u8]; 7] = [b"a\nb", b"\n", b"caf\xe9", b"\xff\xfe", b" ", b"\"", b"..."];
    let tree = Tree::unpack(&std::fs::read_to_string(fixture("pi3.tree")).unwrap());
    let before = report(tree.host());
    for folder in FOLDERS {
        let folder = tree.host().path(folder);
        std::fs::create_dir_all(&folder).unwrap();
        for name in NAMES {
            let place = folder.join(std::ffi::OsStr::from_bytes(name));
            std::fs::create_dir(&place).unwrap();
            for file in ["name", "type", "temp", "temp1_input", "bDeviceClass", "get_throttled", "port"] {
                std::fs::write(place.join(file), b"\xff\n\n7").unwrap();
            }
        }
    }
    assert_eq!(report(tree.host()), before);
    assert!(video_devices(tree.host()).is_empty());

    let scripts = tree.host().path("/etc/init.d");
    std::fs::create_dir_all(&scripts).unwrap();
    for name in NAMES {
        std::fs::write(scripts.join(std::ffi::OsStr::from_bytes(name)), "#!/bin/sh\n").unwrap();
    }
    let sudo = std::sync::Arc::new(sudo::Sudo::new(tree.host(), None));
    let services = services::Services::new(services::Kind::Sysv, tree.host(), &sudo, None);
    assert!(smol::block_on(services.list(&|_| true)).unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any file may be missing, empty, cut short or garbage: the rest is told all the same.
    #[test]
    fn damaged_machines_are_told_as_far_as_they_go(
        board in 0..BOARDS.len(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), 0u8..5, any::<Vec<u8>>()), 1..40),
    ) {
        let text = std::fs::read_to_string(fixture(&format!("{}.tree", BOARDS[board]))).unwrap();
        let tree = Tree::unpack(&text);
        let files: Vec<&str> = text.split("\n@@ ").skip(1).filter_map(|entry| entry.lines().next()).collect();
        for (file, kind, garbage) in damage {
            let head = files[file.index(files.len())];
            let place = tree.host().path(head.split(" -> ").next().unwrap());
            let Ok(meta) = place.symlink_metadata() else { continue };
            if meta.is_dir() {
                continue;
            }
            let content = std::fs::read(&place).unwrap_or_default();
            std::fs::remove_file(&place).unwrap();
            match kind {
                0 => {}
                1 => std::fs::write(&place, "").unwrap(),
                2 => std::fs::write(&place, &content[..content.len() / 2]).unwrap(),
                3 if meta.is_symlink() => std::os::unix::fs::symlink(&place, &place).unwrap(),
                3 => std::fs::create_dir(&place).unwrap(),
                _ => std::fs::write(&place, garbage).unwrap(),
            }
        }
        report(tree.host());
    }
}
