//! The table of the users: its shape, for the part that logs them in and for moving in and out.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::table::{Rows, Table};
use super::{Error, Read, Result, Writer};
use crate::json;

/// User name → user as JSON.
const USERS: Table = Table("authorized_users");
/// The name under which the API key is kept, as the password (spec database.md §2).
pub const API_KEY_USER: &str = "_API_KEY_USER_";

/// A user, with the columns of Moonraker's table `authorized_users`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// The name.
    pub username: String,
    /// The hash of the password, in hexadecimal digits; the API key itself for [`API_KEY_USER`].
    pub password: String,
    /// Seconds since 1970.
    pub created_on: f64,
    /// Hexadecimal digits.
    #[serde(default)]
    pub salt: String,
    /// `moonraker` or `ldap`.
    #[serde(default = "moonraker")]
    pub source: String,
    /// The key that signs the user's tokens, in hexadecimal digits; none after a logout.
    #[serde(default)]
    pub jwt_secret: Option<String>,
    /// The name of that key.
    #[serde(default)]
    pub jwk_id: Option<String>,
    /// What the user belongs to.
    #[serde(default)]
    pub groups: Option<Vec<String>>,
}

fn moonraker() -> String {
    "moonraker".to_owned()
}

/// The user of this name.
///
/// # Errors
/// When the record cannot be read.
pub fn get(view: &(impl Read + ?Sized), name: &str) -> Result<Option<User>> {
    USERS.get(view, name.as_bytes())?.map(|row| read(&row)).transpose()
}

/// All users, sorted by the bytes of their names; [`API_KEY_USER`] is one of them.
///
/// # Errors
/// When a record cannot be read.
pub fn all(view: &(impl Read + ?Sized)) -> Result<Vec<User>> {
    let mut users = Vec::new();
    USERS.scan(view, &Rows::ALL, |_, row| {
        users.push(read(row)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(users)
}

/// Stores a user, in place of the one of that name.
///
/// # Errors
/// BadRequest when the name is empty or longer than [`super::MAX_TABLE_KEY`].
pub fn put(writer: &mut Writer<'_>, user: &User) -> Result<()> {
    USERS.put(writer, user.username.as_bytes(), json::to_text(user))
}

/// Deletes a user; says whether there was one.
///
/// # Errors
/// BadRequest for a name that cannot be one.
pub fn delete(writer: &mut Writer<'_>, name: &str) -> Result<bool> {
    USERS.delete(writer, name.as_bytes())
}

fn read(row: &[u8]) -> Result<User> {
    serde_json::from_slice(row).map_err(|error| Error::failed("A user cannot be read").caused_by(error))
}
