//! One row of the endpoint table: everything that is to be known of a remote call, in one place.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::caller::{Caller, Role, Transport};
use super::describe::Argument;
use super::params::{FromParams, Params};
use super::{Error, Reply, Result};

/// HTTP verbs that endpoints use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Reads.
    Get,
    /// Acts.
    Post,
    /// Removes.
    Delete,
}

impl Verb {
    /// The verb as it stands in a request line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// Which transports an endpoint is offered on (spec api.md §0.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transports {
    http: bool,
    sockets: bool,
    internal: bool,
}

impl Transports {
    /// Everywhere.
    pub const ALL: Self = Self { http: true, sockets: true, internal: true };
    /// HTTP alone: the endpoint has no RPC method.
    pub const HTTP: Self = Self { http: true, sockets: false, internal: false };
    /// Websocket and unix socket alone: the endpoint needs a lasting connection.
    pub const SOCKETS: Self = Self { http: false, sockets: true, internal: false };

    /// Whether a call over `transport` is allowed.
    pub fn allow(self, transport: Transport) -> bool {
        match transport {
            Transport::Http | Transport::HttpJsonRpc => self.http,
            Transport::Websocket | Transport::UnixSocket => self.sockets,
            Transport::Internal => self.internal,
        }
    }
}

/// How query and form arguments are read over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryStyle {
    /// Each key is an argument.
    Arguments,
    /// Each key is a printer object and its value a list of fields; all go under `objects` (spec api.md §0.3).
    Objects,
}

/// A call on its way to a handler.
#[derive(Debug)]
pub struct Call<P = Params> {
    /// Who calls.
    pub caller: Caller,
    /// With what.
    pub params: P,
    /// What stood in place of the `*` of an endpoint's path, with `/` between segments; empty otherwise.
    pub tail: String,
}

type Outcome = Pin<Box<dyn Future<Output = Result<Reply>> + Send>>;
type Handler = Box<dyn Fn(Call) -> Outcome + Send + Sync>;

/// A remote call: its names, who may make it, its arguments and what it does.
pub struct Endpoint {
    /// The JSON-RPC method; ends in `.*` where the path ends in `/*`. Empty without one.
    pub rpc: &'static str,
    /// The HTTP verbs; none without an HTTP form.
    pub verbs: &'static [Verb],
    /// The HTTP path. A last segment `*` takes any rest.
    pub path: &'static str,
    /// Where it is offered.
    pub transports: Transports,
    /// The least role that may call it.
    pub role: Role,
    /// How its query is read.
    pub query: QueryStyle,
    /// Whether the HTTP reply is wrapped in `{"result": …}`.
    pub wrapped: bool,
    /// Its arguments.
    pub arguments: fn() -> Vec<Argument>,
    handler: Handler,
}

impl Endpoint {
    fn new(rpc: &'static str, verbs: &'static [Verb], path: &'static str) -> Self {
        Self {
            rpc,
            verbs,
            path,
            transports: Transports::ALL,
            role: Role::Admin,
            query: QueryStyle::Arguments,
            wrapped: true,
            arguments: Vec::new,
            handler: Box::new(|_| Box::pin(async { Err(Error::internal("endpoint without a handler")) })),
        }
    }

    /// `GET path`, RPC method `rpc`.
    pub fn get(rpc: &'static str, path: &'static str) -> Self {
        Self::new(rpc, &[Verb::Get], path)
    }

    /// `POST path`, RPC method `rpc`.
    pub fn post(rpc: &'static str, path: &'static str) -> Self {
        Self::new(rpc, &[Verb::Post], path)
    }

    /// `DELETE path`, RPC method `rpc`.
    pub fn delete(rpc: &'static str, path: &'static str) -> Self {
        Self::new(rpc, &[Verb::Delete], path)
    }

    /// `GET` or `POST` of `path`, RPC method `rpc`: how Klippy's own endpoints are offered (spec api.md §0.2).
    pub fn any(rpc: &'static str, path: &'static str) -> Self {
        Self::new(rpc, &[Verb::Get, Verb::Post], path)
    }

    /// RPC method `rpc` for websocket and unix socket, without an HTTP form.
    pub fn socket(rpc: &'static str) -> Self {
        Self { transports: Transports::SOCKETS, ..Self::new(rpc, &[], "") }
    }

    /// Anybody may call it, also before they have logged in.
    #[must_use]
    pub fn open(self) -> Self {
        Self { role: Role::Anonymous, ..self }
    }

    /// For those who may look.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self { role: Role::ReadOnly, ..self }
    }

    /// For those who may run the printer.
    #[must_use]
    pub fn operator(self) -> Self {
        Self { role: Role::Operator, ..self }
    }

    /// For those who may do everything (this is the default).
    #[must_use]
    pub fn admin(self) -> Self {
        Self { role: Role::Admin, ..self }
    }

    /// Over HTTP alone.
    #[must_use]
    pub fn http_only(self) -> Self {
        Self { transports: Transports::HTTP, rpc: "", ..self }
    }

    /// Not for other parts of this program, nor for transports that do not tell who calls (spec api.md §7).
    #[must_use]
    pub fn clients_only(self) -> Self {
        Self { transports: Transports { internal: false, ..self.transports }, ..self }
    }

    /// RPC alone, though on every transport that carries JSON-RPC.
    #[must_use]
    pub fn rpc_only(self) -> Self {
        Self { verbs: &[], path: "", ..self }
    }

    /// The HTTP reply is the bare result (spec api.md §11).
    #[must_use]
    pub fn bare(self) -> Self {
        Self { wrapped: false, ..self }
    }

    /// The query names printer objects.
    #[must_use]
    pub fn object_query(self) -> Self {
        Self { query: QueryStyle::Objects, ..self }
    }

    /// What the call does: `handle(part, call)`.
    #[must_use]
    pub fn to<S, P, R, F, Fut>(self, part: &Arc<S>, handle: F) -> Self
    where
        S: Send + Sync + 'static,
        P: FromParams + Send,
        R: Into<Reply>,
        F: Fn(Arc<S>, Call<P>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
    {
        let part = part.clone();
        let handler: Handler = Box::new(move |call: Call| {
            let Call { caller, params, tail } = call;
            match P::from_params(params) {
                Ok(params) => {
                    let outcome = handle(part.clone(), Call { caller, params, tail });
                    Box::pin(async move { outcome.await.map(Into::into) })
                }
                Err(error) => Box::pin(std::future::ready(Err(error))),
            }
        });
        Self { handler, arguments: P::describe, ..self }
    }

    /// Makes the call, if the caller may.
    ///
    /// # Errors
    /// 401 for a caller without any rights, 403 for one with too few, and whatever the handler answers.
    pub async fn call(&self, call: Call) -> Result<Reply> {
        call.caller.identity.require(self.role)?;
        (self.handler)(call).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Identity;
    use crate::api::caller::Proof;
    use crate::api::params::NoParams;

    struct Part;

    fn caller(role: Role) -> Caller {
        Caller { identity: Identity::with_role(role, Proof::Nothing), ..Caller::internal() }
    }

    #[test]
    fn a_role_includes_those_below_it() {
        let endpoint = Endpoint::get("a.b", "/a/b")
            .operator()
            .to(&Arc::new(Part), |_, _: Call<NoParams>| async { Ok(Reply::ok()) });
        let status = |role| {
            let call = Call { caller: caller(role), params: Params::none(), tail: String::new() };
            smol::block_on(endpoint.call(call)).err().map(|error| error.status())
        };
        assert_eq!(status(Role::Anonymous), Some(401));
        assert_eq!(status(Role::ReadOnly), Some(403));
        assert_eq!(status(Role::Operator), None);
        assert_eq!(status(Role::Admin), None);
    }
}
