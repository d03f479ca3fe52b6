//! `perigee demo can-node`: a board on a CAN bus that waits for a number.

use std::ffi::OsString;
use std::process::ExitCode;

use perigee::config::{ProcessOptions, UsageError};
use perigee::demo::can_node::CanNode;

const USAGE: &str = "demo can-node needs --interface NAME and --uuid with 12 hexadecimal digits; \
    --application is klipper or katapult";

/// Runs a node with these arguments, until its interface goes away or a signal ends it.
pub(super) fn run(args: Vec<OsString>) -> Result<ExitCode, UsageError> {
    let (mut interface, mut uuid, mut application) = (String::new(), String::new(), "klipper".to_owned());
    let parsed = ProcessOptions::parse_with(
        args,
        |_| None,
        |flag, value| {
            let place = match flag {
                "--interface" => &mut interface,
                "--uuid" => &mut uuid,
                "--application" => &mut application,
                _ => return Ok(false),
            };
            *place = value()?.to_string_lossy().into_owned();
            Ok(true)
        },
    )?;
    let node = CanNode::new(&uuid, &application).filter(|_| !interface.is_empty());
    let node = node.ok_or_else(|| UsageError(USAGE.into()))?;
    super::with(parsed, |_| {
        let ready = || println!("A simulated board with {application} waits on {interface}");
        match node.run(&interface, ready) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("perigee: {interface}: {error}");
                ExitCode::FAILURE
            }
        }
    })
}
