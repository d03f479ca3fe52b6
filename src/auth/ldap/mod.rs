//! Passwords that an LDAP server keeps (spec behaviour.md §4.2): the user is looked for by name, then the server is
//! asked whether the password is theirs.
//!
//! There is a client of its own here, for simple binds and searches: the crates that there are need tokio.

mod ber;
mod client;
mod filter;
#[cfg(feature = "tls")]
mod tls;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use smol::Timer;
use smol::net::TcpStream;

use super::turns::Turns;
use crate::api::{Error, Result, Role};
use crate::duplex::Stream;
use client::{Client, Entry, Failure, INVALID_CREDENTIALS};

pub use filter::{Filter, USERNAME};

/// How long a log-in may take altogether.
pub const LDAP_TIMEOUT: Duration = Duration::from_secs(15);

/// Section `[ldap]` (spec config.md §3).
#[derive(Debug, Clone)]
pub struct LdapOptions {
    /// Name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it speaks TLS (`ldaps`).
    pub secure: bool,
    /// Certificates that the server's has to be signed with; none for those of the system.
    pub ca_file: Option<PathBuf>,
    /// Below what users are looked for.
    pub base_dn: String,
    /// The group that users have to be in.
    pub group_dn: Option<String>,
    /// Whether letters of the group's name have to be small or large as they are there.
    pub check_dn_case: bool,
    /// The attribute that has a user's groups.
    pub membership_attribute: &'static str,
    /// Who looks for users, and with what password; none for nobody.
    pub bind: Option<(String, String)>,
    /// The filter for a user.
    pub user_filter: Filter,
    /// What users may do who log in for the first time.
    pub role: Role,
}

/// The server that knows the passwords.
pub(super) struct Ldap {
    pub(super) options: LdapOptions,
    turns: Turns,
}

impl Ldap {
    pub(super) fn new(options: LdapOptions) -> Self {
        Self { options, turns: Turns::default() }
    }

    /// Whether the server knows this user by this password.
    ///
    /// # Errors
    /// 401 when it does not, 503 when it cannot be asked.
    pub(super) async fn check(&self, name: &str, password: &str) -> Result<()> {
        // without a password a bind is nobody's, and succeeds (RFC 4513 §5.1.2)
        if password.is_empty() {
            return Err(Error::unauthorized());
        }
        let _turn = self.turns.take().await?;
        let late = async {
            Timer::after(LDAP_TIMEOUT).await;
            Err(Failure::Broken(io::ErrorKind::TimedOut.into()))
        };
        match smol::future::or(self.ask(name, password), late).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::unauthorized()),
            Err(error) => {
                log::warn!("The LDAP server {} cannot be asked: {error}", self.options.host);
                Err(Error::unavailable("The LDAP server cannot be asked"))
            }
        }
    }

    async fn ask(&self, name: &str, password: &str) -> std::result::Result<bool, Failure> {
        let options = &self.options;
        let mut client = Client::new(self.connect().await?);
        let (dn, secret) = options.bind.as_ref().map_or(("", ""), |(dn, secret)| (dn, secret));
        client.bind(dn, secret).await?;
        let filter = options.user_filter.encode(name);
        let found = client.search(&options.base_dn, &filter, options.membership_attribute).await?;
        let [entry] = &found[..] else {
            log::info!("The LDAP server knows {} users '{}'", found.len(), name.escape_default());
            client.unbind().await;
            return Ok(false);
        };
        // a bind without a name is nobody's
        if entry.dn.is_empty() {
            return Ok(false);
        }
        let knows = match client.bind(&entry.dn, password).await {
            Err(Failure::Refused(code, _)) if code != INVALID_CREDENTIALS => {
                // some servers take one name for each connection
                client.unbind().await;
                client = Client::new(self.connect().await?);
                client.bind(&entry.dn, password).await
            }
            outcome => outcome,
        };
        client.unbind().await;
        match knows {
            Ok(()) => Ok(self.is_member(entry)),
            Err(Failure::Refused(..)) => Ok(false),
            Err(broken) => Err(broken),
        }
    }

    async fn connect(&self) -> io::Result<Stream> {
        let options = &self.options;
        let socket = TcpStream::connect((&*options.host, options.port)).await?;
        if !options.secure {
            return Ok(Box::new(socket));
        }
        #[cfg(feature = "tls")]
        return Ok(Box::new(tls::connect(&options.host, options.ca_file.clone(), socket).await?));
        #[cfg(not(feature = "tls"))]
        return Err(io::Error::new(io::ErrorKind::Unsupported, "this build has no TLS"));
    }

    /// Whether somebody is in the group, where that matters.
    fn is_member(&self, entry: &Entry) -> bool {
        let Some(group) = &self.options.group_dn else { return true };
        let same = |value: &String| match self.options.check_dn_case {
            true => value == group,
            false => value.to_lowercase() == group.to_lowercase(),
        };
        let is_member = entry.values.iter().any(same);
        if !is_member {
            log::info!("The LDAP user '{}' is not in the group", entry.dn);
        }
        is_member
    }
}
