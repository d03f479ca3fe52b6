//! HTTP: the wire (hyper), the routes and the forms of requests and answers (tide), websockets.
//!
//! tide and http-types are named in this folder only.

mod app;
mod arguments;
mod body;
mod bridge;
mod cors;
mod download;
mod forwarded;
mod guests;
mod hosts;
mod landing;
mod respond;
mod site;
mod tls;
mod upload;
mod visitor;
mod websocket;
mod wire;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use async_io::Async;

use crate::duplex::Stream;
use guests::Guest;

type App = wire::App<Arc<Site>>;

pub use body::BODY_STALL_TIMEOUT;
pub use cors::Cors;
pub use forwarded::client_address;
pub use guests::{MAX_CONNECTIONS, MAX_STRANGER_MESSAGE, MAX_STRANGERS, MAX_STRANGERS_PER_ADDRESS};
pub use hosts::Hosts;
pub use site::{Options, Site};
pub use tls::{HANDSHAKE_TIMEOUT, Tls, TlsOptions};
pub use visitor::Rules;
pub use websocket::{PING_INTERVAL, PONG_TIMEOUT};
pub use wire::{HEADER_TIMEOUT, MAX_HEADER_SIZE, MAX_HEADERS};

/// How long to wait before accepting again when that failed for want of file descriptors or memory, or when
/// there are too many connections.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Listens on an address.
///
/// # Errors
/// Those of the system, most often that the port is taken.
pub fn listen(address: SocketAddr) -> io::Result<Async<TcpListener>> {
    Async::<TcpListener>::bind(address)
}

/// Where clients are accepted.
pub struct Listener {
    /// The socket.
    pub socket: Async<TcpListener>,
    /// What they are to be encrypted with, if they are.
    pub tls: Option<Arc<Tls>>,
}

/// Serves HTTP on these listeners until it is dropped.
pub async fn run(listeners: Vec<Listener>, site: Arc<Site>) {
    let app = Arc::new(app::build(&site));
    for listener in listeners {
        let (site, app) = (site.clone(), app.clone());
        site.context.spawner.clone().spawn(async move { accept(listener, site, app).await });
    }
}

async fn accept(listener: Listener, site: Arc<Site>, app: Arc<App>) {
    loop {
        if !site.guests.have_room() {
            smol::Timer::after(ACCEPT_RETRY).await;
            continue;
        }
        match listener.socket.accept().await {
            Ok((socket, peer)) => {
                let is_proxy = site.options.rules.trusted_proxies.contains(peer.ip());
                let guest = site.guests.enter(peer.ip(), is_proxy);
                // what has come from a trusted client may wait to be read
                guest.set_known(site.context.auth.trusts_connection(peer.ip()));
                let (app, tls) = (app.clone(), listener.tls.clone());
                site.context.spawner.spawn(async move {
                    let serving = serve(app, socket, tls, peer, guest.clone());
                    smol::future::or(serving, guest.dismissed()).await;
                });
            }
            Err(error) => {
                log::error!("Cannot accept HTTP connections: {error}");
                smol::Timer::after(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn serve(
    app: Arc<App>,
    socket: Async<TcpStream>,
    tls: Option<Arc<Tls>>,
    peer: SocketAddr,
    guest: Arc<Guest>,
) {
    // Without this an answer of two segments waits for the client's delayed acknowledgement.
    if let Err(error) = socket.get_ref().set_nodelay(true) {
        log::debug!("No TCP_NODELAY: {error}");
    }
    let is_secure = tls.is_some();
    let stream: Stream = match tls {
        None => Box::new(socket),
        Some(tls) => match tls.accept(socket).await {
            Ok(stream) => Box::new(stream),
            Err(error) => return log::debug!("No TLS with {peer}: {error}"),
        },
    };
    wire::serve(app, stream, wire::Peer { address: peer.ip(), is_secure }, guest).await;
}
