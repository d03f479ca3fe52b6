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
mod hosts;
mod landing;
mod respond;
mod site;
mod upload;
mod visitor;
mod websocket;
mod wire;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_io::Async;

pub use body::BODY_STALL_TIMEOUT;
pub use cors::Cors;
pub use hosts::Hosts;
pub use site::{Options, Site};
pub use visitor::Rules;
pub use websocket::{PING_INTERVAL, PONG_TIMEOUT};
pub use wire::{HEADER_TIMEOUT, MAX_HEADER_SIZE, MAX_HEADERS};

/// How many TCP connections may be open. One more waits in the kernel's queue until another ends.
pub const MAX_CONNECTIONS: usize = 512;

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

/// Serves HTTP on these listeners until it is dropped.
pub async fn run(listeners: Vec<Async<TcpListener>>, site: Arc<Site>) {
    let app = Arc::new(app::build(&site));
    let open = Arc::new(AtomicUsize::new(0));
    for listener in listeners {
        let (site, app, open) = (site.clone(), app.clone(), open.clone());
        site.context.spawner.clone().spawn(async move { accept(listener, site, app, open).await });
    }
}

async fn accept(
    listener: Async<TcpListener>,
    site: Arc<Site>,
    app: Arc<wire::App<Arc<Site>>>,
    open: Arc<AtomicUsize>,
) {
    loop {
        if open.load(Ordering::SeqCst) >= MAX_CONNECTIONS {
            smol::Timer::after(ACCEPT_RETRY).await;
            continue;
        }
        match listener.accept().await {
            Ok((socket, peer)) => {
                let counted = Counted::new(&open);
                let app = app.clone();
                site.context.spawner.spawn(async move {
                    let _counted = counted;
                    serve(app, socket, peer).await;
                });
            }
            Err(error) => {
                log::error!("Cannot accept HTTP connections: {error}");
                smol::Timer::after(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn serve(app: Arc<wire::App<Arc<Site>>>, socket: Async<TcpStream>, peer: SocketAddr) {
    // Without this an answer of two segments waits for the client's delayed acknowledgement.
    if let Err(error) = socket.get_ref().set_nodelay(true) {
        log::debug!("No TCP_NODELAY: {error}");
    }
    wire::serve(app, socket, peer.ip()).await;
}

/// Counts a connection as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
