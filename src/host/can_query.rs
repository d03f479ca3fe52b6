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
    let socket = &socket;
    gather(move || socket.read_with(|socket| socket.read_frame()), COLLECT).await
}

/// Takes answers for so long.
async fn gather<F>(answer: impl Fn() -> F, time: Duration) -> io::Result<Vec<CanUuid>>
where
    F: Future<Output = io::Result<CanFrame>>,
{
    let mut nodes = BTreeMap::new();
    let end = Instant::now() + time;
    // a bus that is full of answers does not hold the end up
    while nodes.len() < MAX_NODES && Instant::now() < end {
        let Some(frame) = or_late(async { answer().await.map(Some) }, end).await? else { break };
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
    fn nobody_on_the_bus() {
        let begun = Instant::now();
        let nodes = smol::block_on(gather(future::pending, Duration::from_millis(50)));
        assert_eq!(nodes.unwrap(), []);
        assert!(begun.elapsed() >= Duration::from_millis(50));
        assert_eq!(COLLECT, Duration::from_secs(2), "spec api.md §5");
    }

    #[test]
    fn many_answers() {
        let frame = |data: &[u8]| CanFrame::new(StandardId::new(ADMIN_ID + 1).unwrap(), data).unwrap();
        // one node without end, among frames of others
        let number = std::cell::Cell::new(0u8);
        let chatter = || {
            number.set(number.get().wrapping_add(1));
            future::ready(Ok(match number.get() % 2 {
                0 => frame(&[0x20, 1, 2, 3, 4, 5, 6, 0x11]),
                _ => frame(&[number.get()]),
            }))
        };
        let nodes = smol::block_on(gather(chatter, Duration::from_millis(50))).unwrap();
        assert_eq!(nodes, [CanUuid { uuid: "010203040506".into(), application: "Katapult" }]);
        // more nodes than a bus can have
        let number = std::cell::Cell::new(0u8);
        let crowd = || {
            number.set(number.get().wrapping_add(1));
            future::ready(Ok(frame(&[0x20, 0, 0, 0, 0, 0, number.get(), 0x01])))
        };
        let nodes = smol::block_on(gather(crowd, Duration::from_secs(60))).unwrap();
        assert_eq!(nodes.len(), MAX_NODES);
        // an interface that vanishes while it is listened to
        let gone = || future::ready(Err(io::Error::from_raw_os_error(libc::ENETDOWN)));
        assert!(smol::block_on(gather(gone, Duration::from_secs(60))).is_err());
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
