//! HTTP/1.1 on a socket: hyper reads and writes it, tide routes it, this stands between them.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use http_types::{Method, Request, Response, StatusCode, Url};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use smol_hyper::rt::{FuturesIo, SmolTimer};
use tide::http as http_types;

use super::body::{RequestBody, ResponseBody};
use super::guests::Guest;
use super::respond;
use crate::api::Error;
use crate::duplex::Stream;
use crate::sync::lock;
use crate::transport::stall::Unstalled;

/// How long a client may take to send the head of a request, and how long a connection may stay idle between
/// two requests.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(75);

/// The longest head of a request, in bytes; a longer one is answered with 431.
pub const MAX_HEADER_SIZE: usize = 32 * 1024;

/// The most headers in one head; more are answered with 431.
pub const MAX_HEADERS: usize = 100;

/// What the server calls itself.
const SERVER: &str = concat!("Perigee/", env!("CARGO_PKG_VERSION"));

/// What stands before path and query in the addresses that tide reads.
#[expect(clippy::expect_used, reason = "it is a constant")]
static ANY_HOST: LazyLock<Url> = LazyLock::new(|| Url::parse("http://localhost").expect("an address"));

/// A connection as it is read and written.
pub(super) type Io = FuturesIo<Unstalled<Stream>>;

/// The tide application, with what its handlers share.
pub(super) type App<S> = tide::Server<S>;

/// The peer, as handlers find it in a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    /// Its address.
    pub(super) address: IpAddr,
    /// Whether it came over TLS.
    pub(super) is_secure: bool,
}

/// What belongs to a request once, and whose handler takes it from there: the body of type [`RequestBody`], and where it
/// is asked for the right to take over the connection after a 101 answer, [`hyper::upgrade::OnUpgrade`].
pub(super) struct Once<T>(Mutex<Option<T>>);

impl<T> Once<T> {
    fn new(thing: T) -> Self {
        Self(Mutex::new(Some(thing)))
    }

    /// Takes it.
    pub(super) fn take(&self) -> Option<T> {
        lock(&self.0).take()
    }
}

/// Serves one connection up to its end.
pub(super) async fn serve<S: Clone + Send + Sync + 'static>(
    app: Arc<App<S>>,
    stream: Stream,
    peer: Peer,
    guest: Arc<Guest>,
) {
    let service = service_fn(move |request| {
        let (app, guest) = (app.clone(), guest.clone());
        async move {
            guest.set_busy(true);
            let answer = answer(&app, request, peer, &guest).await;
            guest.set_busy(false);
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(SmolTimer::new())
        // A client may close its side when it has asked. What it asked for is done in either case; and looking for its
        // end while a request is answered would take a system call each time.
        .half_close(true)
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_SIZE)
        .max_headers(MAX_HEADERS)
        .serve_connection(FuturesIo::new(Unstalled::new(stream)), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        log::debug!("A connection from {} ended: {error}", peer.address);
    }
}

async fn answer<S: Clone + Send + Sync + 'static>(
    app: &App<S>,
    request: hyper::Request<Incoming>,
    peer: Peer,
    guest: &Arc<Guest>,
) -> hyper::Response<ResponseBody> {
    let response = match request_in(request, peer) {
        Ok(mut request) => {
            request.ext_mut().insert(guest.clone());
            app.respond::<_, Response>(request).await.ok()
        }
        Err(status) => Some(respond::error(&Error::new(status.into(), status.canonical_reason()))),
    };
    let response = response.unwrap_or_else(|| Response::new(StatusCode::InternalServerError));
    response_out(response).await
}

/// hyper's request as tide takes it, or the status for a verb that has no meaning here. The headers stay in hyper's map,
/// which handlers find in the request: see [`super::site::header`].
fn request_in(mut request: hyper::Request<Incoming>, peer: Peer) -> Result<Request, StatusCode> {
    let method = match request.method().as_str() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        _ => return Err(StatusCode::MethodNotAllowed),
    };
    // Only path and query of the target count, whatever host it or the Host header names.
    let mut url = ANY_HOST.clone();
    if let Some(target) = request.uri().path_and_query() {
        url.set_path(target.path());
        url.set_query(target.query());
    }
    let mut converted = Request::new(method, url);
    if request.headers().contains_key(hyper::header::UPGRADE) {
        converted.ext_mut().insert(Once::new(hyper::upgrade::on(&mut request)));
    }
    let (head, incoming) = request.into_parts();
    converted.ext_mut().insert(head.headers);
    converted.ext_mut().insert(peer);
    if !hyper::body::Body::is_end_stream(&incoming) {
        converted.ext_mut().insert(Once::new(RequestBody::new(incoming)));
    }
    Ok(converted)
}

async fn response_out(mut response: Response) -> hyper::Response<ResponseBody> {
    let mut built = hyper::Response::builder().status(u16::from(response.status()));
    for (name, values) in &response {
        for value in values {
            built = built.header(name.as_str(), value.as_str());
        }
    }
    built = built.header(hyper::header::SERVER, SERVER);
    let body = match ResponseBody::take(response.take_body()).await {
        Ok(body) => body,
        Err(error) => {
            log::error!("A response could not be read: {error}");
            built = hyper::Response::builder().status(500);
            ResponseBody::empty()
        }
    };
    built.body(body).unwrap_or_else(|error| {
        log::error!("A response could not be built: {error}");
        let mut failed = hyper::Response::new(ResponseBody::empty());
        *failed.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
        failed
    })
}
