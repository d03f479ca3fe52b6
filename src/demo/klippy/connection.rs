//! One client's connection: frames in, messages out.

use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::or;
use futures_lite::io::AsyncWriteExt;
use smol::Timer;
use smol::net::unix::UnixStream;

use super::endpoints;
use super::world::{Outgoing, Shared};
use crate::klippy::framing::{Frame, FrameReader, MAX_FRAME};

/// How long a client may take nothing of what waits for it. Klippy closes such clients after about as long.
const STALL: Duration = Duration::from_secs(5);

/// How often a hung Klippy looks whether it is to go on. Only tests hang it.
const HUNG_POLL: Duration = Duration::from_millis(5);

/// Serves a client until either side ends.
pub(super) async fn serve(shared: Arc<Shared>, client: u64, outgoing: Outgoing, stream: UnixStream) {
    or(read(&shared, client, stream.clone()), write(&shared, outgoing, stream)).await;
    shared.with(|world, _| world.disconnect(client));
}

async fn read(shared: &Shared, client: u64, stream: UnixStream) {
    let mut frames = FrameReader::new(stream, MAX_FRAME);
    while let Ok(Some(frame)) = frames.next().await {
        wait_while_hung(shared).await;
        match frame {
            Frame::Whole(bytes) => endpoints::receive(shared, client, &bytes),
            Frame::TooLong => shared.with(|world, _| world.record.garbage += 1),
        }
        // so that a client with very much to say leaves time for the others
        smol::future::yield_now().await;
    }
}

async fn write(shared: &Shared, outgoing: Outgoing, mut stream: UnixStream) {
    while let Some(message) = outgoing.next().await {
        wait_while_hung(shared).await;
        let mut rest = message.as_slice();
        while !rest.is_empty() {
            let written = or(stream.write(rest), async {
                Timer::after(STALL).await;
                Err(std::io::ErrorKind::TimedOut.into())
            });
            match written.await {
                Ok(count) if count > 0 => rest = &rest[count..],
                _ => {
                    log::debug!("Simulated Klippy: closing unresponsive client");
                    return;
                }
            }
        }
        outgoing.sent(&message);
    }
}

async fn wait_while_hung(shared: &Shared) {
    loop {
        if !shared.look().faults.hung {
            return;
        }
        Timer::after(HUNG_POLL).await;
    }
}
