//! What the handlers of HTTP requests share.

use std::sync::Arc;

use http_types::Response;
use hyper::header::{AsHeaderName, HeaderMap, HeaderValue};
use tide::http as http_types;

use super::cors::Cors;
use super::guests::Guests;
use super::visitor::{Rules, Visitor, visitor};
use super::{arguments, respond};
use crate::api::{Caller, Connection, Result, Role, Transport, Warnings};
use crate::files::Files;
use crate::klippy::Klippy;
use crate::print::PrintQueue;
use crate::transport::Context;

/// What the HTTP transport is told once.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What stands before every path, beginning and not ending with `/`; empty for nothing.
    pub route_prefix: String,
    /// The largest upload, in bytes.
    pub max_upload_size: u64,
    /// How many websockets may be open, bridges to Klippy included.
    pub max_websockets: usize,
    /// Who may use the server from other sites' pages.
    pub cors: Cors,
    /// What decides who a visitor is.
    pub rules: Rules,
    /// Paths that take uploads, besides the one that is always there.
    pub upload_paths: Vec<&'static str>,
}

/// A request on its way through tide.
pub(super) type Request = tide::Request<Arc<Site>>;

/// What handlers share.
pub struct Site {
    /// The parts that every transport uses.
    pub context: Context,
    /// The link to Klippy: for the bridge, and to start prints of uploaded files.
    pub klippy: Arc<Klippy>,
    /// The files: for uploads and downloads.
    pub files: Files,
    /// Where uploads go that are to be printed and cannot be now, if anywhere.
    pub queue: Option<Arc<dyn PrintQueue>>,
    /// What the landing page warns of.
    pub warnings: Arc<Warnings>,
    /// The options.
    pub options: Options,
    /// Who is connected.
    pub(super) guests: Arc<Guests>,
}

impl Site {
    /// Brings the parts together.
    pub fn new(
        context: Context,
        klippy: Arc<Klippy>,
        files: Files,
        queue: Option<Arc<dyn PrintQueue>>,
        warnings: Arc<Warnings>,
        options: Options,
    ) -> Arc<Self> {
        let guests = Guests::new(options.max_websockets);
        Arc::new(Self { context, klippy, files, queue, warnings, options, guests })
    }

    /// Who made a request. One that names a connection is made in that connection's name.
    pub(super) fn caller(&self, request: &Request, transport: Transport) -> Caller {
        let connection = request
            .url()
            .query()
            .and_then(|query| arguments::own_key(query, "connection_id"))
            .and_then(|id| id.parse().ok())
            .and_then(|id| self.context.connections.get(id));
        let Visitor { address, identity, .. } = visitor(request).clone();
        // another's connection is an administrator's to use
        let may_use = |found: &Arc<Connection>| {
            identity.role == Role::Admin
                || (identity.user.is_some() && found.identity().user == identity.user)
        };
        Caller { transport, address: Some(address), connection: connection.filter(may_use), identity }
    }
}

/// The value of a header, the last one where it stands more than once; nothing where that is no text.
pub(super) fn header(request: &Request, name: impl AsHeaderName) -> Option<&str> {
    headers(request, name).next_back()?.to_str().ok()
}

/// All values of a header.
pub(super) fn headers(
    request: &Request,
    name: impl AsHeaderName,
) -> impl DoubleEndedIterator<Item = &HeaderValue> {
    let map = request.ext::<HeaderMap>();
    map.map(|map| map.get_all(name).iter()).into_iter().flatten()
}

/// Answers with what a handler made, or with its error.
pub(super) fn finish(outcome: Result<Response>) -> tide::Result<Response> {
    Ok(outcome.unwrap_or_else(|error| respond::error(&error)))
}
