//! Any token, and a good one with any change: only the good one is good.
#![no_main]

use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use perigee::api::{Connections, Events, Role, Warnings};
use perigee::auth::{Auth, Options, Parts, Source, TrustedClients};
use perigee::storage::{self, Storage};
use perigee::tasks::Spawner;

/// A server's accounts with one user, and a token of hers.
fn setup() -> &'static (Arc<Auth>, String) {
    static SETUP: OnceLock<(Arc<Auth>, String)> = OnceLock::new();
    SETUP.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("perigee-fuzz-{}", std::process::id()));
        let (storage, _) = Storage::open(&folder, &storage::Options::default()).unwrap();
        let events = Arc::new(Events::default());
        let options = Options {
            login_timeout: 90,
            force_logins: false,
            default_source: Source::Moonraker,
            enable_api_key: true,
            max_login_attempts: None,
            trusted_clients: TrustedClients::default(),
            trusted_role: Role::Admin,
            unix_socket_role: Role::Admin,
            issuer: "http://printer:7125".to_owned(),
            ldap: None,
        };
        let parts = Parts {
            storage,
            connections: Connections::new(events.clone()),
            events,
            spawner: Spawner::new(&Arc::new(smol::Executor::new())),
        };
        let auth = Auth::new(options, parts, &Warnings::default());
        smol::block_on(auth.create_user("anna", "secret", Role::Admin)).unwrap();
        let token = smol::block_on(auth.give_tokens("anna")).unwrap().token;
        (auth, token)
    })
}

fuzz_target!(|change: (String, usize, usize)| {
    let (auth, good) = setup();
    let (text, from, to) = change;
    let _ = auth.by_access_token(&text);
    let (from, to) = (from % (good.len() + 1), to % (good.len() + 1));
    let changed = format!("{}{text}{}", &good[..from.min(to)], &good[from.max(to)..]);
    assert!(changed == *good || auth.by_access_token(&changed).is_err(), "{changed}");
});
