//! The page at `/`: what state things are in, for somebody who opens the server's address in a browser.

use http_types::Response;
use tide::http as http_types;

use super::site::{Request, finish};
use super::visitor::visitor;
use super::{arguments, respond};
use crate::api::{Error, Role};

/// Shows the page.
pub(super) async fn show(request: Request) -> tide::Result<Response> {
    let site = request.state();
    let warnings = site.warnings.texts();
    // strangers are told that there is a server, and not how it is
    let is_stranger = visitor(&request).identity.role == Role::Anonymous;
    let message = if is_stranger { String::new() } else { site.klippy.state_message() };
    let warnings = match warnings.is_empty() {
        _ if is_stranger => "<p>Log in with a front-end to see them.</p>".to_owned(),
        true => "<p>There are no warnings.</p>".to_owned(),
        false => {
            let items: String = warnings.iter().map(|text| format!("<li>{}</li>", escape(text))).collect();
            format!("<ul>{items}</ul>")
        }
    };
    let page = PAGE
        .replace("{version}", env!("CARGO_PKG_VERSION"))
        .replace("{state}", site.klippy.state().name())
        .replace("{message}", &escape(&message))
        .replace("{connections}", &site.context.connections.len().to_string())
        .replace("{warnings}", &warnings);
    let mut response = respond::empty(200);
    response.set_body(page);
    response.insert_header("Content-Type", "text/html; charset=UTF-8");
    // It needs nothing but its own text, so a text from elsewhere that looks like a script stays a text.
    response.insert_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
    response.insert_header("Cache-Control", "no-store");
    Ok(response)
}

const PAGE: &str = r#"<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Perigee</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem;color:#222}
dt{float:left;clear:left;width:9rem;color:#666}dd{margin:0 0 .3rem 9rem;white-space:pre-line}</style></head>
<body><h1>Perigee</h1><p>The API server of this printer is running. Open a front-end such as Mainsail or Fluidd to use it.</p>
<dl><dt>Version</dt><dd>{version}</dd><dt>Klippy</dt><dd>{state}</dd><dt>Klippy says</dt><dd>{message}</dd>
<dt>Connections</dt><dd>{connections}</dd></dl><h2>Warnings</h2>{warnings}</body></html>
"#;

/// Text as it may stand in HTML.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // so that a text cannot name one of the page's own places
            '{' => escaped.push_str("&#123;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// `GET /server/redirect?url=…`: to a page that may use this server, and nowhere else.
pub(super) async fn redirect(request: Request) -> tide::Result<Response> {
    let url = arguments::own_key(request.url().query().unwrap_or_default(), "url").unwrap_or_default();
    let target = url.trim_end_matches('/');
    if target.is_empty() || !request.state().options.cors.allows(target) || target.contains(['\r', '\n']) {
        return finish(Err(Error::bad_request("Unauthorized URL redirect")));
    }
    let mut response = respond::empty(302);
    response.insert_header("Location", url);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_markup() {
        assert_eq!(escape("<b>\"{warnings}&"), "&lt;b&gt;&quot;&#123;warnings}&amp;");
    }
}
