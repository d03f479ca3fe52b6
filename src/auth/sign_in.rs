//! Logging in: the check of a password, and the tokens that come of it.

use std::net::IpAddr;
use std::sync::Arc;

use ring::digest::{SHA256, digest};

use super::password::{self, Stored};
use super::token::{Use, UserKey};
#[cfg(feature = "ldap")]
use super::users::check_name;
use super::users::{Account, refuse_reserved};
use super::{Auth, Source};
use crate::api::{Error, Identity, Result};
use crate::sync::lock;
use crate::time::unix_seconds;

/// What a log-in gives.
pub struct LoggedIn {
    /// The user.
    pub username: Arc<str>,
    /// Who keeps the password.
    pub source: String,
    /// A token to call with.
    pub token: String,
    /// A token to get a new one with.
    pub refresh_token: String,
    /// The user, for a lasting connection.
    pub identity: Identity,
}

impl Auth {
    /// Logs a user in.
    ///
    /// # Errors
    /// 400 for a wrong name or password, without saying which; 429 and 401 for an address that failed too often;
    /// those of the storage.
    pub async fn log_in(
        &self,
        name: &str,
        password: &str,
        source: Option<Source>,
        address: Option<IpAddr>,
    ) -> Result<LoggedIn> {
        refuse_reserved(name)?;
        let source = source.unwrap_or(self.options.default_source);
        if !self.sources().contains(&source) {
            return Err(Error::bad_request(format!("Invalid source '{}'", source.name())));
        }
        self.attempts.begin(address)?;
        let checked = match source {
            Source::Moonraker => self.check_password(name, password).await,
            Source::Ldap => self.check_elsewhere(name, password).await,
        };
        if let Err(error) = checked {
            self.attempts.failed(address);
            log::info!(
                "A log-in failed from {}: {error}",
                address.map_or("this machine".to_owned(), |a| a.to_string())
            );
            return Err(error);
        }
        self.attempts.succeeded(address);
        self.give_tokens(name).await
    }

    /// Who can be asked for passwords.
    pub fn sources(&self) -> Vec<Source> {
        let others = self.asks_elsewhere().then_some(Source::Ldap);
        std::iter::once(Source::Moonraker).chain(others).collect()
    }

    #[cfg(feature = "ldap")]
    fn asks_elsewhere(&self) -> bool {
        self.ldap.is_some()
    }

    #[cfg(not(feature = "ldap"))]
    fn asks_elsewhere(&self) -> bool {
        false
    }

    /// Asks the LDAP server. Who logs in for the first time becomes a user.
    ///
    /// # Errors
    /// 401 for somebody whom the server does not know by this password, or whose password is kept here; 503 when it
    /// cannot be asked.
    #[cfg(feature = "ldap")]
    async fn check_elsewhere(&self, name: &str, password: &str) -> Result<()> {
        check_name(name)?;
        let known = self.account(name).ok();
        let ours = known.as_ref().is_some_and(|account| account.source() != Some(Source::Ldap));
        let Some(ldap) = self.ldap.as_ref().filter(|_| !ours && password.len() <= password::MAX_PASSWORD)
        else {
            return Err(Error::unauthorized());
        };
        ldap.check(name, password).await?;
        match known {
            Some(_) => Ok(()),
            None => self.add_user(name, String::new(), Source::Ldap, ldap.options.role).await,
        }
    }

    #[cfg(not(feature = "ldap"))]
    async fn check_elsewhere(&self, _: &str, _: &str) -> Result<()> {
        Err(Error::unauthorized())
    }

    async fn check_password(&self, name: &str, password: &str) -> Result<()> {
        let wrong = || Error::bad_request("Invalid username or password");
        if password.len() > password::MAX_PASSWORD {
            return Err(wrong());
        }
        let account = self.account(name).ok().filter(|account| account.source() == Some(Source::Moonraker));
        let stored = account.as_ref().map_or_else(|| self.stand_in(name), Account::stored_password);
        let (is_user, secret) = (account.is_some(), password.to_owned());
        let verify = move || {
            let right = stored.verify(&secret) && is_user;
            // a hash that Moonraker made is replaced by a better one
            (right, (right && !stored.is_current()).then(|| password::hash(&secret)))
        };
        let (right, better) = self.hashing.run(verify).await?;
        if !right {
            return Err(wrong());
        }
        if let Some(hash) = better {
            let _changing = self.changing.lock().await;
            let mut account = self.account(name)?;
            account.set_password(hash?);
            self.store(account).await?;
        }
        Ok(())
    }

    /// What is verified for a user that there is not, so that it takes as long as for one that there is: the
    /// password of somebody else, always the same one for the same name. The outcome does not count.
    fn stand_in(&self, name: &str) -> Stored {
        let known = lock(&self.known);
        let users: Vec<&Account> =
            known.users.values().filter(|account| account.source() == Some(Source::Moonraker)).collect();
        let hash = digest(&SHA256, format!("{}\0{name}", known.api_key).as_bytes());
        let number = hash.as_ref().iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        let chosen = number.checked_rem(users.len() as u64).and_then(|at| users.get(at as usize));
        chosen.map_or_else(Stored::of_nobody, |account| account.stored_password())
    }

    /// Tokens for somebody who has proved to be this user.
    ///
    /// # Errors
    /// 400 when there is no such user any more; those of the storage.
    pub async fn give_tokens(&self, name: &str) -> Result<LoggedIn> {
        let _changing = self.changing.lock().await;
        let mut account = self.account(name)?;
        let key = match account.key.clone() {
            Some(key) => key,
            None => {
                let key = UserKey::new()?;
                account.set_key(Some(key.clone()));
                self.store(account.clone()).await?;
                key
            }
        };
        let now = unix_seconds();
        let username: Arc<str> = name.into();
        Ok(LoggedIn {
            source: account.user.source.clone(),
            token: self.tokens.sign(name, &key, Use::Access, now)?,
            refresh_token: self.tokens.sign(name, &key, Use::Refresh, now)?,
            identity: self.identity_of(&username),
            username,
        })
    }

    /// A new token to call with, for one to refresh.
    ///
    /// # Errors
    /// 401 for a token that is not good.
    pub fn refresh(&self, refresh_token: &str) -> Result<LoggedIn> {
        let invalid = |_| Error::new(401, "Invalid Refresh Token");
        let username = self.user_of(refresh_token, Use::Refresh).map_err(invalid)?;
        let account = self.account(&username)?;
        let key = account.key.ok_or_else(Error::unauthorized)?;
        Ok(LoggedIn {
            source: account.user.source,
            token: self.tokens.sign(&username, &key, Use::Access, unix_seconds())?,
            refresh_token: refresh_token.to_owned(),
            identity: self.identity_of(&username),
            username,
        })
    }
}
