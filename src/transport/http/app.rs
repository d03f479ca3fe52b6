//! Which request goes where: the routes of the endpoint table, and those that are HTTP's own.

use std::sync::Arc;

use futures_lite::StreamExt;
use http_types::Response;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, IF_NONE_MATCH, ORIGIN};
use hyper::upgrade::OnUpgrade;
use percent_encoding::percent_decode_str;
use tide::http as http_types;
use tide::{Middleware, Next};

use super::body::RequestBody;
use super::guests::{Guest, MAX_STRANGER_MESSAGE};
use super::site::{Request, Site, finish, header};
use super::visitor::{self, Visitor, refuse_foreign_pages, visitor};
use super::wire::{App, Once};
use super::{arguments, bridge, download, landing, respond, upload, websocket};
use crate::api::{Call, Endpoint, Error, Params, Result, Role, Transport, Verb, jsonrpc};
use crate::transport::MAX_MESSAGE;

/// Builds the application.
pub(super) fn build(site: &Arc<Site>) -> App<Arc<Site>> {
    let mut app = tide::with_state(site.clone());
    let prefix = site.options.route_prefix.as_str();
    app.with(Frame);
    let at = |path: &str| format!("{prefix}{path}");
    for endpoint in site.context.table.endpoints() {
        if endpoint.transports.allow(Transport::Http) {
            let path = at(&endpoint.path.replace("/*", "/*tail"));
            for verb in endpoint.verbs {
                let endpoint = endpoint.clone();
                let route = move |request| call(endpoint.clone(), request);
                app.at(&path).method(method(*verb), route);
            }
        }
    }
    app.at(&at("/")).get(landing::show);
    if !prefix.is_empty() {
        app.at(prefix).get(landing::show);
    }
    app.at(&at("/websocket")).get(websocket::open);
    app.at(&at("/klippysocket")).get(bridge::open);
    app.at(&at("/server/jsonrpc")).post(json_rpc);
    app.at(&at("/server/redirect")).get(landing::redirect);
    app.at(&at("/server/files/*tail")).get(download::send);
    for path in ["/server/files/upload"].iter().chain(&site.options.upload_paths) {
        app.at(&at(path)).post(upload::receive);
    }
    app
}

fn method(verb: Verb) -> http_types::Method {
    match verb {
        Verb::Get => http_types::Method::Get,
        Verb::Post => http_types::Method::Post,
        Verb::Delete => http_types::Method::Delete,
    }
}

/// What holds for every request: who makes it, preflights, and the form of errors.
struct Frame;

#[tide::utils::async_trait]
impl Middleware<Arc<Site>> for Frame {
    async fn handle(&self, mut request: Request, next: Next<'_, Arc<Site>>) -> tide::Result {
        let site = request.state().clone();
        let origin = header(&request, ORIGIN).map(str::to_owned);
        let mut response: Response = if request.method() == http_types::Method::Options {
            preflight(&request, origin.as_deref())
        } else {
            match recognise(&mut request).await {
                Ok(visitor) => finish_for(&visitor, next.run(request).await.into()),
                Err(error) => respond::error(&error),
            }
        };
        if let Some(origin) = &origin {
            site.options.cors.mark(&mut response, origin);
        }
        Ok(response.into())
    }
}

/// Finds out who makes a request, and leaves it for the handlers.
///
/// # Errors
/// Those of [`visitor::recognise`], and 429 for a stranger who asks too often.
async fn recognise(request: &mut Request) -> Result<Visitor> {
    let found = visitor::recognise(request).await;
    let is_known = found.as_ref().is_ok_and(|visitor| visitor.identity.role > Role::Anonymous);
    if let Some(guest) = request.ext::<Arc<Guest>>() {
        guest.set_known(is_known);
    }
    if !is_known {
        request.state().context.rates.take(Visitor::stranger(request).address)?;
    }
    let visitor = match found {
        // on a websocket there is another chance to log in
        Err(error) if error.status() == 401 && request.ext::<Once<OnUpgrade>>().is_some() => {
            Visitor::stranger(request)
        }
        outcome => outcome?,
    };
    request.set_ext(visitor.clone());
    Ok(visitor)
}

/// Gives tide's own answers to unknown paths and verbs the form of ours, and says why somebody is a stranger who
/// thinks he is none.
fn finish_for(visitor: &Visitor, response: Response) -> Response {
    let status = response.status();
    let is_ours = response.header("Content-Type").is_some() || !status.is_client_error();
    if (status == 401 || !is_ours) && visitor.identity.role == Role::Anonymous {
        return respond::error(&visitor.refusal());
    }
    if is_ours {
        return response;
    }
    respond::error(&Error::new(status.into(), status.canonical_reason()))
}

fn preflight(request: &Request, origin: Option<&str>) -> Response {
    if !origin.is_some_and(|origin| request.state().options.cors.allows(origin)) {
        return respond::error(&Error::method_not_allowed("Method Not Allowed"));
    }
    let mut response = respond::empty(204);
    let asks = header(request, "access-control-request-private-network") == Some("true");
    super::cors::Cors::answer_preflight(&mut response, asks);
    response
}

/// Makes a call of the endpoint table.
async fn call(endpoint: Arc<Endpoint>, mut request: Request) -> tide::Result<Response> {
    let if_none_match = match request.method() {
        http_types::Method::Get => header(&request, IF_NONE_MATCH).map(str::to_owned),
        _ => None,
    };
    let outcome = make_call(&endpoint, &mut request).await;
    log::debug!(
        "{} {}: {}",
        request.method(),
        request.url().path(),
        match &outcome {
            Ok(_) => "done".to_owned(),
            Err(error) => error.to_string(),
        }
    );
    Ok(respond::outcome(outcome, endpoint.wrapped, if_none_match.as_deref()))
}

async fn make_call(endpoint: &Endpoint, request: &mut Request) -> Result<crate::api::Reply> {
    let identity = &visitor(request).identity;
    identity.require(endpoint.role)?;
    if request.method() != http_types::Method::Get || endpoint.role > Role::ReadOnly {
        refuse_foreign_pages(request, identity)?;
    }
    let mut rest = String::new();
    if let Some(folder) = endpoint.path.strip_suffix('*') {
        rest = tail(request)?;
        let path = format!("{folder}{rest}");
        if request.state().context.table.endpoints().any(|other| other.path == path) {
            // it is another endpoint's path, which does not take this verb
            return Err(Error::method_not_allowed("Method Not Allowed"));
        }
    }
    let params = read_arguments(endpoint, request).await?;
    let caller = request.state().caller(request, Transport::Http);
    endpoint.call(Call { caller, params, tail: rest }).await
}

/// What the path holds in place of the `*` of its route, decoded.
///
/// # Errors
/// 400 for what is no UTF-8.
pub(super) fn tail(request: &Request) -> Result<String> {
    let tail = request.param("tail").unwrap_or_default();
    let decoded = percent_decode_str(tail).decode_utf8();
    Ok(decoded.map_err(|_| Error::bad_request("The path is not valid UTF-8"))?.into_owned())
}

async fn read_arguments(endpoint: &Endpoint, request: &mut Request) -> Result<Params> {
    let mut arguments = arguments::from_query(request.url().query().unwrap_or_default(), endpoint.query);
    let kind = header(request, CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    if kind.starts_with("application/json") {
        let body = read_body(request).await?;
        // a body that is all there is goes on as it came: its numbers keep their digits, its members their order
        if arguments.is_empty()
            && let Some(params) = serde_json::from_slice(&body).ok().and_then(Params::from_raw)
        {
            return Ok(params);
        }
        arguments::add_json(&mut arguments, &body)?;
    } else if kind.starts_with("application/x-www-form-urlencoded") {
        let body = read_body(request).await?;
        arguments::add_in_style(&mut arguments, form_urlencoded::parse(&body), endpoint.query);
    } else if kind.starts_with("multipart/form-data") {
        let pairs = upload::read_form(request).await?;
        arguments::add_in_style(&mut arguments, pairs.into_iter(), endpoint.query);
    }
    Ok(Params::Map(arguments))
}

/// Reads the whole body of an ordinary request.
///
/// # Errors
/// 413 for more than [`MAX_MESSAGE`] bytes, from a stranger [`MAX_STRANGER_MESSAGE`]; 408 when the client stops in
/// the midst.
pub(super) async fn read_body(request: &Request) -> Result<Vec<u8>> {
    let limit = match visitor(request).identity.role {
        Role::Anonymous => MAX_STRANGER_MESSAGE,
        _ => MAX_MESSAGE,
    };
    let too_large = || Error::new(413, format!("The body is larger than {limit} bytes"));
    let length = body_length(request).unwrap_or_default();
    if length > limit as u64 {
        return Err(too_large());
    }
    let Some(mut pieces) = take_body(request) else { return Ok(Vec::new()) };
    let mut body = Vec::with_capacity(length as usize);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(read_error)?;
        if body.len() + piece.len() > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// How long the body of a request is, where the request says so.
pub(super) fn body_length(request: &Request) -> Option<u64> {
    header(request, CONTENT_LENGTH)?.parse().ok()
}

/// Takes the body out of a request, if it has one and nobody took it before.
pub(super) fn take_body(request: &Request) -> Option<RequestBody> {
    request.ext::<Once<RequestBody>>().and_then(Once::take)
}

/// An error in reading a request's body, as its sender is told.
pub(super) fn read_error(error: std::io::Error) -> Error {
    let status = if error.kind() == std::io::ErrorKind::TimedOut { 408 } else { 400 };
    Error::new(status, "The request ended before it was complete").caused_by(error)
}

/// JSON-RPC in the body of a request (spec api.md §0.5): always 200, and empty when there is nothing to say.
async fn json_rpc(request: Request) -> tide::Result<Response> {
    let is_json = header(&request, CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/json"));
    if !is_json {
        return finish(Err(Error::bad_request("Content-Type must be application/json")));
    }
    let body = match refuse_foreign_pages(&request, &visitor(&request).identity) {
        Ok(()) => read_body(&request).await,
        Err(error) => Err(error),
    };
    let body = match body {
        Ok(body) => body,
        Err(error) => return finish(Err(error)),
    };
    let site = request.state();
    let caller = site.caller(&request, Transport::HttpJsonRpc);
    let answer = jsonrpc::handle(&site.context.table, &caller, &body).await;
    Ok(respond::json(200, answer.unwrap_or_default()))
}
