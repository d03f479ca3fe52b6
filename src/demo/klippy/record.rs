//! What clients have asked, for tests to look at.

use std::collections::VecDeque;

use serde_json::Value;

use super::request::Request;

/// A request as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// The number of the connection, counted from 1.
    pub connection: u64,
    /// Null if there was none.
    pub id: Value,
    /// The endpoint.
    pub method: String,
    /// An object.
    pub params: Value,
}

/// The last requests, and how many there were of what.
#[derive(Debug)]
pub(super) struct Record {
    limit: usize,
    requests: VecDeque<Received>,
    /// Frames that were no request.
    pub(super) garbage: u64,
    /// Connections that were made in all.
    pub(super) connections: u64,
    /// How often Klippy was started.
    pub(super) starts: u64,
    /// Whether there is a socket to connect to.
    pub(super) listening: bool,
}

impl Record {
    /// Keeps this many requests.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, requests: VecDeque::new(), garbage: 0, connections: 0, starts: 0, listening: false }
    }

    /// Keeps a request; the oldest goes when there are too many.
    pub(super) fn keep(&mut self, connection: u64, request: &Request) {
        if self.limit == 0 {
            return;
        }
        if self.requests.len() >= self.limit {
            self.requests.pop_front();
        }
        self.requests.push_back(Received {
            connection,
            id: request.id.clone(),
            method: request.method.clone(),
            params: Value::Object(request.params.clone()),
        });
    }

    /// Those kept, the oldest first.
    pub(super) fn requests(&self) -> impl Iterator<Item = &Received> {
        self.requests.iter()
    }

    /// Forgets them.
    pub(super) fn clear(&mut self) {
        self.requests.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_requests_go_first() {
        let request =
            |method: &str| Request::parse(format!(r#"{{"method":"{method}"}}"#).as_bytes()).unwrap();
        let mut record = Record::new(2);
        for method in ["a", "b", "c"] {
            record.keep(1, &request(method));
        }
        assert_eq!(record.requests().map(|r| r.method.as_str()).collect::<Vec<_>>(), ["b", "c"]);
        let mut none = Record::new(0);
        none.keep(1, &request("a"));
        assert_eq!(none.requests().count(), 0);
    }
}
