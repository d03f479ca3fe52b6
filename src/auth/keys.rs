//! API keys: the one that every server has, and named ones with a role and perhaps an end.
//!
//! The former can be asked for, so it is stored as it is. Of the latter only the hash is: they are shown once, when
//! they are made.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::users::check_name;
use super::{Auth, random};
use crate::api::{Error, Identity, Proof, Result, Role};
use crate::json;
use crate::storage::users::{self, API_KEY_USER, User};
use crate::storage::{self, Read, Rows, Table};
use crate::sync::lock;
use crate::time::unix_seconds;

/// Name of the key → key as JSON.
const KEYS: Table = Table("access_keys");

/// How many named keys there may be.
pub const MAX_KEYS: usize = 64;

/// What a named key begins with, so that people and scanners know it when they see it.
const PREFIX: &str = "perigee_";

/// A named key, as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Key {
    name: Arc<str>,
    role: Role,
    /// SHA-256 of the key, in hexadecimal digits. It has more bits than anybody can try, so one round is enough.
    hash: String,
    created_on: u64,
    expires_on: Option<u64>,
}

/// A named key, as others see it.
#[derive(Debug, Clone, Serialize)]
pub struct KeyInfo {
    /// The name.
    pub name: Arc<str>,
    /// What it is good for.
    pub role: Role,
    /// When it was made, in seconds since 1970.
    pub created_on: u64,
    /// When it ends; none for never.
    pub expires_on: Option<u64>,
}

/// A named key, as whoever made it sees it.
#[derive(Debug, Clone, Serialize)]
pub struct NewKey {
    /// What everybody sees.
    #[serde(flatten)]
    pub info: KeyInfo,
    /// The key itself.
    pub key: String,
}

impl Key {
    fn info(&self) -> KeyInfo {
        let Self { name, role, created_on, expires_on, .. } = self.clone();
        KeyInfo { name, role, created_on, expires_on }
    }
}

/// All named keys.
pub(super) fn read(view: &(impl Read + ?Sized)) -> storage::Result<BTreeMap<Arc<str>, Key>> {
    let mut keys = BTreeMap::new();
    KEYS.scan(view, &Rows::ALL, |_, row| {
        match serde_json::from_slice::<Key>(row) {
            Ok(key) => drop(keys.insert(key.name.clone(), key)),
            Err(error) => log::warn!("An API key cannot be read: {error}"),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(keys)
}

fn hash(key: &str) -> String {
    random::hex(digest(&SHA256, key.as_bytes()).as_ref())
}

impl Auth {
    /// Whose an API key is, if it is good.
    pub fn by_api_key(&self, key: &str) -> Option<Identity> {
        if !self.options.enable_api_key || key.is_empty() {
            return None;
        }
        let hashed = hash(key);
        let known = lock(&self.known);
        if !known.api_key.is_empty() && random::same(hash(&known.api_key).as_bytes(), hashed.as_bytes()) {
            let identity = Identity::with_role(Role::Admin, Proof::ApiKey);
            return Some(Identity { user: Some(API_KEY_USER.into()), ..identity });
        }
        let found = known.keys.values().find(|key| random::same(key.hash.as_bytes(), hashed.as_bytes()))?;
        let identity = Identity {
            user: Some(format!("api_key:{}", found.name).into()),
            expires: found.expires_on,
            ..Identity::with_role(found.role, Proof::NamedKey(found.name.clone()))
        };
        Some(identity.now()).filter(|identity| identity.role > Role::Anonymous)
    }

    /// The API key that every server has one of.
    pub fn api_key(&self) -> String {
        lock(&self.known).api_key.clone()
    }

    /// Replaces it. The old one is of no use from now on, also where somebody is connected with it.
    ///
    /// # Errors
    /// Those of the storage; without one the new key is good until the server stops.
    pub async fn renew_api_key(&self) -> Result<String> {
        let key = random::hex(&random::bytes::<16>()?);
        let user = User {
            username: API_KEY_USER.to_owned(),
            password: key.clone(),
            created_on: unix_seconds() as f64,
            salt: String::new(),
            source: super::Source::Moonraker.name().to_owned(),
            jwt_secret: None,
            jwk_id: None,
            groups: Some(vec![Role::Admin.name().to_owned()]),
        };
        let _changing = self.changing.lock().await;
        let stored = self.parts.storage.write(move |writer| users::put(writer, &user)).await;
        {
            let mut known = lock(&self.known);
            if stored.is_ok() || known.api_key.is_empty() {
                known.api_key.clone_from(&key);
            }
        }
        stored?;
        self.revoke(&Proof::ApiKey, None);
        Ok(key)
    }

    /// The named keys, by name.
    pub fn keys(&self) -> Vec<KeyInfo> {
        lock(&self.known).keys.values().map(Key::info).collect()
    }

    /// Makes a named key.
    ///
    /// # Errors
    /// 400 for a name that is taken or cannot be one, an end in the past, or too many keys; those of the storage.
    pub async fn create_key(&self, name: &str, role: Role, expires_on: Option<u64>) -> Result<NewKey> {
        check_name(name)?;
        let created_on = unix_seconds();
        if expires_on.is_some_and(|end| end <= created_on) {
            return Err(Error::bad_request("expires_on lies in the past"));
        }
        let key = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random::bytes::<32>()?));
        let stored = Key { name: name.into(), role, hash: hash(&key), created_on, expires_on };
        let info = stored.info();
        let _changing = self.changing.lock().await;
        {
            let known = lock(&self.known);
            if known.keys.contains_key(name) {
                return Err(Error::bad_request(format!("API key {name} already exists")));
            }
            if known.keys.len() >= MAX_KEYS {
                return Err(Error::bad_request(format!(
                    "There are {MAX_KEYS} API keys, more cannot be kept"
                )));
            }
        }
        let row = stored.clone();
        let write = self
            .parts
            .storage
            .write(move |writer| KEYS.put(writer, row.name.as_bytes(), json::to_text(&row)));
        write.await?;
        lock(&self.known).keys.insert(stored.name.clone(), stored);
        Ok(NewKey { info, key })
    }

    /// Removes a named key. Who is connected with it has no rights from now on.
    ///
    /// # Errors
    /// 404 when there is none of this name; those of the storage.
    pub async fn delete_key(&self, name: &str) -> Result<()> {
        let _changing = self.changing.lock().await;
        if !lock(&self.known).keys.contains_key(name) {
            return Err(Error::not_found(format!("There is no API key {name}")));
        }
        let row = name.to_owned();
        self.parts.storage.write(move |writer| KEYS.delete(writer, row.as_bytes())).await?;
        lock(&self.known).keys.remove(name);
        self.revoke(&Proof::NamedKey(name.into()), None);
        Ok(())
    }
}
