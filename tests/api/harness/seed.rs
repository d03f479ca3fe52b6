//! Users, keys and tokens that are there before the server starts, also such as the server would not make.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use perigee::storage::users::{self, User};
use perigee::storage::{Options, Storage, Table};
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};

use super::Setup;

/// A user with a known key for tokens. The password is `Passw0rd-anna`, as Moonraker stores it.
pub fn user(name: &str, groups: Option<&[&str]>) -> User {
    User {
        username: name.to_owned(),
        password: "8628f81291eaaa54062a0249bbf30a0584bc06b794caf011fe77fe791fa033cc".to_owned(),
        created_on: 1_700_000_000.5,
        salt: "460dcce6e961cdc8bedb0ee0555fc57a417a396f05888b88e981eb8e2e4de53f".to_owned(),
        source: "moonraker".to_owned(),
        jwt_secret: Some(seed(name).iter().map(|byte| format!("{byte:02x}")).collect()),
        jwk_id: Some(format!("key-of-{name}")),
        groups: groups.map(|groups| groups.iter().map(|group| (*group).to_owned()).collect()),
    }
}

/// The seed of a user's key: any bytes that differ from name to name.
pub fn seed(name: &str) -> [u8; 32] {
    let mut seed = [7; 32];
    for (at, byte) in name.bytes().enumerate() {
        seed[at % 32] ^= byte;
    }
    seed
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

/// Any header and claims, signed with a key.
pub fn signed(header: &Value, claims: &Value, seed: &[u8; 32]) -> String {
    let body = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("a key");
    format!("{body}.{}", URL_SAFE_NO_PAD.encode(pair.sign(body.as_bytes())))
}

/// The header of a user's tokens.
pub fn header(name: &str) -> Value {
    json!({"kid": format!("key-of-{name}"), "alg": "EdDSA", "typ": "JWT"})
}

/// The claims of a token that is good for so many seconds, which may be over.
pub fn claims(setup: &Setup, name: &str, seconds: i64) -> Value {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a host name");
    json!({
        "iss": format!("http://{}:{}", host.trim(), setup.address.port()), "aud": "Moonraker", "iat": now() - 10_000,
        "exp": now().saturating_add_signed(seconds), "username": name, "token_type": "access"
    })
}

/// A named key as it is stored.
pub fn key(name: &str, role: &str, key: &str, expires_on: Option<u64>) -> Value {
    let hash = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    json!({"name": name, "role": role, "hash": hash, "created_on": 1, "expires_on": expires_on})
}

impl Setup {
    /// Puts users and keys into the database.
    #[must_use]
    pub fn seeded(self, users: &[User], keys: &[Value]) -> Self {
        let (storage, _) =
            Storage::open(&self.data().join("database"), &Options::default()).expect("a database");
        let (users, keys) = (users.to_vec(), keys.to_vec());
        storage
            .write_blocking(move |writer| {
                users.iter().try_for_each(|user| users::put(writer, user))?;
                keys.iter().try_for_each(|key| {
                    let name = key["name"].as_str().expect("a name").as_bytes().to_vec();
                    Table("access_keys").put(writer, &name, key.to_string())
                })
            })
            .expect("users and keys are stored");
        smol::block_on(storage.close());
        self
    }
}
