//! The users.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use smol::Timer;

use super::password::{self, Stored};
use super::token::UserKey;
use super::{Auth, Source, TRUSTED_USER};
use crate::api::{Connection, Error, Event, Identity, Notification, Proof, Result, Role};
use crate::storage::users::{self, API_KEY_USER, User};
use crate::sync::lock;
use crate::time::unix_seconds;

/// How many users there may be.
pub const MAX_USERS: usize = 256;

/// The longest name of a user or key, in bytes.
pub const MAX_NAME: usize = 128;

/// How long after the answer to a call others are told what it did (spec notifications.md, rows 12 to 14).
const TOLD_AFTER: Duration = Duration::from_millis(5);

/// A user, in memory.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) user: User,
    pub(super) key: Option<UserKey>,
}

impl Account {
    pub(super) fn new(user: User) -> Self {
        let key = user.jwk_id.as_deref().zip(user.jwt_secret.as_deref());
        let key = key.and_then(|(id, secret)| UserKey::stored(id, secret));
        Self { user, key }
    }

    /// The role that the user's groups stand for. Those whom Moonraker knew without any may do everything, as
    /// there; somebody in groups that nobody here knows may look.
    pub(super) fn role(&self) -> Role {
        match self.user.groups.as_deref() {
            None | Some([]) => Role::Admin,
            Some(groups) => {
                let in_it = |(name, _): &&(&str, Role)| groups.iter().any(|group| group == name);
                Role::NAMES.iter().rev().find(in_it).map_or(Role::ReadOnly, |(_, role)| *role)
            }
        }
    }

    pub(super) fn source(&self) -> Option<Source> {
        [Source::Moonraker, Source::Ldap].into_iter().find(|source| source.name() == self.user.source)
    }

    pub(super) fn stored_password(&self) -> Stored {
        Stored::new(&self.user.password, &self.user.salt)
    }

    pub(super) fn set_password(&mut self, hash: String) {
        self.user.password = hash;
        self.user.salt = String::new();
    }

    pub(super) fn set_key(&mut self, key: Option<UserKey>) {
        self.user.jwk_id = key.as_ref().map(|key| key.id.clone());
        self.user.jwt_secret = key.as_ref().map(UserKey::secret);
        self.key = key;
    }
}

/// A user as others see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UserInfo {
    /// The name.
    pub username: Option<String>,
    /// Who keeps the password.
    pub source: Option<String>,
    /// Seconds since 1970.
    pub created_on: Option<f64>,
    /// What they may do.
    pub role: Option<Role>,
}

impl Auth {
    /// All users, by name.
    pub fn users(&self) -> Vec<UserInfo> {
        let known = lock(&self.known);
        let info = |account: &Account| UserInfo {
            username: Some(account.user.username.clone()),
            source: Some(account.user.source.clone()),
            created_on: Some(account.user.created_on),
            role: Some(account.role()),
        };
        known.users.values().map(info).collect()
    }

    /// Somebody as a user, also one that stands for others (spec api.md §7).
    pub fn user_info(&self, identity: &Identity) -> UserInfo {
        let user = identity.user.as_deref();
        let known = user.and_then(|name| {
            let is_user = matches!(identity.proof, Proof::User(_));
            self.users().into_iter().find(|info| is_user && info.username.as_deref() == Some(name))
        });
        known.unwrap_or_else(|| UserInfo {
            username: user.map(str::to_owned),
            source: user.map(|_| Source::Moonraker.name().to_owned()),
            created_on: None,
            role: Some(identity.role).filter(|role| *role > Role::Anonymous),
        })
    }

    /// Adds a user with a password.
    ///
    /// # Errors
    /// 400 for a name that is taken or cannot be one, or a bad password; those of the storage.
    pub async fn create_user(&self, name: &str, password: &str, role: Role) -> Result<()> {
        check_name(name)?;
        password::check(password)?;
        if lock(&self.known).users.contains_key(name) {
            return Err(exists(name));
        }
        let secret = password.to_owned();
        let hash = self.hashing.run(move || password::hash(&secret)).await??;
        self.add_user(name, hash, Source::Moonraker, role).await
    }

    /// Adds a user with the hash of a password, and tells of it.
    pub(super) async fn add_user(&self, name: &str, hash: String, source: Source, role: Role) -> Result<()> {
        let _changing = self.changing.lock().await;
        self.add(User {
            username: name.to_owned(),
            password: hash,
            created_on: unix_seconds() as f64,
            salt: String::new(),
            source: source.name().to_owned(),
            jwt_secret: None,
            jwk_id: None,
            groups: Some(vec![role.name().to_owned()]),
        })
        .await?;
        self.tell("notify_user_created", name, false);
        Ok(())
    }

    /// Stores a user that there is none of yet. The caller holds `changing`.
    pub(super) async fn add(&self, user: User) -> Result<()> {
        {
            let known = lock(&self.known);
            if known.users.contains_key(&*user.username) {
                return Err(exists(&user.username));
            }
            if known.users.len() >= MAX_USERS {
                return Err(Error::bad_request(format!("There are {MAX_USERS} users, more cannot be kept")));
            }
        }
        self.store(Account::new(user)).await
    }

    /// Stores a user. The caller holds `changing`.
    pub(super) async fn store(&self, account: Account) -> Result<()> {
        let user = account.user.clone();
        self.parts.storage.write(move |writer| users::put(writer, &user)).await?;
        lock(&self.known).users.insert(account.user.username.as_str().into(), account);
        Ok(())
    }

    /// The user of this name.
    ///
    /// # Errors
    /// 400 when there is none.
    pub(super) fn account(&self, name: &str) -> Result<Account> {
        let known = lock(&self.known);
        known
            .users
            .get(name)
            .cloned()
            .ok_or_else(|| Error::bad_request(format!("No registered user: {name}")))
    }

    /// Removes a user, by order of somebody else.
    ///
    /// # Errors
    /// 400 for the caller's own name, a reserved one, or one that nobody has; those of the storage.
    pub async fn delete_user(&self, name: &str, by: &Identity) -> Result<()> {
        refuse_reserved(name)?;
        refuse_self(name, by, "delete")?;
        let _changing = self.changing.lock().await;
        self.account(name)?;
        let key = name.to_owned();
        self.parts.storage.write(move |writer| users::delete(writer, &key)).await?;
        lock(&self.known).users.remove(name);
        self.tell("notify_user_deleted", name, true);
        Ok(())
    }

    /// Gives a user another role, which counts at once, also on connections that are open.
    ///
    /// # Errors
    /// 400 for the caller's own name, a reserved one, or one that nobody has; those of the storage.
    pub async fn set_role(&self, name: &str, role: Role, by: &Identity) -> Result<()> {
        refuse_reserved(name)?;
        refuse_self(name, by, "change the role of")?;
        let _changing = self.changing.lock().await;
        let mut account = self.account(name)?;
        account.user.groups = Some(vec![role.name().to_owned()]);
        self.store(account).await?;
        let proof = Proof::User(name.into());
        self.one_shots.forget(|identity| identity.proof == proof);
        self.parts.connections.change_identities(|_, identity| {
            (identity.proof == proof).then(|| Identity { role, ..identity.clone() })
        });
        Ok(())
    }

    /// Changes the caller's own password. All tokens end, and what was logged in with them; the connection that the
    /// call came over stays.
    ///
    /// # Errors
    /// 400 for somebody who is no user of this server's own, or a wrong password; those of the storage.
    pub async fn change_password(
        &self,
        by: &Identity,
        connection: Option<&Connection>,
        old: &str,
        new: &str,
    ) -> Result<()> {
        let name = own_user(by)?;
        password::check(new)?;
        let account = self.account(&name)?;
        if account.source() != Some(Source::Moonraker) {
            return Err(Error::bad_request("The password of this user is kept elsewhere"));
        }
        let (stored, old, new) = (account.stored_password(), old.to_owned(), new.to_owned());
        let hash = move || stored.verify(&old).then(|| password::hash(&new));
        let hash = self.hashing.run(hash).await?;
        let hash = hash.ok_or_else(|| Error::bad_request("Invalid Password"))??;
        let _changing = self.changing.lock().await;
        let mut account = self.account(&name)?;
        account.set_password(hash);
        account.set_key(None);
        self.store(account).await?;
        self.revoke(&Proof::User(name), connection);
        Ok(())
    }

    /// Ends all tokens of the caller.
    ///
    /// # Errors
    /// 400 for somebody who is no user; those of the storage.
    pub async fn log_out(&self, by: &Identity) -> Result<Arc<str>> {
        let name = own_user(by)?;
        let _changing = self.changing.lock().await;
        let mut account = self.account(&name)?;
        account.set_key(None);
        self.store(account).await?;
        self.tell("notify_user_logged_out", &name, true);
        Ok(name)
    }

    /// Tells clients of a change to a user, after the answer to the call that made it. Those of the user's own
    /// hear it before they lose their rights, if they do (spec notifications.md row 13).
    pub(super) fn tell(&self, name: &'static str, user: &str, logged_out: bool) {
        #[derive(Serialize)]
        struct Told<'a> {
            username: &'a str,
        }
        let proof = Proof::User(user.into());
        self.one_shots.forget(|identity| logged_out && identity.proof == proof);
        let notification = Notification::new(name, &Told { username: user });
        let (events, connections) = (self.parts.events.clone(), self.parts.connections.clone());
        self.parts.spawner.spawn(async move {
            Timer::after(TOLD_AFTER).await;
            events.emit(&Event::Notify(notification));
            if logged_out {
                connections
                    .change_identities(|_, identity| (identity.proof == proof).then_some(Identity::STRANGER));
            }
        });
    }
}

/// The name of somebody who is a user.
fn own_user(by: &Identity) -> Result<Arc<str>> {
    match &by.proof {
        Proof::User(name) => Ok(name.clone()),
        _ => Err(Error::bad_request("No user is logged in")),
    }
}

fn refuse_self(name: &str, by: &Identity, what: &str) -> Result<()> {
    match &by.proof {
        Proof::User(own) if **own == *name => {
            Err(Error::bad_request(format!("Cannot {what} the user that is logged in")))
        }
        _ => Ok(()),
    }
}

pub(super) fn refuse_reserved(name: &str) -> Result<()> {
    match [API_KEY_USER, TRUSTED_USER].contains(&name) {
        true => Err(Error::bad_request(format!("Invalid request for user {name}"))),
        false => Ok(()),
    }
}

/// Refuses what cannot be a name.
pub(super) fn check_name(name: &str) -> Result<()> {
    refuse_reserved(name)?;
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(Error::bad_request(format!(
            "A name has 1 to {MAX_NAME} bytes and no control characters"
        )));
    }
    Ok(())
}

fn exists(name: &str) -> Error {
    Error::bad_request(format!("User {name} already exists"))
}
