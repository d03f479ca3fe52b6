//! JSON-RPC on a websocket (spec api.md §0.6).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_tungstenite::tungstenite::handshake::derive_accept_key;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use async_tungstenite::tungstenite::{Bytes, Error as WsError, Message};
use async_tungstenite::{WebSocketReceiver, WebSocketSender, WebSocketStream};
use futures_lite::{AsyncRead, AsyncWrite, StreamExt, ready};
use http_types::Response;
use hyper::header::{CONNECTION, HeaderName, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use hyper::upgrade::OnUpgrade;
use smol::Timer;
use tide::http as http_types;

use super::guests::Guest;
use super::respond;
use super::site::{Request, Site, finish, header};
use super::visitor::{Visitor, is_own_page, visitor};
use super::wire::{Io, Once};
use crate::api::outbox::{CloseReason, Outgoing};
use crate::api::{Connection, Error, Identity, Result, Transport};
use crate::duplex::Stream;
use crate::sync::lock;
use crate::tasks::first_of;
use crate::transport::MAX_MESSAGE;
use crate::transport::calls::Calls;
use crate::transport::stall::Unstalled;

/// How often the server pings.
pub const PING_INTERVAL: Duration = Duration::from_secs(10);

/// After how long without any sign of life a client is given up: three pings and their answers.
pub const PONG_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take to answer a close before the socket is shut all the same.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A websocket's buffer for reading. Its default of 128 KiB for each client is far more than messages need.
const READ_BUFFER: usize = 4 * 1024;

/// The stream under a websocket.
pub(super) type Socket = WebSocketStream<Metered<Unstalled<Stream>>>;

/// The kind of error that a stranger gets who sends too much.
const TOO_MUCH: io::ErrorKind = io::ErrorKind::FileTooLarge;

/// A stream that a stranger cannot fill the server's memory through.
pub(super) struct Metered<S> {
    stream: S,
    guest: Arc<Guest>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(if self.guest.allows(count) { Ok(count) } else { Err(TOO_MUCH.into()) })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}

/// `GET /websocket`.
pub(super) async fn open(request: Request) -> tide::Result<Response> {
    finish(accept(&request).map(|(response, upgrade, guest)| {
        let site = request.state().clone();
        let Visitor { address, identity, .. } = visitor(&request).clone();
        site.context.spawner.clone().spawn(async move {
            if let Some(socket) = take_over(upgrade, &guest).await {
                serve(site, socket, identity, Some(address), &guest).await;
            }
        });
        response
    }))
}

/// Checks a request for a websocket and answers 101 to it.
///
/// # Errors
/// 400 for one that is none, 403 for a page of another site, 503 when there are too many.
pub(super) fn accept(request: &Request) -> Result<(Response, OnUpgrade, Arc<Guest>)> {
    let site = request.state();
    let names = |name: HeaderName, word: &str| {
        header(request, name)
            .is_some_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
    };
    let key = header(request, SEC_WEBSOCKET_KEY);
    let version = header(request, SEC_WEBSOCKET_VERSION);
    let (Some(key), true, true) = (key, names(CONNECTION, "upgrade"), names(UPGRADE, "websocket")) else {
        return Err(Error::bad_request("Can \"Upgrade\" only to \"WebSocket\"."));
    };
    if version != Some("13") {
        return Err(Error::new(426, "Only version 13 of the websocket protocol is spoken here"));
    }
    let origin = header(request, ORIGIN);
    if origin.is_some_and(|origin| !is_own_page(request, origin, &site.options.cors)) {
        return Err(Error::forbidden("Cross origin websockets not allowed"));
    }
    let upgrade = request.ext::<Once<OnUpgrade>>().and_then(Once::take);
    let (Some(upgrade), Some(guest)) = (upgrade, request.ext::<Arc<Guest>>().cloned()) else {
        return Err(Error::bad_request("The connection cannot be upgraded"));
    };
    guest.become_websocket()?;
    let mut response = respond::empty(101);
    response.insert_header("Connection", "Upgrade");
    response.insert_header("Upgrade", "websocket");
    response.insert_header("Sec-WebSocket-Accept", derive_accept_key(key.as_bytes()));
    Ok((response, upgrade, guest))
}

/// Takes the connection over from hyper once the 101 answer has been sent.
pub(super) async fn take_over(upgrade: OnUpgrade, guest: &Arc<Guest>) -> Option<Socket> {
    let upgraded = upgrade.await.inspect_err(|error| log::debug!("No websocket came of it: {error}")).ok()?;
    let parts = upgraded.downcast::<Io>().ok()?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
        // A message is written at once; what waits is kept in the outbox, where it is bounded.
        .write_buffer_size(0);
    let read = parts.read_buf.to_vec();
    let stream = Metered { stream: parts.io.into_inner(), guest: guest.clone() };
    Some(WebSocketStream::from_partially_read(stream, read, Role::Server, Some(config)).await)
}

async fn serve(
    site: Arc<Site>,
    socket: Socket,
    identity: Identity,
    address: Option<std::net::IpAddr>,
    guest: &Guest,
) {
    let context = &site.context;
    let (sender, receiver) = socket.split();
    let connection = match context.connections.open(Transport::Websocket, address, identity) {
        Ok(connection) => connection,
        Err(_) => return close(sender, receiver, CloseReason::SHUTDOWN).await,
    };
    guest.set_connection(&connection);
    log::debug!("Websocket {} opened", connection.id());
    let calls = Calls::new(context.clone(), connection.clone());
    let received = |message: Option<Bytes>| {
        guest.has_sent();
        if let Some(message) = message {
            calls.start(message);
        }
    };
    smol::future::or(run(sender, receiver, &connection, received), guest.dismissed()).await;
    context.connections.remove(&connection);
    log::debug!("Websocket {} closed", connection.id());
}

/// Carries messages both ways until one side closes or falls silent.
async fn run<S>(
    mut sender: WebSocketSender<S>,
    mut receiver: WebSocketReceiver<S>,
    connection: &Connection,
    received: impl Fn(Option<Bytes>),
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let last_heard = Mutex::new(Instant::now());
    // each ends with the reason of which the client is to be told, if it is still there
    let reading = async {
        loop {
            match receiver.next().await {
                Some(Ok(message)) => {
                    *lock(&last_heard) = Instant::now();
                    match message {
                        Message::Text(text) => received(Some(text.into())),
                        Message::Binary(bytes) => received(Some(bytes)),
                        // tungstenite answers pings and closes itself
                        _ => received(None),
                    }
                }
                Some(Err(WsError::Capacity(_))) => return Some(TOO_LONG),
                Some(Err(WsError::Io(error))) if error.kind() == TOO_MUCH => return Some(TOO_LONG),
                Some(Err(error)) => return broken(connection, &error),
                None => return None,
            }
        }
    };
    let writing = async {
        let mut pings = Timer::interval(PING_INTERVAL);
        loop {
            let ping = async {
                pings.next().await;
                None
            };
            let message = match smol::future::or(async { Some(connection.outbox.next().await) }, ping).await {
                Some(Outgoing::Message(text)) => Message::text(&*text),
                Some(Outgoing::Close(reason)) => return Some(reason),
                None if lock(&last_heard).elapsed() > PONG_TIMEOUT => return Some(CloseReason::NO_PONG),
                None => Message::Ping(Bytes::new()),
            };
            if let Err(error) = sender.send(message).await {
                return broken(connection, &error);
            }
        }
    };
    if let Some(reason) = first_of(reading, writing).await {
        close(sender, receiver, reason).await;
    }
}

fn broken(connection: &Connection, error: &WsError) -> Option<CloseReason> {
    log::debug!("Websocket {} broke: {error}", connection.id());
    None
}

/// A message was longer than [`MAX_MESSAGE`], or than a stranger's may be.
const TOO_LONG: CloseReason = CloseReason { code: 1009, reason: "Message too long" };

/// Says goodbye and waits a moment for the client to do the same.
pub(super) async fn close<S>(
    mut sender: WebSocketSender<S>,
    mut receiver: WebSocketReceiver<S>,
    reason: CloseReason,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let frame = CloseFrame { code: CloseCode::from(reason.code), reason: reason.reason.into() };
    let goodbye = async {
        if sender.close(Some(frame)).await.is_ok() {
            while receiver.next().await.is_some_and(|message| message.is_ok()) {}
        }
    };
    let late = async {
        Timer::after(CLOSE_TIMEOUT).await;
    };
    smol::future::or(goodbye, late).await;
}
