//! Where feeds come from: the server of Moonlight, or a folder for those who write them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use crate::http_client::Get;
use crate::sync::lock;
use crate::tasks::unblock;

/// Largest feed, in bytes. Those that exist are under 20 KB.
pub(super) const MAX_FEED: u64 = 512 << 10;
/// How long the server may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is asked before that counts as a failure.
const ATTEMPTS: u32 = 3;
/// How long each further attempt waits.
const PAUSE: Duration = Duration::from_millis(500);

/// A feed that is new, or has changed.
pub(super) struct Fetched {
    pub(super) text: String,
    pub(super) etag: Option<String>,
}

pub(super) enum Source {
    /// Its address without the name of the feed.
    Server(String),
    /// With when each file was last changed as it was read.
    Folder(PathBuf, Mutex<HashMap<String, SystemTime>>),
    None,
}

impl Source {
    pub(super) fn server(url: String) -> Self {
        Self::Server(url)
    }

    pub(super) fn folder(folder: PathBuf) -> Self {
        Self::Folder(folder, Mutex::default())
    }

    /// Gets a feed; nothing if it is as it was.
    pub(super) async fn fetch(&self, name: &str, etag: Option<String>) -> Result<Option<Fetched>, String> {
        match self {
            Self::Server(url) => download(format!("{url}/{name}.xml"), etag).await,
            Self::Folder(folder, times) => {
                let path = folder.join(format!("{name}.xml"));
                let last = lock(times).get(name).copied();
                let read = unblock(move || read_file(path, last)).await?;
                Ok(read.map(|(text, time)| {
                    lock(times).insert(name.to_owned(), time);
                    Fetched { text, etag: None }
                }))
            }
            Self::None => Ok(None),
        }
    }
}

async fn download(url: String, etag: Option<String>) -> Result<Option<Fetched>, String> {
    let mut headers = vec![("Accept", "application/xml".to_owned())];
    headers.extend(etag.map(|etag| ("If-None-Match", etag)));
    let get = Get { url, headers, timeout: TIMEOUT, max_body: MAX_FEED };
    let mut why = String::new();
    for attempt in 0..ATTEMPTS {
        smol::Timer::after(PAUSE * attempt).await;
        match get.clone().send().await {
            Ok(answer) if answer.status == 304 => return Ok(None),
            Ok(answer) if answer.status == 200 => {
                let text = String::from_utf8(answer.body).map_err(|_| "it is not UTF-8".to_owned())?;
                return Ok(Some(Fetched { text, etag: answer.etag }));
            }
            // asking again does not help
            Ok(answer) if answer.status < 500 => return Err(format!("the server says {}", answer.status)),
            Ok(answer) => why = format!("the server says {}", answer.status),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

/// A file that was changed after `last`.
fn read_file(path: PathBuf, last: Option<SystemTime>) -> Result<Option<(String, SystemTime)>, String> {
    let text = |error: std::io::Error| error.to_string();
    let found = std::fs::metadata(&path).map_err(text)?;
    let time = found.modified().map_err(text)?;
    if last.is_some_and(|last| time <= last) {
        return Ok(None);
    }
    if found.len() > MAX_FEED {
        return Err(format!("it is larger than {MAX_FEED} bytes"));
    }
    Ok(Some((std::fs::read_to_string(path).map_err(text)?, time)))
}
