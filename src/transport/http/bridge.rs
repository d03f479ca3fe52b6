//! `/klippysocket`: a websocket straight to Klippy (spec api.md §2). Each client gets a connection to Klippy of
//! its own; what one side sends is handed to the other as it is. Nothing of that is looked at, so it is for those
//! who may do everything.

use std::io;
use std::os::unix::net::UnixStream;

use async_io::Async;
use async_tungstenite::tungstenite::{Bytes, Message};
use async_tungstenite::{WebSocketReceiver, WebSocketSender};
use futures_lite::StreamExt;
use futures_lite::io::AsyncWriteExt;
use http_types::Response;
use tide::http as http_types;

use super::site::{Request, finish};
use super::visitor::visitor;
use super::websocket::{PING_INTERVAL, accept, close, take_over};
use crate::api::outbox::CloseReason;
use crate::api::{Error, Result, Role};
use crate::klippy::framing::{END, Frame, FrameReader, MAX_FRAME};
use crate::tasks::first_of;
use crate::transport::stall::Unstalled;

/// Klippy closed its side.
const KLIPPY_GONE: CloseReason = CloseReason { code: 1001, reason: "Klippy Disconnected" };

/// `GET /klippysocket`.
pub(super) async fn open(request: Request) -> tide::Result<Response> {
    finish(start(&request).await)
}

async fn start(request: &Request) -> Result<Response> {
    let site = request.state();
    visitor(request).identity.require(Role::Admin)?;
    if !site.klippy.is_connected() {
        return Err(Error::unavailable("Klippy Not Connected"));
    }
    let klippy = Async::<UnixStream>::connect(site.klippy.socket())
        .await
        .map_err(|error| Error::unavailable("Klippy Not Connected").caused_by(error))?;
    let (response, upgrade, guest) = accept(request)?;
    site.context.spawner.spawn(async move {
        if let Some(socket) = take_over(upgrade, &guest).await {
            let (sender, receiver) = socket.split();
            run(sender, receiver, klippy).await;
        }
    });
    Ok(response)
}

async fn run<S>(mut sender: WebSocketSender<S>, mut receiver: WebSocketReceiver<S>, klippy: Async<UnixStream>)
where
    S: futures_lite::AsyncRead + futures_lite::AsyncWrite + Unpin,
{
    let to_klippy = async {
        match forward(&mut receiver, &klippy).await {
            Ok(()) => None,
            Err(error) => {
                log::debug!("A bridge to Klippy broke: {error}");
                Some(KLIPPY_GONE)
            }
        }
    };
    let from_klippy = async { back(&mut sender, &klippy).await };
    let reason = first_of(to_klippy, from_klippy).await;
    if let Some(reason) = reason {
        close(sender, receiver, reason).await;
    }
}

/// Hands the client's messages to Klippy, until the client closes.
async fn forward<S>(receiver: &mut WebSocketReceiver<S>, klippy: &Async<UnixStream>) -> io::Result<()>
where
    S: futures_lite::AsyncRead + futures_lite::AsyncWrite + Unpin,
{
    let mut klippy = Unstalled::new(klippy);
    while let Some(Ok(message)) = receiver.next().await {
        if matches!(message, Message::Text(_) | Message::Binary(_)) {
            klippy.write_all(&message.into_data()).await?;
            klippy.write_all(&[END]).await?;
        }
    }
    Ok(())
}

/// Hands Klippy's messages to the client. Returns why the client is to be told goodbye, if it is still there.
async fn back<S>(sender: &mut WebSocketSender<S>, klippy: &Async<UnixStream>) -> Option<CloseReason>
where
    S: futures_lite::AsyncRead + futures_lite::AsyncWrite + Unpin,
{
    let mut frames = FrameReader::new(klippy, MAX_FRAME);
    let mut pings = smol::Timer::interval(PING_INTERVAL);
    loop {
        let ping = async {
            pings.next().await;
            None
        };
        let message = match smol::future::or(async { Some(frames.next().await) }, ping).await {
            None => Message::Ping(Bytes::new()),
            Some(Ok(Some(Frame::Whole(frame)))) => match String::from_utf8(frame) {
                Ok(text) => Message::text(text),
                Err(_) => continue,
            },
            Some(Ok(Some(Frame::TooLong))) => continue,
            Some(Ok(None) | Err(_)) => return Some(KLIPPY_GONE),
        };
        sender.send(message).await.ok()?;
    }
}
