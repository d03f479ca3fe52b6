//! Who makes a request: what it carries of addresses, tokens and keys, and whether a foreign page made it.

use std::net::IpAddr;

use hyper::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN, REFERER, USER_AGENT};
use tide::http as http_types;

use super::arguments::own_key;
use super::cors::{Cors, host_of};
use super::forwarded;
use super::hosts::Hosts;
use super::site::{Request, header, headers};
use super::wire::Peer;
use crate::api::{Error, Identity, Proof, Result, Role};
use crate::auth::{Credentials, Networks};

/// What decides who a visitor is.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Whom to believe where requests that they pass on came from.
    pub trusted_proxies: Networks,
    /// Names that this machine may be called by; none when it does not matter.
    pub hosts: Option<Hosts>,
    /// Whether foreign pages are kept from making changes.
    pub check_origin: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { trusted_proxies: Networks::loopback(), hosts: Some(Hosts::default()), check_origin: true }
    }
}

/// The maker of a request.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    /// The client's address, behind the proxies.
    pub(super) address: IpAddr,
    /// Who it is.
    pub(super) identity: Identity,
    /// What it called this machine by, when that is why it may be nobody.
    pub(super) unknown_host: Option<String>,
}

impl Visitor {
    /// Somebody of whom nothing is known but where he is.
    pub(super) fn stranger(request: &Request) -> Self {
        let origin = origin(request, &request.state().options.rules.trusted_proxies);
        Self { address: origin.address, identity: Identity::STRANGER, unknown_host: None }
    }

    /// What a stranger is told who may not do something.
    pub(super) fn refusal(&self) -> Error {
        match &self.unknown_host {
            Some(host) => Error::forbidden(format!(
                "'{host}' is not known as a name of this machine: see [authorization] allowed_hosts"
            )),
            None => Error::unauthorized(),
        }
    }
}

const X_ACCESS_TOKEN: HeaderName = HeaderName::from_static("x-access-token");
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Headers that decide who somebody is. Twice, they would mean different things to different readers.
const ONCE: [HeaderName; 5] = [HOST, AUTHORIZATION, X_ACCESS_TOKEN, X_API_KEY, ORIGIN];

/// Finds out who makes a request.
///
/// # Errors
/// 400 for headers that contradict each other, 401 for a token that never was good.
pub(super) async fn recognise(request: &Request) -> Result<Visitor> {
    let site = request.state();
    for name in ONCE {
        if headers(request, &name).nth(1).is_some() {
            return Err(Error::bad_request(format!("More than one header {name}")));
        }
    }
    let rules = &site.options.rules;
    let origin = origin(request, &rules.trusted_proxies);
    let by_address = origin.clear
        && match origin.other {
            Some(other) => site.context.auth.is_trusted(other).await,
            None => true,
        };
    let known_host = match (&rules.hosts, header(request, HOST)) {
        (Some(hosts), Some(host)) => hosts.allow(host, &site.options.cors),
        _ => true,
    };
    let query = request.url().query().unwrap_or_default();
    let (token, one_shot) = (access_token(request, query), own_key(query, "token"));
    let credentials = Credentials {
        access_token: token.as_deref(),
        one_shot: one_shot.as_deref().filter(|token| !token.is_empty()),
        api_key: header(request, &X_API_KEY),
        address: Some(origin.address),
        by_address: by_address && known_host,
    };
    let identity = site.context.auth.authenticate(&credentials).await?;
    let unknown_host = (!known_host && identity.role == Role::Anonymous).then(|| shown_host(request));
    Ok(Visitor { address: origin.address, identity, unknown_host })
}

fn origin(request: &Request, proxies: &Networks) -> forwarded::Origin {
    let peer = request.ext::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.address);
    // what is no text is no address either
    let values = |name| headers(request, name).map(|value| value.to_str().unwrap_or("?"));
    forwarded::origin(peer, values("x-forwarded-for"), values("x-real-ip"), proxies)
}

/// The token to call with (spec behaviour.md §4.1, step 1). Where a proxy asks for a password of its own, that is
/// what `Authorization` holds, and there is no token.
fn access_token(request: &Request, query: &str) -> Option<String> {
    let token = match header(request, AUTHORIZATION) {
        Some(value) => match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim().to_owned()),
            _ => None,
        },
        None => {
            header(request, &X_ACCESS_TOKEN).map(str::to_owned).or_else(|| own_key(query, "access_token"))
        }
    };
    token.filter(|token| !token.is_empty())
}

/// Refuses a request by which a page of a foreign site changes something in its visitor's name. What carries a
/// token or a key comes from somebody who has it, and no foreign page does.
///
/// # Errors
/// 403.
pub(super) fn refuse_foreign_pages(request: &Request, identity: &Identity) -> Result<()> {
    let site = request.state();
    let forgeable = matches!(identity.proof, Proof::Address | Proof::Nothing);
    if forgeable && site.options.rules.check_origin && is_foreign(request, &site.options.cors) {
        return Err(Error::forbidden("Pages of other sites may not do this"));
    }
    Ok(())
}

/// Whether a page of a foreign site makes the request, as far as the browser tells.
fn is_foreign(request: &Request, cors: &Cors) -> bool {
    if let Some(origin) = header(request, ORIGIN) {
        return !is_own_page(request, origin, cors);
    }
    if let Some(site) = header(request, "sec-fetch-site") {
        return site == "cross-site";
    }
    if let Some(referer) = header(request, REFERER) {
        return !is_own_page(request, origin_of(referer), cors);
    }
    // For links and pictures, browsers may say nothing of the page that they are on. Nobody but a browser names
    // itself so; what a page sends by script has an Origin.
    let is_browser = header(request, USER_AGENT).is_some_and(|agent| agent.starts_with("Mozilla/5.0 ("));
    is_browser && request.method() == http_types::Method::Get
}

/// Whether an origin is that of a page of this very server, or one that is allowed.
pub(super) fn is_own_page(request: &Request, origin: &str, cors: &Cors) -> bool {
    let host = header(request, HOST).unwrap_or_default();
    let page = origin.split_once("://").map_or(origin, |(_, host)| host);
    (!host.is_empty() && page.eq_ignore_ascii_case(host)) || cors.allows(origin)
}

/// Scheme, host and port of an address.
fn origin_of(url: &str) -> &str {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let end = url[after_scheme..].find(['/', '?', '#']).map_or(url.len(), |at| after_scheme + at);
    &url[..end]
}

/// How the client reaches the server: `https` where it does so here, or a proxy says so.
pub(super) fn scheme(request: &Request) -> &'static str {
    let Some(peer) = request.ext::<Peer>() else { return "http" };
    let believed = request.state().options.rules.trusted_proxies.contains(peer.address);
    let said = header(request, "x-scheme").or_else(|| header(request, "x-forwarded-proto"));
    let by_proxy = believed && said.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    if peer.is_secure || by_proxy { "https" } else { "http" }
}

/// The name in a `Host` header, for a message.
fn shown_host(request: &Request) -> String {
    host_of(header(request, HOST).unwrap_or_default()).escape_default().to_string()
}

/// The maker of a request that has been recognised.
pub(super) fn visitor(request: &Request) -> &Visitor {
    static NOBODY: Visitor = Visitor {
        address: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        identity: Identity::STRANGER,
        unknown_host: None,
    };
    request.ext::<Visitor>().unwrap_or(&NOBODY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_cut_out() {
        for (url, origin) in [
            ("http://a.b:80/x?y#z", "http://a.b:80"),
            ("https://a.b", "https://a.b"),
            ("http://a?b/c", "http://a"),
            ("a/b", "a"),
            ("", ""),
        ] {
            assert_eq!(origin_of(url), origin);
        }
    }
}
