//! Announcements in the database.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::feed::Feed;
use crate::json;
use crate::storage::{Error, KeyPath, Read, ReadDocuments, Result, Segment, Writer};
use crate::time;

/// The namespace of the entries.
const NAMESPACE: &str = "announcements";
/// The namespace of what is known of feeds.
const FEEDS: &str = "moonraker";
/// How many entries are kept; a feed that brings more is cut.
pub(super) const MAX_ENTRIES: usize = 1000;
/// A dismissed entry whose time comes within this many seconds of the start comes back at once.
const NEARLY_DUE: f64 = 10.0;

/// An announcement as it is stored, and as clients see it (spec api.md §10, "Entry").
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Unique, such as `arksine/moonraker/issue/349`.
    pub entry_id: String,
    /// Where more is to be read.
    pub url: Option<String>,
    /// The headline.
    pub title: Option<String>,
    /// The text, which may hold Markdown links.
    pub description: Option<String>,
    /// `normal` or `high`.
    pub priority: Option<String>,
    /// Seconds since 1970.
    pub date: f64,
    /// Whether it was read and put away.
    pub dismissed: bool,
    /// When.
    #[serde(default)]
    pub date_dismissed: Option<f64>,
    /// When it comes back.
    #[serde(default)]
    pub dismiss_wake: Option<f64>,
    /// `moonlight` for one of a feed, `internal` for one of this program.
    pub source: String,
    /// The feed, or the part of this program.
    pub feed: String,
}

impl Entry {
    /// An announcement of this program, of this moment.
    pub(super) fn internal(
        feed: &str,
        title: &str,
        description: &str,
        url: &str,
        priority: &str,
        now: f64,
    ) -> Self {
        let moment = time::utc(now as i64).to_string().replace(' ', "T");
        Self {
            entry_id: format!("{feed}/{moment}"),
            url: Some(url.to_owned()),
            title: Some(title.to_owned()),
            description: Some(description.to_owned()),
            priority: Some(priority.to_owned()),
            date: now,
            dismissed: false,
            date_dismissed: None,
            dismiss_wake: None,
            source: "internal".to_owned(),
            feed: feed.to_owned(),
        }
    }

    fn awake(mut self) -> Self {
        (self.dismissed, self.date_dismissed, self.dismiss_wake) = (false, None, None);
        self
    }
}

/// What became of a dismissal.
#[derive(Debug, PartialEq)]
pub(super) enum Dismissed {
    /// It was dismissed before.
    Already,
    /// Under which key it is, and when it is to come back.
    Now { key: String, wake: Option<f64> },
}

/// All entries with their keys, in the order they came. What is no entry is left out.
fn all(view: &(impl Read + ?Sized)) -> Result<Vec<(String, Entry)>> {
    let mut entries = Vec::new();
    view.each_record(NAMESPACE, &mut |key, text| {
        match serde_json::from_str(text) {
            Ok(entry) => entries.push((key.to_owned(), entry)),
            Err(error) => log::warn!("announcements: the record {key} is no entry: {error}"),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(entries)
}

/// The entries, newest first.
pub(super) fn sorted(view: &(impl Read + ?Sized), include_dismissed: bool) -> Result<Vec<Entry>> {
    let entries = all(view)?.into_iter().map(|(_, entry)| entry);
    let mut entries: Vec<Entry> = entries.filter(|entry| include_dismissed || !entry.dismissed).collect();
    entries.sort_by(|a, b| b.date.total_cmp(&a.date));
    Ok(entries)
}

fn put(writer: &mut Writer<'_>, key: &str, entry: &Entry) -> Result<()> {
    writer.put_record(NAMESPACE, key, &json::to_raw(entry))
}

/// Adds an entry. One of the same id is replaced.
pub(super) fn add(writer: &mut Writer<'_>, entry: Entry) -> Result<()> {
    let known = all(writer)?;
    match known.iter().find(|(_, other)| other.entry_id == entry.entry_id) {
        Some((key, _)) => put(writer, key, &entry),
        None => put(writer, &key_of(next_number(&known)), &entry),
    }
}

fn next_number(known: &[(String, Entry)]) -> u64 {
    let last = known.iter().filter_map(|(key, _)| u64::from_str_radix(key, 16).ok()).max();
    last.map_or(0, |last| last.saturating_add(1))
}

fn key_of(number: u64) -> String {
    format!("{number:06X}")
}

/// The entry of an id.
fn find(view: &(impl Read + ?Sized), id: &str) -> Result<(String, Entry)> {
    let found = all(view)?.into_iter().find(|(_, entry)| entry.entry_id == id);
    found.ok_or_else(|| Error::bad_request(format!("No key matching entry id: {id}")))
}

/// Takes an entry away.
pub(super) fn remove(writer: &mut Writer<'_>, id: &str) -> Result<()> {
    let (key, _) = find(writer, id)?;
    writer.delete_record(NAMESPACE, &key).map(drop)
}

/// Puts an entry away, for ever or for a number of seconds.
pub(super) fn dismiss(
    writer: &mut Writer<'_>,
    id: &str,
    seconds: Option<i64>,
    now: f64,
) -> Result<Dismissed> {
    let (key, mut entry) = find(writer, id)?;
    if entry.dismissed {
        return Ok(Dismissed::Already);
    }
    let wake = seconds.map(|seconds| now + seconds as f64);
    (entry.dismissed, entry.date_dismissed, entry.dismiss_wake) = (true, Some(now), wake);
    put(writer, &key, &entry)?;
    Ok(Dismissed::Now { key, wake })
}

/// Brings back the entry that was to come back at a time, unless something else was decided since; gives its id.
pub(super) fn wake(writer: &mut Writer<'_>, key: &str, at: f64) -> Result<Option<String>> {
    let found = writer.record(NAMESPACE, key)?;
    let entry = found.and_then(|entry| serde_json::from_str::<Entry>(entry.get()).ok());
    let Some(entry) = entry.filter(|entry| entry.dismissed && entry.dismiss_wake == Some(at)) else {
        return Ok(None);
    };
    let entry = entry.awake();
    put(writer, key, &entry)?;
    Ok(Some(entry.entry_id))
}

/// Brings back what is due; gives the keys and times of what is to come back later.
pub(super) fn wake_due(writer: &mut Writer<'_>, now: f64) -> Result<Vec<(String, f64)>> {
    let mut later = Vec::new();
    for (key, entry) in all(writer)? {
        match entry.dismiss_wake.filter(|_| entry.dismissed) {
            Some(wake) if wake - NEARLY_DUE < now => put(writer, &key, &entry.awake())?,
            Some(wake) => later.push((key, wake)),
            None => {}
        }
    }
    Ok(later)
}

/// Takes over a feed: new items become entries, entries that it has no longer go. Says whether something changed.
pub(super) fn merge(writer: &mut Writer<'_>, name: &str, feed: Feed, now: f64) -> Result<bool> {
    let known = all(writer)?;
    let ids: BTreeSet<&str> = known.iter().map(|(_, entry)| entry.entry_id.as_str()).collect();
    let mut changed = false;
    let kept: BTreeSet<String> = feed.items.iter().map(|item| item.id.clone()).collect();
    let room = MAX_ENTRIES.saturating_sub(known.len());
    let mut seen = BTreeSet::new();
    let new =
        feed.items.into_iter().filter(|item| !ids.contains(item.id.as_str()) && seen.insert(item.id.clone()));
    for (number, item) in (next_number(&known)..).zip(new.take(room)) {
        let entry = Entry {
            entry_id: item.id,
            url: item.url,
            title: item.title,
            description: item.description,
            priority: item.priority,
            date: item.date.unwrap_or(now),
            dismissed: false,
            date_dismissed: None,
            dismiss_wake: None,
            source: "moonlight".to_owned(),
            feed: name.to_owned(),
        };
        put(writer, &key_of(number), &entry)?;
        changed = true;
    }
    let gone = |entry: &Entry| {
        !feed.prefix.is_empty() && entry.entry_id.starts_with(&feed.prefix) && !kept.contains(&entry.entry_id)
    };
    for (key, _) in known.iter().filter(|(_, entry)| gone(entry)) {
        writer.delete_record(NAMESPACE, key)?;
        changed = true;
    }
    Ok(changed)
}

fn feed_key(segments: &[&str]) -> Result<KeyPath> {
    let all = ["announcements"].iter().chain(segments);
    KeyPath::from_segments(all.map(|name| Segment::Name((*name).to_owned())).collect())
}

fn value(view: &(impl Read + ?Sized), key: &KeyPath) -> Result<Option<Box<RawValue>>> {
    match view.item(FEEDS, key) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.status() == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

/// The feeds that clients added.
pub(super) fn stored_feeds(view: &(impl Read + ?Sized)) -> Result<Vec<String>> {
    let list = value(view, &feed_key(&["stored_feeds"])?)?;
    Ok(list.and_then(|list| serde_json::from_str(list.get()).ok()).unwrap_or_default())
}

fn put_feeds(writer: &mut Writer<'_>, feeds: &[String]) -> Result<()> {
    writer.insert_item(FEEDS, &feed_key(&["stored_feeds"])?, &json::to_raw(feeds))
}

/// Adds a feed.
pub(super) fn store_feed(writer: &mut Writer<'_>, name: &str) -> Result<()> {
    let mut feeds = stored_feeds(writer)?;
    if !feeds.iter().any(|known| known == name) {
        feeds.push(name.to_owned());
    }
    put_feeds(writer, &feeds)
}

/// Removes a feed that a client added, with its entries; says whether there were some.
pub(super) fn remove_feed(writer: &mut Writer<'_>, name: &str, configured: bool) -> Result<bool> {
    let mut feeds = stored_feeds(writer)?;
    let at = feeds.iter().position(|known| known == name);
    let at = at.ok_or_else(|| Error::bad_request(format!("Feed '{name}' not stored")))?;
    if configured {
        return Err(Error::bad_request(format!("Feed '{name}' exists in the configuration, cannot remove")));
    }
    feeds.remove(at);
    put_feeds(writer, &feeds)?;
    set_etag(writer, name, None)?;
    let mut changed = false;
    for (key, entry) in all(writer)? {
        if entry.feed.to_lowercase() == name {
            writer.delete_record(NAMESPACE, &key)?;
            changed = true;
        }
    }
    Ok(changed)
}

/// The tag of what was last fetched of a feed.
pub(super) fn etag(view: &(impl Read + ?Sized), name: &str) -> Result<Option<String>> {
    let etag = value(view, &feed_key(&[name, "etag"])?)?;
    Ok(etag.and_then(|etag| serde_json::from_str(etag.get()).ok()))
}

/// Notes the tag of what was fetched of a feed.
pub(super) fn set_etag(writer: &mut Writer<'_>, name: &str, etag: Option<&str>) -> Result<()> {
    let key = feed_key(&[name, "etag"])?;
    match etag {
        Some(etag) => writer.insert_item(FEEDS, &key, &json::to_raw(etag)),
        None => match writer.delete_item(FEEDS, &key) {
            Err(error) if error.status() != 404 => Err(error),
            _ => Ok(()),
        },
    }
}
