//! `GET /server/files/<root>/<path>`: static files (spec api.md §1).

use http_types::{Body, Response};
use hyper::header::{IF_MODIFIED_SINCE, IF_RANGE, RANGE};
use tide::http as http_types;

use super::app::tail;
use super::respond;
use super::site::{Request, finish, header};
use super::visitor::visitor;
use crate::api::Result;
use crate::files::{Conditions, rights};

/// Sends a file, or the part of it that is asked for. `HEAD` comes here too; the wire leaves out the body.
pub(super) async fn send(request: Request) -> tide::Result<Response> {
    finish(answer(&request).await)
}

async fn answer(request: &Request) -> Result<Response> {
    let path = tail(request)?;
    visitor(request).identity.require(rights::to_read(&path))?;
    let download = request.state().files.download(&path).await?;
    let selection = download.select(&Conditions {
        range: header(request, RANGE),
        if_range: header(request, IF_RANGE),
        if_modified_since: header(request, IF_MODIFIED_SINCE),
    });
    let mut response = respond::empty(selection.status());
    let content_range = selection.content_range(download.length());
    let headers = download.headers();
    let body = download.into_body(selection);
    let length = usize::try_from(body.len()).ok();
    // sets a Content-Type, which ours then replaces
    response.set_body(Body::from_reader(body, length));
    for (name, value) in headers {
        response.insert_header(name, value);
    }
    if let Some(range) = content_range {
        response.insert_header("Content-Range", range);
    }
    if let Some(length) = length.filter(|_| matches!(selection.status(), 200 | 206)) {
        response.insert_header("Content-Length", length.to_string());
    }
    Ok(response)
}
