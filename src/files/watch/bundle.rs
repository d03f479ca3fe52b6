//! What clients are told of a stream of file system events: a pure state machine, driven by the time it is told.
//!
//! One user action is many events. A tree that is copied in becomes one `create_dir`, a tree that is deleted
//! one `delete_dir`, a file that is written under another name and then renamed one `create_file`, and a file
//! that is rewritten all the time is told once a second (spec notifications.md §A, behaviour.md §5.6).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::files::path::{RelPath, RootPath};

/// How long a new tree, or a deletion, waits for more of the same.
pub const BUNDLE: Duration = Duration::from_millis(250);

/// How long one bundle may go on growing.
pub const LONGEST_BUNDLE: Duration = Duration::from_secs(3);

/// How long a file that was written waits for being renamed or written again.
pub const SETTLE: Duration = Duration::from_millis(100);

/// How often one file that changes all the time is told.
pub const REPEAT: Duration = Duration::from_secs(1);

/// How long something that was moved away is expected to appear elsewhere.
pub const PAIRING: Duration = Duration::from_secs(1);

/// The most things that are kept in mind; beyond that the roots are told as changed as a whole.
pub const MAX_PENDING: usize = 4096;

/// An event, with its path made out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// A directory, or a file whose content will follow.
    Created { at: RootPath, is_dir: bool },
    /// Something that was whole when it appeared: a link.
    Appeared { at: RootPath, is_dir: bool },
    /// A file was open for writing and is no longer.
    Written { at: RootPath },
    /// Something is gone.
    Deleted { at: RootPath, is_dir: bool },
    /// Something is no longer here; `cookie` joins it with the other half.
    MovedOut { at: RootPath, is_dir: bool, cookie: u32 },
    /// Something is here that was elsewhere.
    MovedIn { at: RootPath, is_dir: bool, cookie: u32 },
}

/// What to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::files) enum Fact {
    Created {
        at: RootPath,
        is_dir: bool,
    },
    Modified {
        at: RootPath,
    },
    Deleted {
        at: RootPath,
        is_dir: bool,
    },
    Moved {
        from: RootPath,
        to: RootPath,
        is_dir: bool,
    },
    /// Too much happened to tell it one by one.
    Everything,
}

/// A bundle that grows until nothing more comes, or for [`LONGEST_BUNDLE`].
#[derive(Debug, Clone, Copy)]
struct Window {
    due: Instant,
    last: Instant,
}

impl Window {
    fn open(now: Instant) -> Self {
        Self { due: now + BUNDLE, last: now + LONGEST_BUNDLE }
    }

    fn extend(&mut self, now: Instant) {
        self.due = (now + BUNDLE).min(self.last);
    }
}

/// A file that was written and not told yet.
#[derive(Debug, Clone, Copy)]
struct Written {
    due: Instant,
    /// Clients do not know the file.
    new: bool,
}

/// Something that was moved to nobody knows where.
#[derive(Debug)]
struct Away {
    at: RootPath,
    is_dir: bool,
    cookie: u32,
    due: Instant,
    /// Clients do not know it.
    untold: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Bundler {
    /// New trees, by their top.
    growing: BTreeMap<RootPath, Window>,
    /// New files that somebody still writes.
    fresh: HashSet<RootPath>,
    written: BTreeMap<RootPath, Written>,
    /// When files were last told as modified.
    repeats: HashMap<RootPath, Instant>,
    removed: BTreeMap<RootPath, bool>,
    removal: Option<Window>,
    away: Vec<Away>,
    ready: Vec<Fact>,
}

impl Bundler {
    /// Takes an event in.
    pub(super) fn see(&mut self, seen: Seen, now: Instant) {
        match seen {
            Seen::Created { at, is_dir: true } => self.new_tree(at, now),
            Seen::Created { at, is_dir: false } => {
                self.within_growing(&at, now);
                self.fresh.insert(at);
            }
            Seen::Appeared { at, is_dir } => {
                if !self.within_growing(&at, now) {
                    self.ready.push(Fact::Created { at, is_dir });
                }
            }
            Seen::Written { at } => {
                let new = self.fresh.remove(&at);
                if !self.within_growing(&at, now) {
                    self.write(at, new, now);
                }
            }
            Seen::Deleted { at, is_dir } => {
                let untold = self.forget(&at, is_dir);
                if !self.within_growing(&at, now) && !untold {
                    self.remove(at, is_dir, now);
                }
            }
            Seen::MovedOut { at, is_dir, cookie } => {
                let untold = self.is_untold(&at) || self.within_growing(&at, now);
                self.away.push(Away { at, is_dir, cookie, due: now + PAIRING, untold });
            }
            Seen::MovedIn { at, is_dir, cookie } => self.moved_in(at, is_dir, cookie, now),
        }
        self.stay_bounded();
    }

    /// When [`take`](Self::take) will have something, if nothing more happens.
    pub(super) fn next(&self) -> Option<Instant> {
        if !self.ready.is_empty() {
            return Some(Instant::now());
        }
        let growing = self.growing.values().map(|window| window.due);
        let written = self.written.values().map(|written| written.due);
        let away = self.away.iter().map(|away| away.due);
        growing.chain(written).chain(away).chain(self.removal.map(|window| window.due)).min()
    }

    /// What can be told now, in the order it is to be told.
    pub(super) fn take(&mut self, now: Instant) -> Vec<Fact> {
        let mut facts = std::mem::take(&mut self.ready);
        let (lost, kept) = std::mem::take(&mut self.away).into_iter().partition(|away| away.due <= now);
        self.away = kept;
        for away in lost {
            self.forget(&away.at, away.is_dir);
            if !away.untold {
                facts.push(Fact::Deleted { at: away.at, is_dir: away.is_dir });
            }
        }
        if self.removal.is_some_and(|window| window.due <= now) {
            self.removal = None;
            let removed = std::mem::take(&mut self.removed);
            facts.extend(removed.into_iter().map(|(at, is_dir)| Fact::Deleted { at, is_dir }));
        }
        self.growing.retain(|at, window| {
            let due = window.due <= now;
            if due {
                facts.push(Fact::Created { at: at.clone(), is_dir: true });
            }
            !due
        });
        self.repeats.retain(|_, told| *told + REPEAT > now);
        let repeats = &mut self.repeats;
        self.written.retain(|at, written| {
            let due = written.due <= now;
            if due && written.new {
                facts.push(Fact::Created { at: at.clone(), is_dir: false });
            } else if due {
                facts.push(Fact::Modified { at: at.clone() });
            }
            if due {
                repeats.insert(at.clone(), now);
            }
            !due
        });
        facts
    }

    /// Events were lost: whatever was waiting is part of what is now unknown.
    pub(super) fn overflow(&mut self) {
        *self = Self { ready: vec![Fact::Everything], ..Self::default() };
    }

    fn new_tree(&mut self, at: RootPath, now: Instant) {
        if !self.within_growing(&at, now) {
            self.growing.insert(at, Window::open(now));
        }
    }

    fn write(&mut self, at: RootPath, new: bool, now: Instant) {
        let due = self.repeats.get(&at).map_or(now, |told| *told + REPEAT - SETTLE).max(now) + SETTLE;
        // One that is waiting already keeps its time, or a file that never rests would never be told.
        let known = self.written.entry(at).or_insert(Written { due, new });
        known.new |= new;
    }

    fn remove(&mut self, at: RootPath, is_dir: bool, now: Instant) {
        match &mut self.removal {
            Some(window) => window.extend(now),
            None => self.removal = Some(Window::open(now)),
        }
        if is_dir {
            self.removed.retain(|other, _| !within(other, &at));
        }
        let is_removed = |path| self.removed.contains_key(&RootPath { root: at.root.clone(), path });
        if !std::iter::successors(at.path.parent(), RelPath::parent).any(is_removed) {
            self.removed.insert(at, is_dir);
        }
    }

    fn moved_in(&mut self, at: RootPath, is_dir: bool, cookie: u32, now: Instant) {
        let index = self.away.iter().position(|away| away.cookie == cookie && away.is_dir == is_dir);
        let Some(from) = index.map(|index| self.away.swap_remove(index)) else {
            return self.arrived(at, is_dir, now);
        };
        if from.untold {
            self.forget(&from.at, is_dir);
            self.arrived(at, is_dir, now);
        } else if self.within_growing(&at, now) {
            self.forget(&from.at, is_dir);
            self.ready.push(Fact::Deleted { at: from.at, is_dir });
        } else {
            self.rename_pending(&from.at, &at);
            self.ready.push(Fact::Moved { from: from.at, to: at, is_dir });
        }
    }

    /// Something is whole here that clients do not know.
    fn arrived(&mut self, at: RootPath, is_dir: bool, now: Instant) {
        if is_dir {
            self.new_tree(at, now);
        } else if !self.within_growing(&at, now) {
            self.write(at, true, now);
        }
    }

    /// Whether a path lies in a new tree that is not told yet, or is one; that one waits longer then.
    fn within_growing(&mut self, at: &RootPath, now: Instant) -> bool {
        let mut found = false;
        for (_, window) in self.growing.iter_mut().filter(|(top, _)| within(at, top)) {
            window.extend(now);
            found = true;
        }
        found
    }

    /// Whether clients were not told of this path yet.
    fn is_untold(&self, at: &RootPath) -> bool {
        self.fresh.contains(at)
            || self.growing.contains_key(at)
            || self.written.get(at).is_some_and(|written| written.new)
    }

    /// Drops what was to be told of a path and of what is below it. Returns whether clients do not know it.
    fn forget(&mut self, at: &RootPath, is_dir: bool) -> bool {
        let untold = self.is_untold(at);
        if !is_dir {
            self.written.remove(at);
            self.fresh.remove(at);
            return untold;
        }
        self.growing.retain(|other, _| !within(other, at));
        self.written.retain(|other, _| !within(other, at));
        self.fresh.retain(|other| !within(other, at));
        untold
    }

    /// What was to be told of a path is told of another.
    fn rename_pending(&mut self, from: &RootPath, to: &RootPath) {
        let renamed = |at: &RootPath| match at.path.below(&from.path) {
            Some(tail) if at.root == from.root => {
                RootPath { root: to.root.clone(), path: to.path.join(&tail) }
            }
            _ => at.clone(),
        };
        self.growing =
            std::mem::take(&mut self.growing).into_iter().map(|(at, w)| (renamed(&at), w)).collect();
        self.written =
            std::mem::take(&mut self.written).into_iter().map(|(at, w)| (renamed(&at), w)).collect();
        self.fresh = std::mem::take(&mut self.fresh).into_iter().map(|at| renamed(&at)).collect();
    }

    fn stay_bounded(&mut self) {
        let pending = self.growing.len() + self.fresh.len() + self.written.len() + self.removed.len();
        if pending + self.away.len() + self.ready.len() + self.repeats.len() > MAX_PENDING {
            log::warn!("too many file changes at once to tell them one by one");
            self.overflow();
        }
    }
}

fn within(at: &RootPath, top: &RootPath) -> bool {
    at.root == top.root && at.path.is_within(&top.path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> RootPath {
        RootPath::parse(text).unwrap()
    }

    /// Parses `+dir/`, `+file`, `=file` (written), `-dir/`, `-file`, `<1 file` (moved out), `>1 file`, `@file` (link).
    fn event(text: &str) -> Seen {
        let (kind, rest) = text.split_at(1);
        let (cookie, path) = match rest.split_once(' ') {
            Some((cookie, path)) => (cookie.parse().unwrap(), path),
            None => (0, rest),
        };
        let (at, is_dir) = (at(path), path.ends_with('/'));
        match kind {
            "+" => Seen::Created { at, is_dir },
            "@" => Seen::Appeared { at, is_dir },
            "=" => Seen::Written { at },
            "-" => Seen::Deleted { at, is_dir },
            "<" => Seen::MovedOut { at, is_dir, cookie },
            ">" => Seen::MovedIn { at, is_dir, cookie },
            _ => panic!("{text}"),
        }
    }

    fn told(fact: &Fact) -> String {
        let slash = |is_dir: &bool| if *is_dir { "/" } else { "" };
        match fact {
            Fact::Created { at, is_dir } => format!("+{at}{}", slash(is_dir)),
            Fact::Modified { at } => format!("={at}"),
            Fact::Deleted { at, is_dir } => format!("-{at}{}", slash(is_dir)),
            Fact::Moved { from, to, is_dir } => format!("{from} > {to}{}", slash(is_dir)),
            Fact::Everything => "everything".to_owned(),
        }
    }

    /// Plays a script of events; a number waits so many milliseconds. Gives `milliseconds fact` for each fact.
    fn play(script: &str) -> Vec<String> {
        let (mut bundler, start) = (Bundler::default(), Instant::now());
        let (mut now, mut out) = (0u64, Vec::new());
        let time = |now: u64| start + Duration::from_millis(now);
        let wait = |bundler: &mut Bundler, now: &mut u64, ms: u64, out: &mut Vec<String>| {
            for _ in 0..ms {
                *now += 1;
                out.extend(bundler.take(time(*now)).iter().map(|fact| format!("{} {}", *now, told(fact))));
            }
        };
        for word in script.split(", ") {
            match word.trim().parse() {
                Ok(ms) => wait(&mut bundler, &mut now, ms, &mut out),
                Err(_) => bundler.see(event(word.trim()), time(now)),
            }
        }
        wait(&mut bundler, &mut now, 5000, &mut out);
        assert!(bundler.growing.is_empty() && bundler.away.is_empty() && bundler.removed.is_empty());
        assert!(bundler.written.is_empty() && bundler.repeats.is_empty());
        out
    }

    #[test]
    fn files_are_told_when_they_are_whole() {
        assert_eq!(play("+r/a, 500, =r/a"), ["600 +r/a"]);
        assert_eq!(play("=r/a"), ["100 =r/a"]);
        assert_eq!(play("@r/l"), ["1 +r/l"]);
        assert_eq!(play("+r/a, 10, -r/a"), [""; 0]);
        assert_eq!(play("+r/a, =r/a, 10, -r/a"), [""; 0]);
    }

    #[test]
    fn a_file_that_never_rests_is_told_once_a_second() {
        let storm: Vec<_> = (0..60).map(|_| "=r/a, 50").collect();
        assert_eq!(play(&storm.join(", ")), ["100 =r/a", "1100 =r/a", "2100 =r/a", "3100 =r/a"]);
    }

    #[test]
    fn a_new_tree_is_told_once() {
        assert_eq!(play("+r/d/, 100, +r/d/e/, 100, +r/d/e/f, =r/d/e/f, 200, +r/d/g, =r/d/g"), ["650 +r/d/"]);
        // What is still being written then is told by itself.
        assert_eq!(play("+r/d/, +r/d/f, 500, =r/d/f"), ["250 +r/d/", "600 +r/d/f"]);
        let long: Vec<_> = (0..100).map(|i| format!("+r/d/{i}, =r/d/{i}, 50")).collect();
        let told = play(&format!("+r/d/, {}", long.join(", ")));
        assert_eq!(told[0], "3000 +r/d/");
        assert_eq!(play("+r/d/, 10, +r/d/f, -r/d/f, -r/d/"), [""; 0]);
    }

    #[test]
    fn a_deleted_tree_is_told_once() {
        assert_eq!(play("-r/d/e/f, 200, -r/d/e/, 200, -r/d/"), ["650 -r/d/"]);
        assert_eq!(play("-r/d/a, -r/d/b, -r/da"), ["250 -r/d/a", "250 -r/d/b", "250 -r/da"]);
        assert_eq!(play("-r/d/, -r/d/a"), ["250 -r/d/"]);
    }

    #[test]
    fn moves_are_paired() {
        assert_eq!(play("<1 r/a, >1 s/b"), ["1 r/a > s/b"]);
        assert_eq!(play("<1 r/d/, 900, >1 r/e/"), ["901 r/d > r/e/"]);
        assert_eq!(play("<1 r/a"), ["1000 -r/a"]);
        assert_eq!(play("<1 r/d/"), ["1000 -r/d/"]);
        assert_eq!(play(">1 r/a"), ["100 +r/a"]);
        assert_eq!(play(">1 r/d/, 100, >2 r/d/x"), ["350 +r/d/"]);
        assert_eq!(play("<1 r/a, >2 r/b"), ["100 +r/b", "1000 -r/a"]);
        // What is waiting to be told goes along.
        assert_eq!(play("=r/d/a, <1 r/d/, >1 r/e/"), ["1 r/d > r/e/", "100 =r/e/a"]);
    }

    #[test]
    fn saving_by_renaming_is_one_change() {
        assert_eq!(play("+r/.tmp, =r/.tmp, <1 r/.tmp, >1 r/a.cfg"), ["100 +r/a.cfg"]);
        // As Klipper's SAVE_CONFIG does it.
        assert_eq!(
            play("+r/auto, =r/auto, <1 r/p.cfg, >1 r/p-2.cfg, <2 r/auto, >2 r/p.cfg"),
            ["1 r/p.cfg > r/p-2.cfg", "100 +r/p.cfg"]
        );
        assert_eq!(play("+r/d/, <1 r/d/, >1 r/e/"), ["250 +r/e/"]);
        // Known things that go into a new tree are gone from where they were.
        assert_eq!(play("+r/d/, <1 r/a, >1 r/d/a"), ["1 -r/a", "250 +r/d/"]);
        assert_eq!(play("+r/d/, +r/d/a, =r/d/a, <1 r/d/a, >1 r/a"), ["100 +r/a", "250 +r/d/"]);
    }

    #[test]
    fn memory_is_bounded() {
        let (mut bundler, now) = (Bundler::default(), Instant::now());
        for i in 0..10 * MAX_PENDING {
            bundler.see(event(&format!("+r/{i}")), now);
            assert!(bundler.fresh.len() <= MAX_PENDING);
        }
        assert!(bundler.take(now).contains(&Fact::Everything));
    }

    fn any_event() -> impl Strategy<Value = String> {
        let path = "r/[ab](/[ab]){0,2}/?";
        prop_oneof![
            ("[+=@-]", path).prop_map(|(kind, path)| format!("{kind}{path}")),
            ("[<>]", 1..4u8, path).prop_map(|(kind, cookie, path)| format!("{kind}{cookie} {path}")),
            (1..400u32).prop_map(|ms| ms.to_string()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn everything_is_told_in_the_end_and_nothing_twice_at_once(script in prop::collection::vec(any_event(), 1..30)) {
            let mut last = HashSet::new();
            let mut time = String::new();
            for line in play(&script.join(", ")) {
                let (now, fact) = line.split_once(' ').unwrap();
                if now != time {
                    last.clear();
                    now.clone_into(&mut time);
                }
                prop_assert!(last.insert(fact.to_owned()) || fact.contains('>') || fact.starts_with('+') || fact.starts_with('-'), "{} {}", now, fact);
            }
        }
    }
}
