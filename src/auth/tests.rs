use super::*;
use crate::api::Transport;
use crate::storage::scratch::Scratch;
use crate::time::unix_seconds;

fn options() -> Options {
    Options {
        login_timeout: 90,
        force_logins: false,
        default_source: Source::Moonraker,
        enable_api_key: true,
        max_login_attempts: None,
        trusted_clients: TrustedClients::default(),
        trusted_role: Role::Admin,
        unix_socket_role: Role::ReadOnly,
        issuer: "http://vm:7125".to_owned(),
        #[cfg(feature = "ldap")]
        ldap: None,
    }
}

fn auth_on(storage: Storage) -> (Arc<Auth>, Arc<Connections>) {
    let events = Arc::new(Events::default());
    let connections = Connections::new(events.clone());
    let spawner = Spawner::new(&Arc::new(smol::Executor::new()));
    let parts = Parts { storage, connections: connections.clone(), events, spawner };
    (Auth::new(options(), parts, &Warnings::default()), connections)
}

#[test]
fn without_a_database_there_is_an_api_key_all_the_same() {
    let (auth, _) = auth_on(Storage::closed(&storage::Error::failed("worn out")));
    let stored = smol::block_on(auth.prepare());
    assert_eq!(stored.unwrap_err().status(), 503);
    assert_eq!(auth.by_api_key(&auth.api_key()).unwrap().role, Role::Admin);
    assert_eq!(auth.by_api_key(""), None);
    let created = smol::block_on(auth.create_user("anna", "x", Role::Admin));
    assert_eq!(created.unwrap_err().status(), 503);
    assert!(auth.users().is_empty());
}

#[test]
fn other_users_of_the_machine_get_the_role_for_them() {
    let (auth, _) = auth_on(Storage::closed(&storage::Error::failed("")));
    let own = nix::unistd::getuid().as_raw();
    assert_eq!(auth.by_uid(Some(own)).role, Role::Admin);
    assert_eq!(auth.by_uid(Some(0)).role, Role::Admin);
    assert_eq!(auth.by_uid(Some(own + 12_345)).role, Role::ReadOnly);
    assert_eq!(auth.by_uid(None).role, Role::ReadOnly);
}

#[test]
fn only_so_many_users_and_keys_are_kept() {
    let scratch = Scratch::new();
    let (auth, _) = auth_on(scratch.open());
    smol::block_on(async {
        for number in 0..MAX_KEYS {
            auth.create_key(&format!("key {number}"), Role::ReadOnly, None).await.unwrap();
        }
        assert_eq!(auth.create_key("more", Role::ReadOnly, None).await.unwrap_err().status(), 400);
        auth.delete_key("key 0").await.unwrap();
        auth.create_key("more", Role::ReadOnly, None).await.unwrap();
        for number in 0..MAX_USERS {
            let user = storage::users::User {
                username: format!("user {number}"),
                password: String::new(),
                created_on: 0.0,
                salt: String::new(),
                source: "moonraker".to_owned(),
                jwt_secret: None,
                jwk_id: None,
                groups: None,
            };
            auth.add(user).await.unwrap();
        }
        assert_eq!(auth.create_user("more", "x", Role::Admin).await.unwrap_err().status(), 400);
    });
}

#[test]
fn an_end_of_a_key_ends_what_came_with_it() {
    let scratch = Scratch::new();
    let (auth, connections) = auth_on(scratch.open());
    let key = smol::block_on(auth.create_key("soon", Role::Admin, Some(unix_seconds() + 1000))).unwrap().key;
    let mut identity = auth.by_api_key(&key).unwrap();
    let token = auth.one_shot(identity.clone(), "10.0.0.1".parse().unwrap()).unwrap();
    let connection = connections.open(Transport::Websocket, None, identity.clone()).unwrap();
    assert_eq!(connection.identity().role, Role::Admin);
    identity.expires = Some(unix_seconds() - 1);
    connection.log_in(identity);
    assert_eq!(connection.identity(), Identity::STRANGER);
    smol::block_on(auth.delete_key("soon")).unwrap();
    let credentials = Credentials {
        one_shot: Some(&token),
        address: Some("10.0.0.1".parse().unwrap()),
        ..Default::default()
    };
    assert_eq!(smol::block_on(auth.authenticate(&credentials)).unwrap(), Identity::STRANGER);
}
