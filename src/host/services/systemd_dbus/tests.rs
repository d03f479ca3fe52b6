use futures_lite::future;

use super::*;
use crate::host::dbus::stand_in::{Daemon, Shared, StandIns};
use crate::host::fixture::Tree;

const SYSTEMCTL: &str = "@@ /usr/bin/systemctl\n#!/bin/sh\necho \"$@\" > \"$0.did\"\n";

/// systemd on a bus; `None` where there is no bus daemon.
fn setup(extra: &str) -> Option<(Tree, Daemon, Shared, SystemdDbus)> {
    let tree = Tree::unpack(extra);
    let daemon = Daemon::start(tree.folder())?;
    let systemd = SystemdDbus::new(tree.host(), &Arc::new(Sudo::new(tree.host(), None)));
    Some((tree, daemon, Shared::default(), systemd))
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    let late = async {
        smol::Timer::after(Duration::from_secs(60)).await;
        panic!("waited in vain");
    };
    future::or(work, late).await
}

#[test]
fn names_of_units_on_the_bus() {
    let unit = |name: &str| unit_of_path(&format!("{UNITS}/{name}"));
    assert_eq!(unit("klipper_2eservice").as_deref(), Some("klipper"));
    assert_eq!(unit("klipper_5f1_40x_2eservice").as_deref(), Some("klipper_1@x"));
    for bad in ["klipper", "a_2esocket", "a_2", "a_zz_2eservice", "a_ff_2eservice", "", "é_2eservice_"] {
        assert_eq!(unit(bad), None, "{bad}");
    }
    assert_eq!(unit_of_path("/other/klipper_2eservice"), None);
}

#[test]
fn states_actions_and_signals() {
    let Some((tree, _daemon, record, systemd)) = setup("") else { return };
    smol::block_on(in_time(async {
        let stand_ins = StandIns::start(tree.folder(), &record).await;
        let mut states = systemd.list().await.unwrap();
        assert_eq!(states["klipper"], UnitState::of("active", "running"));
        assert_eq!(states.keys().collect::<Vec<_>>(), ["klipper", "klipper-2", "ssh"]);

        systemd.act(Action::Stop, "klipper").await.unwrap();
        systemd.restart_own("moonraker").await.unwrap();
        let asked = ["subscribe", "stop klipper.service replace", "restart moonraker.service replace"];
        assert_eq!(lock(&record).asked, asked);

        // every state on the way is seen, whoever else is waiting
        stand_ins
            .change("klipper_2eservice", &[("ActiveState", "deactivating"), ("SubState", "stop-sigterm")])
            .await;
        stand_ins.change("other_2eservice", &[("ActiveState", "failed")]).await;
        stand_ins.change("klipper_2eservice", &[("Description", "x")]).await;
        stand_ins.change("klipper_2eservice", &[("ActiveState", "inactive"), ("SubState", "dead")]).await;
        let mut seen = Vec::new();
        while seen.len() < 2 {
            systemd.wait().await;
            if let Some(now) = systemd.next_states(&states).await.unwrap() {
                seen.push(now["klipper"].sub_state.to_string());
                states = now;
            }
        }
        assert_eq!(seen, ["stop-sigterm", "dead"]);
        assert_eq!(states["klipper"], UnitState::of("inactive", "dead"));
    }));
}

#[test]
fn what_polkit_refuses_is_tried_with_sudo() {
    let Some((tree, _daemon, record, systemd)) = setup(SYSTEMCTL) else { return };
    smol::block_on(in_time(async {
        let _stand_ins = StandIns::start(tree.folder(), &record).await;
        assert!(systemd.permits("org.freedesktop.systemd1.manage-units").await.unwrap());
        lock(&record).refuse = true;
        assert!(!systemd.permits("org.freedesktop.systemd1.manage-units").await.unwrap());
        systemd.act(Action::Start, "klipper").await.unwrap();
        assert_eq!(tree.host().line("/usr/bin/systemctl.did").as_deref(), Some("start klipper"));
        std::fs::remove_file(tree.folder().join("usr/bin/systemctl")).unwrap();
        let refused = systemd.act(Action::Start, "klipper").await.unwrap_err();
        assert!(matches!(refused, ServiceError::Denied(_)));
        assert!(refused.to_string().contains("does not allow StartUnit"), "{refused}");
    }));
}

#[test]
fn the_bus_goes_and_comes_back() {
    let Some((tree, daemon, record, systemd)) = setup("") else { return };
    smol::block_on(in_time(async {
        let first = StandIns::start(tree.folder(), &record).await;
        let states = systemd.list().await.unwrap();
        let known = States::from([("klipper".to_owned(), UnitState::of("failed", "failed"))]);
        drop((daemon, first));
        let watch = async {
            loop {
                systemd.wait().await;
                if let Ok(Some(now)) = systemd.next_states(&known).await {
                    return now;
                }
            }
        };
        let back = async {
            let daemon = Daemon::start(tree.folder()).unwrap();
            (daemon, StandIns::start(tree.folder(), &record).await)
        };
        let (now, _kept) = future::zip(watch, back).await;
        assert_eq!(now, states);
    }));
}

#[test]
fn without_a_bus() {
    let tree = Tree::unpack("");
    let systemd = SystemdDbus::new(tree.host(), &Arc::new(Sudo::new(tree.host(), None)));
    let error = smol::block_on(systemd.list()).unwrap_err();
    assert_eq!(error.to_string(), "there is no D-Bus");
}
