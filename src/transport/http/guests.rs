//! Who is connected over TCP, and who has to go when there are too many. Whoever has proved to be somebody stays;
//! strangers make room for each other, first those of the address that has most of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use smol::channel::{Receiver, Sender, bounded};

use crate::api::{Connection, Error, Result, Role};
use crate::auth::whose;
use crate::sync::{Counter, lock};

/// How many TCP connections may be open. One more waits in the kernel's queue until another ends.
pub const MAX_CONNECTIONS: usize = 512;

/// How many of them may be strangers': of nobody who has proved anything yet. One more takes another's place.
pub const MAX_STRANGERS: usize = 128;

/// How many of those may come from one address, proxies apart. A browser opens six, and a household may share one.
pub const MAX_STRANGERS_PER_ADDRESS: usize = 32;

/// How much a stranger may send on a websocket before a message is complete, in bytes.
pub const MAX_STRANGER_MESSAGE: usize = 64 * 1024;

/// Everybody who is connected.
pub(super) struct Guests {
    open: Mutex<HashMap<u64, Arc<State>>>,
    next: Counter,
    max_websockets: usize,
}

/// One connection; it is forgotten when this is dropped.
pub(super) struct Guest {
    guests: Arc<Guests>,
    id: u64,
    state: Arc<State>,
}

struct State {
    address: IpAddr,
    doing: Mutex<Doing>,
    /// Bytes of a message that is not complete yet.
    incomplete: AtomicUsize,
    /// Closed when it has to go.
    leave: (Sender<()>, Receiver<()>),
}

struct Doing {
    is_known: bool,
    is_busy: bool,
    since: Instant,
    is_websocket: bool,
    connection: Option<Arc<Connection>>,
}

impl State {
    fn is_stranger(&self) -> bool {
        let doing = lock(&self.doing);
        match &doing.connection {
            Some(connection) => connection.identity().role == Role::Anonymous,
            None => !doing.is_known,
        }
    }

    /// Who comes first has to go first: who does nothing, and of those who has done nothing for longest.
    fn order(&self) -> (bool, Instant) {
        let doing = lock(&self.doing);
        (doing.is_busy, doing.since)
    }
}

type Open = HashMap<u64, Arc<State>>;

impl Guests {
    pub(super) fn new(max_websockets: usize) -> Arc<Self> {
        Arc::new(Self { open: Mutex::default(), next: Counter::new(), max_websockets })
    }

    /// Whether one more can come in.
    pub(super) fn have_room(&self) -> bool {
        let open = lock(&self.open);
        open.len() < MAX_CONNECTIONS || open.values().any(|state| state.is_stranger())
    }

    /// Takes in a connection; others may have to go for it. Many clients may share the address of a proxy.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr, is_proxy: bool) -> Arc<Guest> {
        let address = whose(address);
        let mut open = lock(&self.open);
        let strangers = strangers(&open);
        let own = strangers.iter().filter(|(_, state)| state.address == address);
        if !is_proxy && own.clone().count() >= MAX_STRANGERS_PER_ADDRESS {
            let first = own.min_by_key(|(_, state)| state.order()).map(|(id, _)| *id);
            dismiss(&mut open, first);
        } else if strangers.len() >= MAX_STRANGERS || open.len() >= MAX_CONNECTIONS {
            dismiss(&mut open, least_welcome(&strangers));
        }
        let id = self.next.next();
        let state = Arc::new(State {
            address,
            doing: Mutex::new(Doing {
                is_known: false,
                is_busy: false,
                since: Instant::now(),
                is_websocket: false,
                connection: None,
            }),
            incomplete: AtomicUsize::new(0),
            leave: bounded(1),
        });
        open.insert(id, state.clone());
        Arc::new(Guest { guests: self.clone(), id, state })
    }
}

fn strangers(open: &Open) -> Vec<(u64, Arc<State>)> {
    let strangers = open.iter().filter(|(_, state)| state.is_stranger());
    strangers.map(|(id, state)| (*id, state.clone())).collect()
}

/// Of the address that has most of these, the one that is missed least.
fn least_welcome(strangers: &[(u64, Arc<State>)]) -> Option<u64> {
    let mut counts: HashMap<IpAddr, usize> = HashMap::new();
    for (_, state) in strangers {
        *counts.entry(state.address).or_default() += 1;
    }
    let count = |state: &State| counts.get(&state.address).copied().unwrap_or_default();
    let first = strangers.iter().min_by_key(|(_, state)| (usize::MAX - count(state), state.order()));
    first.map(|(id, _)| *id)
}

fn dismiss(open: &mut Open, id: Option<u64>) {
    if let Some(state) = id.and_then(|id| open.remove(&id)) {
        log::debug!("A connection from {} makes room for another", state.address);
        state.leave.0.close();
    }
}

impl Guest {
    /// Waits until it has to go.
    pub(super) async fn dismissed(&self) {
        let _ = self.state.leave.1.recv().await;
    }

    /// It makes a request, or has got the answer.
    pub(super) fn set_busy(&self, is_busy: bool) {
        let mut doing = lock(&self.state.doing);
        doing.is_busy = is_busy;
        doing.since = Instant::now();
    }

    /// Whether its last request was somebody's.
    pub(super) fn set_known(&self, is_known: bool) {
        lock(&self.state.doing).is_known = is_known;
    }

    /// From now on it is what this connection is.
    pub(super) fn set_connection(&self, connection: &Arc<Connection>) {
        lock(&self.state.doing).connection = Some(connection.clone());
    }

    /// Takes a place among the websockets. When there is none left, a stranger's has to go.
    ///
    /// # Errors
    /// 503 when all are taken by somebody.
    pub(super) fn become_websocket(&self) -> Result<()> {
        let mut open = lock(&self.guests.open);
        let websockets = open.values().filter(|state| lock(&state.doing).is_websocket).count();
        if websockets >= self.guests.max_websockets {
            let mut strangers = strangers(&open);
            strangers.retain(|(_, state)| lock(&state.doing).is_websocket);
            let first = least_welcome(&strangers);
            if first.is_none() {
                return Err(Error::unavailable("Maximum Number of Websocket Connections Reached"));
            }
            dismiss(&mut open, first);
        }
        lock(&self.state.doing).is_websocket = true;
        Ok(())
    }

    /// So many bytes of a message have come. Whether that is no more than it may send.
    pub(super) fn allows(&self, bytes: usize) -> bool {
        let before = self.state.incomplete.fetch_add(bytes, Ordering::Relaxed);
        before + bytes <= MAX_STRANGER_MESSAGE || !self.state.is_stranger()
    }

    /// A message is complete.
    pub(super) fn has_sent(&self) {
        self.state.incomplete.store(0, Ordering::Relaxed);
        lock(&self.state.doing).since = Instant::now();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        lock(&self.guests.open).remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn has_to_go(guest: &Guest) -> bool {
        guest.state.leave.1.is_closed()
    }

    #[test]
    fn strangers_of_one_address_make_room_for_each_other() {
        let guests = Guests::new(1);
        let other = guests.enter(address(2), false);
        let known = guests.enter(address(1), false);
        known.set_known(true);
        let busy = guests.enter(address(1), false);
        busy.set_busy(true);
        let first = guests.enter(address(1), false);
        let more: Vec<_> = (2..MAX_STRANGERS_PER_ADDRESS).map(|_| guests.enter(address(1), false)).collect();
        assert!(!has_to_go(&first));
        let last = guests.enter(address(1), false);
        assert!(has_to_go(&first), "it has done nothing for longest");
        assert!(![&other, &known, &busy, &more[0], &last].into_iter().any(|guest| has_to_go(guest)));
        assert_eq!(lock(&guests.open).len(), MAX_STRANGERS_PER_ADDRESS + 2);
    }

    #[test]
    fn a_flood_puts_out_itself() {
        let guests = Guests::new(1);
        let lonely = guests.enter(address(2), false);
        let flood: Vec<_> = (0..1000).map(|_| guests.enter(address(1), true)).collect();
        assert!(!has_to_go(&lonely), "another has more");
        assert_eq!(flood.iter().filter(|guest| !has_to_go(guest)).count(), MAX_STRANGERS - 1);
        let known: Vec<_> = (0..MAX_CONNECTIONS)
            .map(|_| {
                let guest = guests.enter(address(3), false);
                guest.set_known(true);
                guest
            })
            .collect();
        assert!(!known.iter().any(|guest| has_to_go(guest)) && !guests.have_room());
        drop(known);
        assert!(guests.have_room());
    }

    #[test]
    fn strangers_give_up_their_websockets() {
        let guests = Guests::new(1);
        let stranger = guests.enter(address(1), false);
        stranger.become_websocket().unwrap();
        let somebody = guests.enter(address(2), false);
        somebody.set_known(true);
        somebody.become_websocket().unwrap();
        assert!(has_to_go(&stranger) && !has_to_go(&somebody));
        let late = guests.enter(address(3), false);
        assert_eq!(late.become_websocket().unwrap_err().status(), 503);
    }

    #[test]
    fn a_stranger_may_send_short_messages_only() {
        let guests = Guests::new(1);
        let guest = guests.enter(address(1), false);
        assert!(guest.allows(MAX_STRANGER_MESSAGE) && !guest.allows(1));
        guest.has_sent();
        assert!(guest.allows(1));
        guest.set_known(true);
        assert!(guest.allows(MAX_STRANGER_MESSAGE));
    }
}
