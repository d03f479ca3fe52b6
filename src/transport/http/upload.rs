//! `POST /server/files/upload`: a file in a form (spec api.md §6.2). It streams to the disk as it comes; the
//! parts may come in any order.

use std::sync::Arc;
use std::time::Duration;

use futures_lite::StreamExt;
use http_types::Response;
use hyper::header::{CONTENT_TYPE, HOST};
use multer::{Constraints, Field, Multipart, SizeLimit};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use tide::http as http_types;

use super::app::{body_length, read_error, take_body};
use super::respond;
use super::site::{Request, Site, finish, header};
use super::visitor::{refuse_foreign_pages, scheme, visitor};
use crate::api::{Error, Result, Role};
use crate::files::{FileAction, GCODES, Upload, UploadTarget, is_gcode, rights};
use crate::transport::MAX_MESSAGE;

/// The longest value of a form's field other than the file, in bytes.
pub(super) const MAX_FIELD: u64 = 64 * 1024;

/// The most parts that one form may have.
pub(super) const MAX_PARTS: usize = 64;

/// What the heads of the parts may take besides the file itself.
const FORM_OVERHEAD: u64 = 1024 * 1024;

/// How long the answer to an upload waits for its print to start.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// What stands as it is in the path of a `Location`.
const PATH: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Takes an upload.
pub(super) async fn receive(request: Request) -> tide::Result<Response> {
    let outcome = take(&request).await;
    if outcome.is_err() && visitor(&request).identity.role > Role::Anonymous {
        // What the client still sends is read away, within reason, so that it gets to see the answer.
        let mut body = take_body(&request);
        let mut rest = FORM_OVERHEAD;
        while let Some(body) = &mut body
            && let Some(Ok(piece)) = body.next().await
            && rest > 0
        {
            rest = rest.saturating_sub(piece.len() as u64);
        }
    }
    finish(outcome)
}

/// What a form said.
#[derive(Default)]
struct Form {
    target: UploadTarget,
    print: bool,
    upload: Option<Upload>,
}

#[derive(Serialize)]
struct Uploaded<'a> {
    #[serde(flatten)]
    action: &'a FileAction,
    #[serde(skip_serializing_if = "Option::is_none")]
    print_started: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    print_queued: Option<bool>,
}

async fn take(request: &Request) -> Result<Response> {
    let site = request.state().clone();
    let identity = visitor(request).identity.clone();
    identity.require(Role::Operator)?;
    refuse_foreign_pages(request, &identity)?;
    let limit = site.options.max_upload_size.saturating_add(FORM_OVERHEAD);
    let length = body_length(request);
    if length.is_some_and(|length| length > limit) {
        return Err(Error::new(413, "The upload is larger than max_upload_size"));
    }
    let mut parts = form(request, limit)?;
    let form = read_parts(&site, &mut parts, length).await?;
    drop(parts);
    let upload = form.upload.ok_or_else(|| Error::bad_request("No file in the form"))?;
    identity.require(rights::to_write(&form.target.root_name()))?;
    let change = site.files.finish_upload(upload, &form.target).await?;
    let item = &change.action.item;
    let mut uploaded = Uploaded { action: &change.action, print_started: None, print_queued: None };
    if item.root == GCODES && is_gcode(&item.path) {
        let user = identity.user;
        let started = form.print && start_print(&site, &item.path, user.clone()).await;
        uploaded.print_started = Some(started);
        uploaded.print_queued = Some(match &site.queue {
            Some(queue) if form.print && !started => queue.enqueue(item.path.clone(), user).await,
            _ => false,
        });
    }
    let mut response = respond::json(201, crate::json::to_text(&uploaded));
    response.insert_header("Location", location(request, &item.root, &item.path));
    Ok(response)
}

/// Reads all parts of the form; the file goes to the disk.
async fn read_parts(site: &Arc<Site>, parts: &mut Multipart<'_>, length: Option<u64>) -> Result<Form> {
    let mut form = Form::default();
    for _ in 0..MAX_PARTS {
        let Some(mut field) = parts.next_field().await.map_err(form_error)? else {
            return Ok(form);
        };
        match field.name().unwrap_or_default() {
            "file" if form.upload.is_some() => {
                return Err(Error::bad_request("More than one file in the form"));
            }
            "file" => {
                form.target.filename = field.file_name().unwrap_or_default().to_owned();
                let mut upload = site.files.begin_upload(&form.target, length).await?;
                while let Some(chunk) = field.chunk().await.map_err(form_error)? {
                    upload.write(&chunk).await?;
                }
                form.upload = Some(upload);
            }
            "root" => form.target.root = text(field).await?,
            "path" => form.target.path = text(field).await?,
            "checksum" => form.target.checksum = Some(text(field).await?),
            "print" => form.print = text(field).await? == "true",
            _ => drop(text(field).await?),
        }
    }
    Err(Error::bad_request(format!("The form has more than {MAX_PARTS} parts")))
}

/// Starts the print of a file that was uploaded for it, unless another is under way. Whether it did.
async fn start_print(site: &Site, path: &str, user: Option<Arc<str>>) -> bool {
    let state: Option<String> = site.klippy.value("print_stats", "state");
    if matches!(state.as_deref(), Some("printing" | "paused")) {
        return false;
    }
    let (sender, outcome) = smol::channel::bounded(1);
    let (klippy, file) = (site.klippy.clone(), path.to_owned());
    site.context.spawner.spawn(async move {
        let started = klippy.start_print(&file, user).await;
        let started = started.inspect_err(|error| log::warn!("The print of {file} was not started: {error}"));
        let _ = sender.send(started.is_ok()).await;
    });
    // Klippy answers when it gets to it. While it is busy with a long command it has the order all the same.
    let busy = async {
        smol::Timer::after(START_TIMEOUT).await;
        Ok(true)
    };
    smol::future::or(outcome.recv(), busy).await.unwrap_or(false)
}

fn location(request: &Request, root: &str, path: &str) -> String {
    let site = request.state();
    let host = header(request, HOST).unwrap_or("localhost");
    let path = utf8_percent_encode(path, &PATH);
    format!("{}://{host}{}/server/files/{root}/{path}", scheme(request), site.options.route_prefix)
}

/// The parts of a form in the body of a request.
///
/// # Errors
/// 400 for a body that is no form.
fn form(request: &Request, limit: u64) -> Result<Multipart<'static>> {
    let kind = header(request, CONTENT_TYPE).unwrap_or_default();
    let boundary = multer::parse_boundary(kind)
        .map_err(|error| Error::bad_request("The body must be multipart/form-data").caused_by(error))?;
    let constraints = Constraints::new().size_limit(SizeLimit::new().whole_stream(limit));
    let body = take_body(request).ok_or_else(|| Error::bad_request("The form is empty"))?;
    Ok(Multipart::with_constraints(body, boundary, constraints))
}

/// The value of a field that is no file.
async fn text(mut field: Field<'_>) -> Result<String> {
    let mut value = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(form_error)? {
        value.extend_from_slice(&chunk);
        if value.len() as u64 > MAX_FIELD {
            return Err(Error::new(413, format!("A field of the form is longer than {MAX_FIELD} bytes")));
        }
    }
    String::from_utf8(value).map_err(|_| Error::bad_request("A field of the form is not valid UTF-8"))
}

/// Reads the fields of a form without a file, for ordinary endpoints.
///
/// # Errors
/// 400 for a malformed form, 413 for a large one.
pub(super) async fn read_form(request: &Request) -> Result<Vec<(String, String)>> {
    let mut parts = form(request, MAX_MESSAGE as u64)?;
    let mut pairs = Vec::new();
    while let Some(field) = parts.next_field().await.map_err(form_error)? {
        if pairs.len() >= MAX_PARTS {
            return Err(Error::bad_request(format!("The form has more than {MAX_PARTS} parts")));
        }
        let name = field.name().unwrap_or_default().to_owned();
        pairs.push((name, text(field).await?));
    }
    Ok(pairs)
}

fn form_error(error: multer::Error) -> Error {
    match error {
        multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => {
            Error::new(413, "The upload is larger than max_upload_size")
        }
        multer::Error::StreamReadFailed(cause) => match cause.downcast::<std::io::Error>() {
            Ok(cause) => read_error(*cause),
            Err(cause) => Error::bad_request("The request ended before it was complete").caused_by(cause),
        },
        other => Error::bad_request(format!("Malformed form: {other}")),
    }
}
