//! `access.*`: users, log-ins, tokens and API keys (spec api.md §7). What they are is in `auth`.
//!
//! Section `[authorization]`. Events `notify_user_created`, `notify_user_deleted`, `notify_user_logged_out`. Tables
//! `authorized_users` and `access_keys`. Not in the reference: roles (`access.user.role`) and named API keys
//! (`access.keys.list`, `access.post_key`, `access.delete_key`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::api::{Call, Endpoint, Error, NoParams, Reply, Result, Role};
use crate::auth::{Auth, KeyInfo, LoggedIn, NewKey, Source, UserInfo};

/// The part of the API that deals with who may do what.
pub struct Authorization {
    auth: Arc<Auth>,
}

#[derive(Deserialize)]
struct Login {
    username: String,
    password: String,
    source: Option<Source>,
}

#[derive(Deserialize)]
struct NewUser {
    username: String,
    password: String,
    source: Option<Source>,
    role: Option<Role>,
}

#[derive(Deserialize)]
struct Username {
    username: String,
}

#[derive(Deserialize)]
struct Password {
    password: String,
    new_password: String,
}

#[derive(Deserialize)]
struct UserRole {
    username: String,
    role: Role,
}

#[derive(Deserialize)]
struct Refresh {
    refresh_token: String,
}

#[derive(Deserialize)]
struct CreateKey {
    name: String,
    role: Role,
    expires_on: Option<u64>,
}

#[derive(Deserialize)]
struct KeyName {
    name: String,
}

/// What was done with a user.
#[derive(Serialize)]
struct Done<'a> {
    username: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    action: &'static str,
}

impl<'a> Done<'a> {
    fn to(username: &'a str, action: &'static str) -> Self {
        Self { username, token: None, source: None, refresh_token: None, role: None, action }
    }

    fn with_tokens(user: &'a LoggedIn, action: &'static str) -> Self {
        Self {
            token: Some(&user.token),
            source: Some(&user.source),
            refresh_token: Some(&user.refresh_token),
            ..Self::to(&user.username, action)
        }
    }
}

impl Authorization {
    /// Offers these accounts.
    pub fn new(auth: Arc<Auth>) -> Arc<Self> {
        Arc::new(Self { auth })
    }

    /// Its endpoints.
    pub fn endpoints(self: &Arc<Self>) -> Vec<Endpoint> {
        let user = "/access/user";
        let key = "/access/key";
        let api_key = "/access/api_key";
        let rows = vec![
            Endpoint::post("access.login", "/access/login").open().to(self, Self::login),
            Endpoint::post("access.refresh_jwt", "/access/refresh_jwt").open().to(self, Self::refresh),
            Endpoint::get("access.info", "/access/info").open().to(self, Self::info),
            Endpoint::post("access.logout", "/access/logout").read_only().to(self, Self::logout),
            Endpoint::get("access.get_user", user).read_only().to(self, Self::get_user),
            Endpoint::post("access.post_user", user).admin().to(self, Self::post_user),
            Endpoint::delete("access.delete_user", user).admin().to(self, Self::delete_user),
            Endpoint::get("access.users.list", "/access/users/list").read_only().to(self, Self::users),
            Endpoint::post("access.user.password", "/access/user/password")
                .read_only()
                .to(self, Self::password),
            Endpoint::post("access.user.role", "/access/user/role").admin().to(self, Self::role),
            Endpoint::get("access.oneshot_token", "/access/oneshot_token")
                .read_only()
                .to(self, Self::one_shot),
            Endpoint::get("access.get_api_key", api_key).admin().to(self, Self::get_api_key),
            Endpoint::post("access.post_api_key", api_key).admin().to(self, Self::post_api_key),
            Endpoint::get("access.keys.list", "/access/keys/list").admin().to(self, Self::keys),
            Endpoint::post("access.post_key", key).admin().to(self, Self::post_key),
            Endpoint::delete("access.delete_key", key).admin().to(self, Self::delete_key),
        ];
        rows.into_iter().map(Endpoint::clients_only).collect()
    }

    async fn login(self: Arc<Self>, call: Call<Login>) -> Result<Reply> {
        let Login { username, password, source } = &call.params;
        let user = self.auth.log_in(username, password, *source, call.caller.address).await?;
        call.caller.log_in(&user.identity);
        Ok(Reply::of(&Done::with_tokens(&user, "user_logged_in")))
    }

    async fn refresh(self: Arc<Self>, call: Call<Refresh>) -> Result<Reply> {
        let user = self.auth.refresh(&call.params.refresh_token)?;
        let refreshed = Done { refresh_token: None, ..Done::with_tokens(&user, "user_jwt_refresh") };
        Ok(Reply::of(&refreshed))
    }

    async fn info(self: Arc<Self>, call: Call<NoParams>) -> Result<Reply> {
        #[derive(Serialize)]
        struct Info {
            default_source: Source,
            available_sources: Vec<Source>,
            login_required: bool,
            trusted: Option<bool>,
        }
        let trusted = match call.caller.address {
            Some(address) => Some(self.auth.is_trusted(address).await),
            None => None,
        };
        Ok(Reply::of(&Info {
            default_source: self.auth.options().default_source,
            available_sources: self.auth.sources(),
            login_required: self.auth.must_log_in(),
            trusted,
        }))
    }

    async fn logout(self: Arc<Self>, call: Call<NoParams>) -> Result<Reply> {
        let user = self.auth.log_out(&call.caller.identity).await?;
        Ok(Reply::of(&Done::to(&user, "user_logged_out")))
    }

    async fn get_user(self: Arc<Self>, call: Call<NoParams>) -> Result<Reply> {
        Ok(Reply::of(&self.auth.user_info(&call.caller.identity)))
    }

    async fn post_user(self: Arc<Self>, call: Call<NewUser>) -> Result<Reply> {
        let NewUser { username, password, source, role } = &call.params;
        if *source == Some(Source::Ldap) {
            return Err(Error::bad_request("Users of LDAP are created when they log in"));
        }
        self.auth.create_user(username, password, role.unwrap_or(Role::Admin)).await?;
        let user = self.auth.give_tokens(username).await?;
        Ok(Reply::of(&Done::with_tokens(&user, "user_created")))
    }

    async fn delete_user(self: Arc<Self>, call: Call<Username>) -> Result<Reply> {
        let username = &call.params.username;
        self.auth.delete_user(username, &call.caller.identity).await?;
        Ok(Reply::of(&Done::to(username, "user_deleted")))
    }

    /// All users; who is no administrator sees himself alone.
    async fn users(self: Arc<Self>, call: Call<NoParams>) -> Result<Reply> {
        #[derive(Serialize)]
        struct Users {
            users: Vec<UserInfo>,
        }
        let caller = &call.caller.identity;
        let mut users = self.auth.users();
        if caller.role < Role::Admin {
            users.retain(|info| info.username.as_deref() == caller.user.as_deref());
        }
        Ok(Reply::of(&Users { users }))
    }

    async fn password(self: Arc<Self>, call: Call<Password>) -> Result<Reply> {
        let Password { password, new_password } = &call.params;
        let (by, connection) = (&call.caller.identity, call.caller.own_connection());
        self.auth.change_password(by, connection.map(|found| &**found), password, new_password).await?;
        Ok(Reply::of(&Done::to(by.user.as_deref().unwrap_or_default(), "user_password_reset")))
    }

    async fn role(self: Arc<Self>, call: Call<UserRole>) -> Result<Reply> {
        let UserRole { username, role } = &call.params;
        self.auth.set_role(username, *role, &call.caller.identity).await?;
        Ok(Reply::of(&Done { role: Some(*role), ..Done::to(username, "user_role_set") }))
    }

    async fn one_shot(self: Arc<Self>, call: Call<NoParams>) -> Result<Reply> {
        let address = call.caller.address;
        let address =
            address.ok_or_else(|| Error::bad_request("One-shot tokens are for clients with an address"))?;
        Ok(Reply::of(&self.auth.one_shot(call.caller.identity, address)?))
    }

    async fn get_api_key(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        Ok(Reply::of(&self.auth.api_key()))
    }

    async fn post_api_key(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        Ok(Reply::of(&self.auth.renew_api_key().await?))
    }

    async fn keys(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        #[derive(Serialize)]
        struct Keys {
            keys: Vec<KeyInfo>,
        }
        Ok(Reply::of(&Keys { keys: self.auth.keys() }))
    }

    async fn post_key(self: Arc<Self>, call: Call<CreateKey>) -> Result<Reply> {
        #[derive(Serialize)]
        struct Created {
            #[serde(flatten)]
            key: NewKey,
            action: &'static str,
        }
        let CreateKey { name, role, expires_on } = &call.params;
        let key = self.auth.create_key(name, *role, *expires_on).await?;
        Ok(Reply::of(&Created { key, action: "api_key_created" }))
    }

    async fn delete_key(self: Arc<Self>, call: Call<KeyName>) -> Result<Reply> {
        #[derive(Serialize)]
        struct Deleted<'a> {
            name: &'a str,
            action: &'static str,
        }
        let name = &call.params.name;
        self.auth.delete_key(name).await?;
        Ok(Reply::of(&Deleted { name, action: "api_key_deleted" }))
    }
}
