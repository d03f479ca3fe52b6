//! A list by name that is gone through again in every sample, mostly with the same names in the same order.

/// Names with what is known of each.
#[derive(Debug, Default)]
pub(super) struct Roster<T> {
    entries: Vec<Entry<T>>,
    /// The place that the next name is expected at.
    next: usize,
}

#[derive(Debug)]
struct Entry<T> {
    name: Box<str>,
    value: T,
    seen: bool,
}

impl<T> Roster<T> {
    /// Names and values, in the order in which they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.entries.iter().map(|entry| (&*entry.name, &entry.value))
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Begins a sample.
    pub(super) fn begin(&mut self) {
        self.next = 0;
        for entry in &mut self.entries {
            entry.seen = false;
        }
    }

    /// Calls `update` with a name that was there in the sample before, or takes what `new` makes, unless there are
    /// `limit` names.
    pub(super) fn see(
        &mut self,
        name: &str,
        limit: usize,
        update: impl FnOnce(&mut T),
        new: impl FnOnce() -> T,
    ) {
        let expected = self.entries.get(self.next).is_some_and(|entry| &*entry.name == name);
        let place =
            if expected { Some(self.next) } else { self.entries.iter().position(|e| &*e.name == name) };
        self.next = place.unwrap_or(self.next) + 1;
        if let Some(entry) = place.and_then(|place| self.entries.get_mut(place)) {
            update(&mut entry.value);
            entry.seen = true;
        } else if self.entries.len() < limit {
            self.entries.push(Entry { name: name.into(), value: new(), seen: true });
        }
    }

    /// Ends a sample: names that it did not have are forgotten.
    pub(super) fn end(&mut self) {
        self.entries.retain(|entry| entry.seen);
    }
}
