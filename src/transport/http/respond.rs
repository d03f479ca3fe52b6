//! What HTTP answers look like (spec api.md §0.4).

use std::hash::{DefaultHasher, Hasher};

use http_types::{Body, Response, StatusCode};
use tide::http as http_types;

use crate::api::{Error, Reply, Result};
use crate::json;

/// The type of JSON answers, as clients of the reference see it.
const JSON: &str = "application/json; charset=UTF-8";

/// An answer with a JSON body.
pub(super) fn json(status: u16, body: String) -> Response {
    let mut response = empty(status);
    response.set_body(Body::from_string(body));
    response.insert_header("Content-Type", JSON);
    response
}

/// An answer without a body.
pub(super) fn empty(status: u16) -> Response {
    Response::new(StatusCode::try_from(status).unwrap_or(StatusCode::InternalServerError))
}

/// The outcome of a call. `wrapped` puts it into `{"result": …}`; `if_none_match` is the client's `ETag`, if it
/// may be answered with 304.
pub(super) fn outcome(outcome: Result<Reply>, wrapped: bool, if_none_match: Option<&str>) -> Response {
    let text = match outcome {
        Ok(reply) if reply.is_none() => return empty(204),
        Ok(reply) if wrapped => format!("{{\"result\":{}}}", reply.as_str()),
        Ok(reply) => reply.into_string(),
        Err(error) => return self::error(&error),
    };
    let etag = etag(&text);
    if if_none_match.is_some_and(|known| etag_matches(known, &etag)) {
        let mut response = empty(304);
        response.insert_header("Etag", etag);
        return response;
    }
    let mut response = json(200, text);
    response.insert_header("Etag", etag);
    response
}

/// An error: `{"error": {"code": …, "message": …, "traceback": ""}}`. The whole message is in the body; the
/// reference's traceback would tell strangers about our insides, so that member is kept and empty.
pub(super) fn error(error: &Error) -> Response {
    log::debug!("answered with an error: {error}");
    let (code, message) = (error.status(), json::to_text(error.message()));
    let mut response =
        json(code, format!(r#"{{"error":{{"code":{code},"message":{message},"traceback":""}}}}"#));
    if code == 401 {
        response.insert_header("WWW-Authenticate", "Bearer");
    }
    response
}

/// Whether an `If-None-Match` header names this tag (RFC 9110 §13.1.2, weak comparison).
fn etag_matches(header: &str, etag: &str) -> bool {
    let mut tags = header.split(',').map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// The tag of an answer: alike for two answers only if they are the same. It guards against no one, so the quick hash
/// of the standard library does, and it may be another after an update.
fn etag(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    format!("\"{:016x}\"", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_answer_is_not_sent_again() {
        let answer = |tag: Option<&str>| outcome(Ok(Reply::ok()), true, tag);
        let first = answer(None);
        let etag = first.header("Etag").unwrap().as_str().to_owned();
        for known in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".into()] {
            assert_eq!(u16::from(answer(Some(&known)).status()), 304, "{known}");
        }
        assert_eq!(u16::from(answer(Some("\"x\"")).status()), 200);
    }
}
