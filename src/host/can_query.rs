//! Which nodes of a CAN bus wait to be given a number: boards with Klipper or Katapult that nobody uses yet.
//!
//! A node that has no number answers a query to the admin id with its uuid (Klipper, CAN bus protocol).

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use async_io::Async;
use futures_lite::future;
use serde::Serialize;
use socketcan::{CanFilter, CanFrame, CanSocket, EmbeddedFrame, Socket, SocketOptions, StandardId};

/// Messages to all nodes; answers have the next id.
const ADMIN_ID: u16 = 0x3f0;
/// "Who has no number?"
const QUERY_UNASSIGNED: u8 = 0x00;
/// "I have none": uuid, and the command by which the node's application gives numbers out.
const NEED_NODE_ID: u8 = 0x20;
/// How long nodes get to answer.
const COLLECT: Duration = Duration::from_secs(2);
/// The most nodes that are listed.
const MAX_NODES: usize = 128;

/// A node without a number (spec api.md §5, `can_uuids`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CanUuid {
    /// Twelve hexadecimal digits.
    pub uuid: String,
    /// `Klipper`, `Katapult` or `Unknown`.
    pub application: &'static str,
}

/// Asks the nodes of a bus, and waits two seconds for answers. A node that repeats itself is listed once.
///
/// # Errors
/// Where there is no such interface, it is down, or the question cannot be sent.
pub async fn can_uuids(interface: &str) -> io::Result<Vec<CanUuid>> {
    let socket = CanSocket::open(interface)?;
    socket.set_filters(&[CanFilter::new(u32::from(ADMIN_ID) + 1, 0x7ff)])?;
    let socket = Async::new(socket)?;
    let id = StandardId::new(ADMIN_ID).ok_or(io::ErrorKind::InvalidInput)?;
    let question = CanFrame::new(id, &[QUERY_UNASSIGNED]).ok_or(io::ErrorKind::InvalidInput)?;
    // A bus on which nobody confirms frames lets its queue fill up.
    let sent = async { socket.write_with(|socket| socket.write_frame(&question)).await.map(Some) };
    if or_late(sent, Instant::now() + COLLECT).await?.is_none() {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "the bus takes no frames"));
    }
    let mut nodes = BTreeMap::new();
    let end = Instant::now() + COLLECT;
    while nodes.len() < MAX_NODES {
        let answer = async { socket.read_with(|socket| socket.read_frame()).await.map(Some) };
        let Some(frame) = or_late(answer, end).await? else { break };
        if let Some(node) = parse(frame.data()) {
            nodes.insert(node.uuid.clone(), node);
        }
    }
    Ok(nodes.into_values().collect())
}

async fn or_late<T>(
    work: impl Future<Output = io::Result<Option<T>>>,
    end: Instant,
) -> io::Result<Option<T>> {
    let late = async {
        smol::Timer::at(end).await;
        Ok(None)
    };
    future::or(work, late).await
}

/// An answer: its kind, the uuid of six bytes, and since 2022 the application.
fn parse(data: &[u8]) -> Option<CanUuid> {
    let (&NEED_NODE_ID, rest) = data.split_first()? else { return None };
    let (uuid, application) = rest.split_at_checked(6)?;
    Some(CanUuid {
        uuid: uuid.iter().map(|byte| format!("{byte:02x}")).collect(),
        application: match application.first() {
            Some(0x01) => "Klipper",
            Some(0x11) => "Katapult",
            _ => "Unknown",
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn answers() {
        let node = |data: &[u8]| parse(data).map(|node| (node.uuid, node.application));
        let uuid = || "11aabbccddee".to_owned();
        assert_eq!(node(&[0x20, 0x11, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0x01]), Some((uuid(), "Klipper")));
        assert_eq!(node(&[0x20, 0x11, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0x11]), Some((uuid(), "Katapult")));
        assert_eq!(node(&[0x20, 0x11, 0xaa, 0xbb, 0xcc, 0xdd, 0xee]), Some((uuid(), "Unknown")));
        assert_eq!(node(&[0x20, 0x11, 0xaa]), None);
        assert_eq!(node(&[0x21, 0x11, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0x01]), None);
        assert_eq!(node(&[]), None);
    }

    #[test]
    fn no_such_bus() {
        assert!(smol::block_on(can_uuids("perigee-none")).is_err());
        assert!(smol::block_on(can_uuids("a name that is too long")).is_err());
    }

    proptest! {
        #[test]
        fn any_data(data: Vec<u8>) {
            let _ = parse(&data);
        }
    }
}
