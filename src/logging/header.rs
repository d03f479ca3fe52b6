//! What stands at the beginning of every log file: versions, paths, the configuration, warnings.

use std::sync::Mutex;

use super::line::prefix;
use crate::sync::lock;
use crate::time;

/// Items of the header.
pub const MAX_ITEMS: usize = 32;
/// Bytes of an item; the rest is cut off.
pub const MAX_ITEM: usize = 64 * 1024;

/// Named texts, in the order in which their names first came.
#[derive(Default)]
pub(super) struct Header {
    items: Mutex<Vec<(String, String)>>,
}

impl Header {
    /// Sets an item; an empty text removes it.
    pub(super) fn set(&self, name: &str, text: &str) {
        let text = prefix(text, MAX_ITEM);
        let mut items = lock(&self.items);
        let known = items.iter().position(|(known, _)| known == name);
        match known {
            Some(index) if text.is_empty() => drop(items.remove(index)),
            Some(index) => items[index].1 = text.to_owned(),
            None if text.is_empty() || items.len() >= MAX_ITEMS => {}
            None => items.push((name.to_owned(), text.to_owned())),
        }
    }

    /// The header of a file that begins at a moment, in seconds since 1970.
    pub(super) fn text(&self, seconds: i64) -> String {
        let rule = "-".repeat(20);
        let mut out = format!("{rule} Log Start | {} UTC {rule}\n", time::utc(seconds));
        for (_, text) in lock(&self.items).iter() {
            out.push_str(text.trim_end());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_kept_in_order_and_bounded() {
        let header = Header::default();
        header.set("version", "perigee 1");
        header.set("config", "[server]\n");
        header.set("version", "perigee 2");
        header.set("gone", "x");
        header.set("gone", "");
        let rule = "-".repeat(20);
        assert_eq!(
            header.text(1_788_177_600),
            format!("{rule} Log Start | 2026-08-31 12:00:00 UTC {rule}\nperigee 2\n[server]\n")
        );
        for i in 0..MAX_ITEMS * 2 {
            header.set(&format!("n{i}"), &"é".repeat(MAX_ITEM));
        }
        assert!(header.text(0).len() <= MAX_ITEMS * (MAX_ITEM + 1) + 100);
    }
}
