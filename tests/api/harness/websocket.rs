//! A blocking websocket client.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::generate_key;
use tungstenite::http;
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

use super::rpc::{Client, Received, Wire};
use super::{PATIENCE, Request, Response};

/// A JSON-RPC client over a websocket.
pub type WsClient = Client<Socket>;

/// A websocket.
#[derive(Debug)]
pub struct Socket {
    inner: WebSocket<TcpStream>,
}

/// The request that asks for a websocket.
pub fn upgrade_request(target: &str) -> Request {
    Request::get(target)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", &generate_key())
}

/// Asks for a websocket; the refusal where there is none.
pub fn open(address: SocketAddr, request: &Request) -> Result<Socket, Response> {
    try_open(address, request).expect("the server answers")
}

/// The same where there may be no answer at all.
pub fn try_open(address: SocketAddr, request: &Request) -> io::Result<Result<Socket, Response>> {
    let mut http = super::Http::connect(address)?;
    let response = http.try_send(request)?;
    if response.status != 101 {
        return Ok(Err(response));
    }
    let wanted = request.headers.iter().find(|(name, _)| name == "Sec-WebSocket-Key");
    if let Some((_, key)) = wanted {
        let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
        assert_eq!(response.header("Sec-WebSocket-Accept"), Some(&*accept));
    }
    let mut config = WebSocketConfig::default();
    config.max_message_size = Some(64 << 20);
    config.max_frame_size = Some(64 << 20);
    let (stream, read) = http.into_parts();
    let inner = WebSocket::from_partially_read(stream, read, Role::Client, Some(config));
    Ok(Ok(Socket { inner }))
}

impl Socket {
    /// The socket below, to send bytes that are no websocket frames.
    pub fn stream(&self) -> &TcpStream {
        self.inner.get_ref()
    }

    /// Sends a message of any kind.
    pub fn send_message(&mut self, message: Message) -> Result<(), Error> {
        self.inner.send(message)
    }

    /// The next message of any kind that comes in time.
    pub fn next_message(&mut self, deadline: Instant) -> Option<Result<Message, Error>> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = left.max(Duration::from_millis(1));
            self.inner.get_ref().set_read_timeout(Some(timeout)).expect("a time-out can be set");
            match self.inner.read() {
                Err(Error::Io(error))
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
                {
                    if left.is_zero() {
                        return None;
                    }
                }
                other => return Some(other),
            }
        }
    }

    /// Closes the connection in good order.
    pub fn close(mut self) {
        let _ = self.inner.close(None);
        let deadline = Instant::now() + PATIENCE;
        while let Some(Ok(_)) = self.next_message(deadline) {}
    }
}

impl Wire for Socket {
    fn send(&mut self, message: &str) {
        self.inner.send(Message::text(message)).expect("the websocket takes a message");
    }

    fn receive(&mut self, deadline: Instant) -> Received {
        loop {
            match self.next_message(deadline) {
                None => return Received::Nothing,
                Some(Ok(Message::Text(text))) => return Received::Message(text.as_str().to_owned()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(frame))) => {
                    let (code, reason) = frame.map_or((None, String::new()), |frame| {
                        (Some(frame.code.into()), frame.reason.as_str().to_owned())
                    });
                    return Received::Closed(code, reason);
                }
                Some(Ok(other)) => panic!("the server sends text alone, not {other:?}"),
                Some(Err(error)) => return Received::Closed(None, error.to_string()),
            }
        }
    }
}

/// A request made by tungstenite's own means, to check that the handshake pleases another implementation too.
pub fn connect_with_tungstenite(url: &str) -> (WebSocket<TcpStream>, http::Response<Option<Vec<u8>>>) {
    let request = url.into_client_request().expect("a good URL");
    let address = request.uri().authority().expect("an authority").to_string();
    let stream = TcpStream::connect(address).expect("the server accepts connections");
    tungstenite::client(request, stream).expect("the handshake succeeds")
}
