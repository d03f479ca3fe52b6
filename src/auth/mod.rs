//! Who somebody is and what they may do: users, tokens, API keys, trusted addresses (spec behaviour.md §4).
//!
//! Transports hand in what a request carries ([`Credentials`]) and get an [`Identity`]; what an identity may call
//! is a matter of the endpoint table. Users lie in the table `authorized_users` of the storage, named keys in
//! `access_keys`; all of both is kept in memory, since every request asks.

mod attempts;
mod keys;
#[cfg(feature = "ldap")]
mod ldap;
mod networks;
mod one_shot;
mod password;
mod random;
mod sign_in;
mod token;
mod trusted;
mod turns;
mod users;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::api::{Connection, Connections, Error, Events, Identity, Proof, Result, Role, Warnings};
use crate::storage::{self, Storage};
use crate::sync::lock;
use crate::tasks::Spawner;
use attempts::Attempts;
use keys::Key;
use one_shot::OneShots;
use token::{Bad, Tokens, UserKey};
use turns::Turns;
use users::Account;

pub use attempts::{FREE as FREE_ATTEMPTS, MAX_ADDRESSES, MAX_WAIT};
pub use keys::{KeyInfo, MAX_KEYS, NewKey};
#[cfg(feature = "ldap")]
pub use ldap::{Filter, LDAP_TIMEOUT, LdapOptions, USERNAME};
pub use networks::{Network, Networks, whose};
pub use one_shot::{LIFE as ONE_SHOT_LIFE, MAX_WAITING as MAX_ONE_SHOTS};
pub use password::MAX_PASSWORD;
pub use sign_in::LoggedIn;
pub use token::{ACCESS_LIFE, MAX_TOKEN};
pub use trusted::{MAX_NAMES as MAX_TRUSTED_NAMES, TrustedClients};
pub use turns::MAX_WAITING as MAX_LOG_INS;
pub use users::{MAX_NAME, MAX_USERS, UserInfo};

/// The name that stands for clients that are trusted for their address.
pub const TRUSTED_USER: &str = "_TRUSTED_USER_";

/// Who keeps a user's password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// This server; the name is that of existing databases.
    Moonraker,
    /// An LDAP server.
    Ldap,
}

impl Source {
    /// The name that options, calls and the database use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Moonraker => "moonraker",
            Self::Ldap => "ldap",
        }
    }
}

/// Section `[authorization]`, but for what is HTTP's alone.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a log-in can be refreshed, in days.
    pub login_timeout: u32,
    /// Whether trusted clients have to log in as soon as there is a user.
    pub force_logins: bool,
    /// Who is asked for passwords when a log-in does not say.
    pub default_source: Source,
    /// Whether API keys count.
    pub enable_api_key: bool,
    /// After how many failed log-ins an address is locked out; none for never.
    pub max_login_attempts: Option<u32>,
    /// Clients that are trusted for their address.
    pub trusted_clients: TrustedClients,
    /// What those may do.
    pub trusted_role: Role,
    /// What processes of other users of this machine may do on the unix socket.
    pub unix_socket_role: Role,
    /// Who issues tokens: `http://<host name>:<port>`.
    pub issuer: String,
    /// The LDAP server that keeps passwords, if there is one.
    #[cfg(feature = "ldap")]
    pub ldap: Option<LdapOptions>,
}

/// What a request says of who makes it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// A token to call with.
    pub access_token: Option<&'a str>,
    /// A one-shot token.
    pub one_shot: Option<&'a str>,
    /// An API key.
    pub api_key: Option<&'a str>,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// Whether the client may be trusted for its address: not when somebody else's page can have made it ask.
    pub by_address: bool,
}

/// What this works with.
pub struct Parts {
    /// Where users and keys are kept.
    pub storage: Storage,
    /// The connections whose users may log out.
    pub connections: Arc<Connections>,
    /// Where notifications go.
    pub events: Arc<Events>,
    /// Starts tasks.
    pub spawner: Spawner,
}

/// Users and keys, in memory.
#[derive(Default)]
struct Known {
    users: BTreeMap<Arc<str>, Account>,
    api_key: String,
    keys: BTreeMap<Arc<str>, Key>,
}

/// Who may do what.
pub struct Auth {
    options: Options,
    parts: Parts,
    known: Mutex<Known>,
    /// Held while a user or key is changed, up to when it is on the disk.
    changing: smol::lock::Mutex<()>,
    tokens: Tokens,
    one_shots: OneShots,
    attempts: Attempts,
    hashing: Turns,
    #[cfg(feature = "ldap")]
    ldap: Option<ldap::Ldap>,
}

impl Auth {
    /// Reads users and keys. What cannot be read is not there, and a warning says so.
    pub fn new(options: Options, parts: Parts, warnings: &Warnings) -> Arc<Self> {
        let known = parts.storage.read(|view| {
            let mut known = Known { keys: keys::read(view)?, ..Known::default() };
            for user in storage::users::all(view)? {
                match &*user.username {
                    storage::users::API_KEY_USER => known.api_key = user.password,
                    name => drop(known.users.insert(name.into(), Account::new(user))),
                }
            }
            Ok(known)
        });
        let known = known.unwrap_or_else(|error| {
            if error.kind() != storage::Kind::Unavailable {
                warnings.add(format!("Users and API keys cannot be read: {error}"));
            }
            Known::default()
        });
        Arc::new(Self {
            tokens: Tokens::new(options.issuer.clone(), options.login_timeout),
            attempts: Attempts::new(options.max_login_attempts),
            known: Mutex::new(known),
            changing: smol::lock::Mutex::new(()),
            one_shots: OneShots::default(),
            hashing: Turns::default(),
            #[cfg(feature = "ldap")]
            ldap: options.ldap.clone().map(ldap::Ldap::new),
            options,
            parts,
        })
    }

    /// Makes the API key if there is none yet.
    ///
    /// # Errors
    /// Those of the storage; the key is good until the server stops even then.
    pub async fn prepare(&self) -> Result<()> {
        let missing = lock(&self.known).api_key.is_empty();
        if missing { self.renew_api_key().await.map(drop) } else { Ok(()) }
    }

    /// The options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Who makes a request (spec behaviour.md §4.1). Somebody whose token has expired is a stranger.
    ///
    /// # Errors
    /// 401 for a token that never was good.
    pub async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Identity> {
        if let Some(token) = credentials.access_token {
            return match self.user_of(token, token::Use::Access) {
                Ok(user) => Ok(self.identity_of(&user)),
                Err(Bad::Expired) => Ok(Identity::STRANGER),
                Err(Bad::Forged) => Err(Error::unauthorized()),
            };
        }
        let by_one_shot =
            credentials.one_shot.and_then(|token| self.one_shots.take(token, credentials.address));
        if let Some(identity) = by_one_shot {
            return Ok(identity);
        }
        if let Some(identity) = credentials.api_key.and_then(|key| self.by_api_key(key)) {
            return Ok(identity);
        }
        match credentials.address.filter(|_| credentials.by_address) {
            Some(address) if !self.must_log_in() && self.is_trusted(address).await => Ok(Identity {
                user: Some(TRUSTED_USER.into()),
                ..Identity::with_role(self.options.trusted_role, Proof::Address)
            }),
            _ => Ok(Identity::STRANGER),
        }
    }

    /// Who a token was made for, to log in on a lasting connection.
    ///
    /// # Errors
    /// 401 for a token that is not good.
    pub fn by_access_token(&self, token: &str) -> Result<Identity> {
        let user = self.user_of(token, token::Use::Access).map_err(|_| Error::unauthorized())?;
        Ok(self.identity_of(&user))
    }

    /// A process on the unix socket, of this user of the machine.
    pub fn by_uid(&self, uid: Option<u32>) -> Identity {
        let own = nix::unistd::getuid().as_raw();
        match uid {
            Some(uid) if uid == own || uid == 0 => Identity::local(),
            _ => Identity::with_role(self.options.unix_socket_role, Proof::Local),
        }
    }

    /// Whether clients at this address are trusted.
    pub async fn is_trusted(&self, address: IpAddr) -> bool {
        self.options.trusted_clients.contains(address).await
    }

    /// Whether a connection from this address is somebody's before anything came over it. Names are not looked up.
    pub fn trusts_connection(&self, address: IpAddr) -> bool {
        self.options.trusted_clients.has_address(address.to_canonical()) && !self.must_log_in()
    }

    /// Whether trusted clients have to log in, because there are users.
    pub fn must_log_in(&self) -> bool {
        self.options.force_logins && !lock(&self.known).users.is_empty()
    }

    /// A token for the next request of somebody, good from this address alone.
    ///
    /// # Errors
    /// 503 when too many wait to be used.
    pub fn one_shot(&self, identity: Identity, address: IpAddr) -> Result<String> {
        self.one_shots.make(identity, Some(address))
    }

    fn user_of(&self, token: &str, wanted: token::Use) -> std::result::Result<Arc<str>, Bad> {
        self.tokens.verify(token, wanted, |key_id| self.key_of(key_id))
    }

    fn key_of(&self, key_id: &str) -> Option<(Arc<str>, UserKey)> {
        let known = lock(&self.known);
        known.users.iter().find_map(|(name, account)| {
            let key = account.key.as_ref().filter(|key| key.id == key_id)?;
            Some((name.clone(), key.clone()))
        })
    }

    /// A user as they are now; a stranger when there is no such user any more.
    fn identity_of(&self, name: &Arc<str>) -> Identity {
        match lock(&self.known).users.get(name) {
            Some(account) => Identity {
                user: Some(name.clone()),
                ..Identity::with_role(account.role(), Proof::User(name.clone()))
            },
            None => Identity::STRANGER,
        }
    }

    /// Takes the rights of everybody who has this proof, at once: on connections, and of one-shot tokens. The
    /// connection `but` keeps them.
    fn revoke(&self, proof: &Proof, but: Option<&Connection>) {
        self.one_shots.forget(|identity| identity.proof == *proof);
        self.parts.connections.change_identities(|connection, identity| {
            let kept = but.is_some_and(|but| but.id() == connection.id());
            (identity.proof == *proof && !kept).then_some(Identity::STRANGER)
        });
    }
}
