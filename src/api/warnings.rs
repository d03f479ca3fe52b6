//! What `server.info` warns of.

use std::borrow::Cow;
use std::sync::Mutex;

use crate::sync::lock;

/// Warnings for the people in front of a front-end, in the order they came. One with a key can be taken back.
#[derive(Default)]
pub struct Warnings {
    list: Mutex<Vec<(Cow<'static, str>, String)>>,
}

impl Warnings {
    /// Adds a warning, and logs it. One with the same non-empty key is replaced.
    pub fn set(&self, key: impl Into<Cow<'static, str>>, text: impl Into<String>) {
        let (key, text) = (key.into(), text.into());
        log::warn!("{text}");
        let mut list = lock(&self.list);
        match list.iter_mut().find(|(known, _)| !key.is_empty() && *known == key) {
            Some((_, old)) => *old = text,
            None => list.push((key, text)),
        }
    }

    /// Adds a warning that stays.
    pub fn add(&self, text: impl Into<String>) {
        self.set("", text);
    }

    /// Takes back the warning with this key.
    pub fn clear(&self, key: &str) {
        lock(&self.list).retain(|(known, _)| known != key || key.is_empty());
    }

    /// The texts.
    pub fn texts(&self) -> Vec<String> {
        lock(&self.list).iter().map(|(_, text)| text.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyed_warning_is_replaced_and_taken_back() {
        let warnings = Warnings::default();
        warnings.add("first");
        warnings.set("k", "old");
        warnings.set("k", "new");
        assert_eq!(warnings.texts(), ["first", "new"]);
        warnings.clear("k");
        warnings.clear("");
        assert_eq!(warnings.texts(), ["first"]);
    }
}
