//! Seeing what others do to the files: inotify on every directory of the writable roots.
//!
//! The kernel queues events at once, so whoever calls [`Watcher::drain`] after a change of its own knows that all
//! events of that change have been taken in. A request does so while it still claims its paths, and tells of them
//! itself (see [`claims`](super::claims)).

mod bundle;
mod tree;

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_io::Async;
use inotify::{Event, EventMask, Inotify};
use smol::channel::{Receiver, Sender};

use super::claims::Claims;
use super::path::RootPath;
use super::roots::{Level, Policy, Root};
use super::temp::is_temporary;
use super::walk::{self, Leftovers};
use crate::sync::lock;
use crate::tasks::unblock;

pub use bundle::{BUNDLE, LONGEST_BUNDLE, MAX_PENDING, PAIRING, REPEAT, SETTLE};
pub use tree::MAX_WATCHES;

pub(super) use bundle::Fact;
use bundle::{Bundler, Seen};
use tree::{Tree, Trouble};

/// How long a first event waits for more, so that a storm costs few wake-ups.
const GATHER: Duration = Duration::from_millis(20);

/// Room for events that are read at once; the kernel's longest takes 272 bytes.
const EVENT_BUFFER: usize = 16 << 10;

/// Watches the roots. Its functions block, except [`run`](Self::run).
pub(super) struct Watcher {
    /// Held while events are taken in, which may look at the disk: only blocking threads lock it.
    state: Mutex<State>,
    readable: Async<OwnedFd>,
    claims: Arc<Claims>,
    /// Wakes [`run`](Self::run) when there is something new to wait for.
    wake: (Sender<()>, Receiver<()>),
}

struct State {
    inotify: Inotify,
    tree: Tree,
    bundler: Bundler,
}

impl Watcher {
    /// Starts to watch nothing.
    pub(super) fn new(claims: Arc<Claims>) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let readable = Async::new(inotify.as_fd().try_clone_to_owned()?)?;
        let tree = Tree::new(inotify.watches());
        let state = Mutex::new(State { inotify, tree, bundler: Bundler::default() });
        Ok(Self { state, readable, claims, wake: smol::channel::bounded(1) })
    }

    /// Watches a root, and removes what was left unfinished in it. Returns a warning if not all of it can be
    /// watched.
    pub(super) fn add_root(&self, policy: &Policy, root: &Root) -> Option<String> {
        let at = RootPath::of_root(&root.name);
        let mut state = lock(&self.state);
        state.tree.remove(&at);
        let trouble = state.tree.add(policy, &at, &root.path, Leftovers::Sweep);
        log::debug!("{} directories are watched", state.tree.len());
        describe(&at, &trouble)
    }

    /// Stops watching a root.
    pub(super) fn remove_root(&self, name: &str) {
        lock(&self.state).tree.remove(&RootPath::of_root(name));
    }

    /// Takes in what happened so far.
    pub(super) fn drain(&self, policy: &Policy) {
        let mut state = lock(&self.state);
        let before = state.bundler.next();
        state.take_in(policy, &self.claims);
        if state.bundler.next() != before {
            // Full means that it is going to wake up anyway.
            let _ = self.wake.0.try_send(());
        }
    }

    /// Passes on what is to be told, in order, until nobody listens any more. `policy` gives the present one.
    pub(super) async fn run(self: Arc<Self>, policy: impl Fn() -> Arc<Policy>, facts: Sender<Fact>) {
        loop {
            self.something_to_do().await;
            let (this, policy) = (self.clone(), policy());
            let told = unblock(move || {
                let mut state = lock(&this.state);
                state.take_in(&policy, &this.claims);
                state.bundler.take(Instant::now())
            })
            .await;
            // While this waits, events wait in the kernel, which says when it had to drop some.
            for fact in told {
                if facts.send(fact).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Waits until there are events, or the time has come to tell something.
    async fn something_to_do(&self) {
        let due = async {
            loop {
                let next = lock(&self.state).bundler.next();
                let woken = async {
                    let _ = self.wake.1.recv().await;
                    false
                };
                let late = async {
                    match next {
                        Some(due) => smol::Timer::at(due).await,
                        None => futures_lite::future::pending().await,
                    };
                    true
                };
                if futures_lite::future::or(late, woken).await {
                    return;
                }
            }
        };
        let events = async {
            if self.readable.readable().await.is_err() {
                futures_lite::future::pending::<()>().await;
            }
            smol::Timer::after(GATHER).await;
        };
        futures_lite::future::or(due, events).await;
    }
}

impl State {
    fn take_in(&mut self, policy: &Policy, claims: &Claims) {
        let mut buffer = [0; EVENT_BUFFER];
        let now = Instant::now();
        loop {
            let events = match self.inotify.read_events(&mut buffer) {
                Ok(events) => events,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        log::warn!("cannot read file events: {error}");
                    }
                    break;
                }
            };
            for event in events {
                take_in(&mut self.tree, &mut self.bundler, &event, policy, claims, now);
            }
        }
        self.tree.expire(now);
    }
}

/// Makes out what one event of the kernel means.
fn take_in(
    tree: &mut Tree,
    bundler: &mut Bundler,
    event: &Event<&std::ffi::OsStr>,
    policy: &Policy,
    claims: &Claims,
    now: Instant,
) {
    if event.mask.contains(EventMask::Q_OVERFLOW) {
        return bundler.overflow();
    }
    if event.mask.intersects(EventMask::IGNORED | EventMask::UNMOUNT) {
        return tree.forget(&event.wd);
    }
    let (Some(node), Some(name)) = (tree.node(&event.wd), event.name) else { return };
    let real = node.real.join(name);
    if is_temporary(name) || policy.level(&real) == Level::Nothing {
        return;
    }
    let at = node.at.child(&name.to_string_lossy());
    let Some(seen) = make_out(tree, event, at, &real, policy, now) else { return };
    if !claims.cover(&real) {
        bundler.see(seen, now);
    }
}

/// Keeps the tree up to date, and says what is to be seen in an event.
fn make_out(
    tree: &mut Tree,
    event: &Event<&std::ffi::OsStr>,
    at: RootPath,
    real: &Path,
    policy: &Policy,
    now: Instant,
) -> Option<Seen> {
    let (mask, cookie) = (event.mask, event.cookie);
    let mut is_dir = mask.contains(EventMask::ISDIR);
    let watch = |tree: &mut Tree, at: &RootPath, real: &Path| {
        if !walk::is_thumbs(at) {
            report(at, &tree.add(policy, at, real, Leftovers::Leave));
        }
    };
    Some(if mask.contains(EventMask::CREATE) {
        if is_dir {
            watch(tree, &at, real);
            return Some(Seen::Created { at, is_dir });
        }
        let metadata = fs::symlink_metadata(real).ok()?;
        if metadata.is_symlink() {
            let target = fs::canonicalize(real).ok();
            let directory = target.filter(|target| target.is_dir());
            if let Some(directory) = &directory {
                watch(tree, &at, directory);
            }
            Seen::Appeared { at, is_dir: directory.is_some() }
        } else if !metadata.is_file() {
            return None;
        } else if metadata.nlink() > 1 {
            // A further name for a file that is whole: nobody will write and close it.
            Seen::Appeared { at, is_dir }
        } else {
            Seen::Created { at, is_dir }
        }
    } else if mask.contains(EventMask::CLOSE_WRITE) {
        Seen::Written { at }
    } else if mask.contains(EventMask::DELETE) {
        // A link to a directory was told as a directory.
        is_dir |= tree.remove(&at);
        Seen::Deleted { at, is_dir }
    } else if mask.contains(EventMask::MOVED_FROM) {
        if is_dir {
            tree.moved_out(real, cookie, now);
        } else {
            is_dir = tree.remove(&at);
        }
        Seen::MovedOut { at, is_dir, cookie }
    } else if mask.contains(EventMask::MOVED_TO) {
        if !is_dir && let Some(target) = fs::canonicalize(real).ok().filter(|target| target.is_dir()) {
            is_dir = true;
            watch(tree, &at, &target);
        } else if is_dir && !tree.moved_in(&at, real, cookie) {
            watch(tree, &at, real);
        }
        Seen::MovedIn { at, is_dir, cookie }
    } else {
        return None;
    })
}

fn report(at: &RootPath, trouble: &Trouble) {
    if let Some(text) = describe(at, trouble) {
        log::warn!("{text}");
    }
}

fn describe(at: &RootPath, trouble: &Trouble) -> Option<String> {
    if let Some(other) = &trouble.overlaps {
        return Some(format!("'{at}' overlaps with root '{other}', changes in it are told as changes there"));
    }
    let limit = || {
        format!(
            "'{at}' has too many directories to watch all of them; some changes by other programs will not be seen \
             (fs.inotify.max_user_watches)"
        )
    };
    trouble.limit.then(limit)
}
