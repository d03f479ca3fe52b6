//! The password for sudo, with the real program and a user who is there only for the test.

use std::process::Command;

use serde_json::json;

use crate::harness::machine::Machine;
use crate::harness::{Perigee, Setup};

/// A number that no distribution gives to anybody.
const USER: u32 = 64_123;
/// "throw-away", as `openssl passwd -6` writes it.
const HASH: &str =
    "$6$perigee$wgR2BaDw9KEjHQwQr08qQvoVo6W7FyUzmmTZm4UNqIvAgrmusOPdRBQ4WGzGz8RHsf6vME0TlxR1yd/6jpake0";

/// A server of a user who may use sudo with a password.
fn server() -> Option<(Machine, Perigee)> {
    let installed =
        Command::new("sudo").arg("--version").output().is_ok_and(|output| output.status.success());
    if !installed {
        println!("skipped: sudo is not installed");
        return None;
    }
    let machine = Machine::new()?;
    machine.append("/etc/passwd", &format!("perigee-test:x:{USER}:{USER}::/tmp:/bin/sh"));
    machine.append("/etc/group", &format!("perigee-test:x:{USER}:"));
    machine.append("/etc/shadow", &format!("perigee-test:{HASH}:19000:0:99999:7:::"));
    machine.write("/etc/sudoers", "perigee-test ALL=(root) ALL\n", 0o440);
    let script = format!("#!/bin/sh\necho \"$1 by $(id -u)\" > {}\n", machine.root().join("did").display());
    machine.write("/etc/init.d/klipper", &script, 0o755);
    let setup = Setup::new().sections("[machine]\nprovider: sysv");
    let home = setup.dir.path().to_owned();
    let server = setup.through(machine.enter(USER, &home)).start();
    Some((machine, server))
}

#[test]
fn the_password_of_the_user_opens_sudo() {
    let Some((machine, server)) = server() else { return };
    let info = |check: bool| server.get(&format!("/machine/sudo/info?check_access={check}")).result();
    let password = |password: &str| server.post("/machine/sudo/password", json!({ "password": password }));
    let restart = || server.post("/machine/services/restart", json!({"service": "klipper"}));

    let expected = json!({
        "sudo_access": null, "linux_user": "perigee-test", "sudo_requested": false, "request_messages": [],
    });
    assert_eq!(info(false), expected);
    // it asks nobody: it is not allowed without a password, and has none
    assert_eq!(info(true)["sudo_access"], false);
    assert_eq!(restart().error(403), "sudo: sudo: a password is required");

    assert_eq!(password("wrong").error(400), "Invalid password, sudo access was denied");
    assert_eq!(info(true)["sudo_access"], false);

    let answer = password("throw-away").expect(200).result();
    let expected = json!({"sudo_responses": ["Sudo password successfully set."], "is_restarting": false});
    assert_eq!(answer, expected);
    assert_eq!(info(true)["sudo_access"], true);
    assert_eq!(restart().expect(200).result(), "ok");
    let did = std::fs::read_to_string(machine.root().join("did")).unwrap();
    assert_eq!(did, "restart by 0\n");
    assert!(!server.log().contains("throw-away"));
    // also while sudo itself remembers the right one
    assert_eq!(password("wrong").error(400), "Invalid password, sudo access was denied");
}
