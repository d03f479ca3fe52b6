//! News for the owner of the printer: `server.announcements.*` (spec api.md §10, behaviour.md §10).
//!
//! Section `[announcements]`. Namespace `announcements`: counter → entry; the feeds that clients added, and the
//! tags of what was fetched, lie in namespace `moonraker` under `announcements`. Notifications
//! `notify_announcement_update`, `_dismissed` and `_wake`.

mod date;
mod entries;
mod feed;
mod source;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::api::{Call, Endpoint, Error, Event, Events, NoParams, Notification, Reply, Result};
use crate::storage::{self, Access, Storage};
use crate::sync::lock;
use crate::tasks::{Spawner, unblock};
use crate::time;
use entries::{Dismissed, Entry};
use source::{Fetched, Source};

/// The feeds that everybody has.
const ALWAYS: [&str; 2] = ["moonraker", "klipper"];
/// How often feeds are looked at.
const INTERVAL: Duration = Duration::from_secs(1800);
/// How soon after a failure; doubled with each until it is [`INTERVAL`]. The network may come up after us.
const RETRY: Duration = Duration::from_secs(60);
/// How long is slept at most until a time of day: the clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// How long notifications of what a client did wait, so that its answer gets out first.
const NOTIFY_DELAY: Duration = Duration::from_millis(50);
/// How many feeds there may be.
const MAX_FEEDS: usize = 32;
/// Longest name of a feed, in bytes.
const MAX_NAME: usize = 64;
/// Where the feeds are if nothing is said.
pub const MOONLIGHT: &str = "https://arksine.github.io/moonlight/assets";

/// Section `[announcements]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Feeds besides those that everybody has.
    pub subscriptions: Vec<String>,
    /// Whether feeds are fetched at all.
    pub enable_moonlight: bool,
    /// Where they are fetched from: an address to which `/<feed>.xml` is added.
    pub moonlight_url: String,
    /// Whether feeds are read from a folder instead.
    pub dev_mode: bool,
}

/// What this part works with.
pub struct Parts {
    /// Section `[announcements]`.
    pub options: Options,
    /// The database.
    pub storage: Storage,
    /// Where events go.
    pub events: Arc<Events>,
    /// Starts tasks.
    pub spawner: Spawner,
    /// Where feeds are with `dev_mode`.
    pub folder: PathBuf,
}

/// The announcements.
pub struct Announcements {
    storage: Storage,
    events: Arc<Events>,
    spawner: Spawner,
    source: Source,
    /// Those of the configuration and of other parts.
    configured: Mutex<Vec<String>>,
    /// Held while feeds are looked at, or their list changes.
    busy: smol::lock::Mutex<()>,
}

#[derive(Deserialize)]
struct List {
    #[serde(default = "yes")]
    include_dismissed: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct Update {
    subscriptions: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Dismiss {
    entry_id: String,
    wake_time: Option<i64>,
}

#[derive(Deserialize)]
struct FeedName {
    name: String,
}

#[derive(Serialize)]
struct Feeds {
    feeds: Vec<String>,
}

#[derive(Serialize)]
struct FeedChange {
    feed: String,
    action: &'static str,
}

#[derive(Serialize)]
struct EntryId {
    entry_id: String,
}

impl Announcements {
    /// Begins to look for news.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { options, storage, events, spawner, folder } = parts;
        let mut configured: Vec<String> = ALWAYS.map(str::to_owned).to_vec();
        for name in options.subscriptions.iter().map(|name| name.to_lowercase()) {
            match check_name(&name) {
                Ok(()) if configured.contains(&name) => {}
                Ok(()) => configured.push(name),
                Err(error) => log::warn!("announcements: {}", error.message()),
            }
        }
        let source = match (options.dev_mode, options.enable_moonlight) {
            (true, _) => Source::folder(folder),
            (false, true) => Source::server(options.moonlight_url),
            (false, false) => Source::None,
        };
        let part = Arc::new(Self {
            storage,
            events,
            spawner,
            source,
            configured: Mutex::new(configured),
            busy: smol::lock::Mutex::new(()),
        });
        part.spawner.spawn(run(Arc::downgrade(&part)));
        part
    }

    /// Its endpoints.
    pub fn endpoints(self: &Arc<Self>) -> Vec<Endpoint> {
        let feed = "/server/announcements/feed";
        vec![
            Endpoint::get("server.announcements.list", "/server/announcements/list")
                .read_only()
                .to(self, Self::list),
            Endpoint::post("server.announcements.update", "/server/announcements/update")
                .operator()
                .to(self, Self::update),
            Endpoint::post("server.announcements.dismiss", "/server/announcements/dismiss")
                .operator()
                .to(self, Self::dismiss),
            Endpoint::get("server.announcements.feeds", "/server/announcements/feeds")
                .read_only()
                .to(self, Self::feeds),
            Endpoint::post("server.announcements.post_feed", feed).operator().to(self, Self::post_feed),
            Endpoint::delete("server.announcements.delete_feed", feed).operator().to(self, Self::delete_feed),
        ]
    }

    /// Subscribes another part to a feed of its own.
    pub fn subscribe(&self, name: &str) {
        let mut configured = lock(&self.configured);
        if check_name(name).is_ok() && !configured.iter().any(|known| known == name) {
            configured.push(name.to_owned());
        }
    }

    /// Adds an announcement of a part of this program; gives its id.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub async fn add(
        &self,
        feed: &str,
        title: &str,
        description: &str,
        url: &str,
        priority: &str,
    ) -> Result<String> {
        let entry = Entry::internal(feed, title, description, url, priority, time::now());
        let id = entry.entry_id.clone();
        self.storage.write(move |writer| entries::add(writer, entry)).await?;
        self.tell_entries(Duration::ZERO);
        Ok(id)
    }

    /// Takes an announcement away.
    ///
    /// # Errors
    /// 400 when there is none of that id.
    pub async fn remove(&self, entry_id: &str) -> Result<()> {
        let id = entry_id.to_owned();
        self.storage.write(move |writer| entries::remove(writer, &id)).await?;
        self.tell_entries(Duration::ZERO);
        Ok(())
    }

    /// The announcements, newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn entries(&self, include_dismissed: bool) -> Result<Vec<Entry>> {
        Ok(self.storage.read(|view| entries::sorted(view, include_dismissed))?)
    }

    /// All feeds: those of the configuration first.
    fn all_feeds(&self) -> Result<Vec<String>> {
        let mut feeds = lock(&self.configured).clone();
        let stored = self.storage.read(|view| entries::stored_feeds(view))?;
        let new: Vec<String> = stored.into_iter().filter(|name| !feeds.contains(name)).collect();
        feeds.extend(new);
        Ok(feeds)
    }

    fn notify(&self, name: &'static str, argument: &impl Serialize, delay: Duration) {
        let notification = Notification::new(name, argument);
        let events = self.events.clone();
        self.spawner.spawn(async move {
            smol::Timer::after(delay).await;
            events.emit(&Event::Notify(notification));
        });
    }

    /// Tells clients all entries.
    fn tell_entries(&self, delay: Duration) {
        #[derive(Serialize)]
        struct All {
            entries: Vec<Entry>,
        }
        match self.entries(true) {
            Ok(entries) => self.notify("notify_announcement_update", &All { entries }, delay),
            Err(error) => log::warn!("announcements: clients are not told: {error}"),
        }
    }

    /// Looks at feeds; says whether there were changes, and whether all could be had.
    async fn look_at(&self, feeds: &[String]) -> (bool, bool) {
        let (mut changed, mut complete) = (false, true);
        for name in feeds {
            match self.look_at_one(name).await {
                Ok(change) => changed |= change,
                Err(why) => {
                    log::info!("announcements: feed '{name}' could not be had: {why}");
                    complete = false;
                }
            }
        }
        (changed, complete)
    }

    async fn look_at_one(&self, name: &str) -> std::result::Result<bool, String> {
        let text = |error: storage::Error| error.to_string();
        let etag = self.storage.read(|view| entries::etag(view, name)).map_err(text)?;
        let Fetched { text: xml, etag } = match self.source.fetch(name, etag).await? {
            Some(fetched) => fetched,
            None => return Ok(false),
        };
        let feed = unblock(move || feed::parse(&xml)).await?;
        let name = name.to_owned();
        let merged = self.storage.write(move |writer| {
            entries::set_etag(writer, &name, etag.as_deref())?;
            entries::merge(writer, &name, feed, time::now())
        });
        merged.await.map_err(text)
    }

    async fn list(self: Arc<Self>, call: Call<List>) -> Result<Reply> {
        #[derive(Serialize)]
        struct All {
            entries: Vec<Entry>,
            feeds: Vec<String>,
        }
        let entries = self.entries(call.params.include_dismissed)?;
        Ok(Reply::of(&All { entries, feeds: self.all_feeds()? }))
    }

    async fn update(self: Arc<Self>, call: Call<Update>) -> Result<Reply> {
        #[derive(Serialize)]
        struct Updated {
            entries: Vec<Entry>,
            modified: bool,
        }
        let all = self.all_feeds()?;
        let feeds = call.params.subscriptions.unwrap_or_else(|| all.clone());
        if let Some(unknown) = feeds.iter().find(|name| !all.contains(name)) {
            return Err(Error::bad_request(format!("No subscription for {unknown}")));
        }
        let _turn = self.busy.lock().await;
        let (modified, _) = self.look_at(&feeds).await;
        if modified {
            self.tell_entries(NOTIFY_DELAY);
        }
        Ok(Reply::of(&Updated { entries: self.entries(true)?, modified }))
    }

    async fn dismiss(self: Arc<Self>, call: Call<Dismiss>) -> Result<Reply> {
        let Dismiss { entry_id, wake_time } = call.params;
        if wake_time.is_some_and(|seconds| seconds < 0) {
            return Err(Error::bad_request("Invalid value for argument 'wake_time': it is negative"));
        }
        let id = entry_id.clone();
        let dismissed =
            self.storage.write(move |writer| entries::dismiss(writer, &id, wake_time, time::now()));
        if let Dismissed::Now { key, wake } = dismissed.await? {
            self.notify(
                "notify_announcement_dismissed",
                &EntryId { entry_id: entry_id.clone() },
                NOTIFY_DELAY,
            );
            if let Some(wake) = wake {
                self.wake_at(key, wake);
            }
        }
        Ok(Reply::of(&EntryId { entry_id }))
    }

    /// Has a dismissed entry come back at a time, in seconds since 1970.
    fn wake_at(self: &Arc<Self>, key: String, wake: f64) {
        let weak = Arc::downgrade(self);
        self.spawner.spawn(async move {
            loop {
                let left = Duration::try_from_secs_f64(wake - time::now()).unwrap_or_default();
                if left.is_zero() {
                    break;
                }
                smol::Timer::after(left.min(LONGEST_SLEEP)).await;
            }
            let Some(part) = weak.upgrade() else { return };
            match part.storage.write(move |writer| entries::wake(writer, &key, wake)).await {
                Ok(Some(entry_id)) => {
                    part.notify("notify_announcement_wake", &EntryId { entry_id }, Duration::ZERO);
                }
                Ok(None) => {}
                Err(error) => log::warn!("announcements: an entry did not come back: {error}"),
            }
        });
    }

    async fn feeds(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        Ok(Reply::of(&Feeds { feeds: self.all_feeds()? }))
    }

    async fn post_feed(self: Arc<Self>, call: Call<FeedName>) -> Result<Reply> {
        let feed = call.params.name.to_lowercase();
        check_name(&feed)?;
        let _turn = self.busy.lock().await;
        let all = self.all_feeds()?;
        if all.contains(&feed) {
            return Ok(Reply::of(&FeedChange { feed, action: "skipped" }));
        }
        if all.len() >= MAX_FEEDS {
            return Err(Error::bad_request(format!("There can be no more than {MAX_FEEDS} feeds")));
        }
        let name = feed.clone();
        self.storage.write(move |writer| entries::store_feed(writer, &name)).await?;
        if self.look_at(std::slice::from_ref(&feed)).await.0 {
            self.tell_entries(NOTIFY_DELAY);
        }
        Ok(Reply::of(&FeedChange { feed, action: "added" }))
    }

    async fn delete_feed(self: Arc<Self>, call: Call<FeedName>) -> Result<Reply> {
        let feed = call.params.name.to_lowercase();
        let _turn = self.busy.lock().await;
        let name = feed.clone();
        let configured = lock(&self.configured).contains(&feed);
        let removed = self.storage.write(move |writer| entries::remove_feed(writer, &name, configured));
        if removed.await? {
            self.tell_entries(NOTIFY_DELAY);
        }
        Ok(Reply::of(&FeedChange { feed, action: "removed" }))
    }
}

/// A name of a feed becomes part of an address and of a path.
fn check_name(name: &str) -> Result<()> {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > MAX_NAME || name.starts_with('.') || !name.bytes().all(fits) {
        let shown: String = name.chars().take(MAX_NAME).collect();
        return Err(Error::bad_request(format!("'{shown}' is no name of a feed")));
    }
    Ok(())
}

/// Wakes what is due, then looks at all feeds time and again.
async fn run(part: Weak<Announcements>) {
    if let Some(part) = part.upgrade() {
        if let Err(error) = part.storage.guard("announcements", Access::Protected).await {
            log::warn!("announcements: the namespace is not protected: {error}");
        }
        match part.storage.write(|writer| entries::wake_due(writer, time::now())).await {
            Ok(later) => later.into_iter().for_each(|(key, wake)| part.wake_at(key, wake)),
            Err(error) => log::warn!("announcements: dismissed entries do not come back: {error}"),
        }
    }
    let mut retry = RETRY;
    loop {
        let complete = {
            let Some(part) = part.upgrade() else { return };
            let _turn = part.busy.lock().await;
            let feeds = part.all_feeds().unwrap_or_default();
            let (changed, complete) = part.look_at(&feeds).await;
            if changed {
                part.tell_entries(Duration::ZERO);
            }
            complete
        };
        retry = if complete { RETRY } else { (retry * 2).min(INTERVAL) };
        smol::Timer::after(if complete { INTERVAL } else { retry }).await;
    }
}

#[cfg(test)]
mod tests;
