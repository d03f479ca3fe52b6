//! JSON-RPC messages of a lasting connection, each handled in a task of its own: one that waits for the printer
//! does not hold up the next, least of all an emergency stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Context;
use crate::api::{Connection, jsonrpc};

/// How many calls of one connection may be under way. A message beyond that is answered with an error.
pub(super) const MAX_CALLS: usize = 256;

/// The answer to a message too many.
const TOO_MANY: &str =
    r#"{"jsonrpc":"2.0","error":{"code":503,"message":"Too many requests under way"},"id":null}"#;

/// Handles the messages of one connection.
pub(super) struct Calls {
    context: Context,
    connection: Arc<Connection>,
    under_way: Arc<AtomicUsize>,
}

impl Calls {
    pub(super) fn new(context: Context, connection: Arc<Connection>) -> Self {
        Self { context, connection, under_way: Arc::default() }
    }

    /// Starts to handle a message; the answer goes to the connection's outbox.
    pub(super) fn start(&self, message: impl AsRef<[u8]> + Send + 'static) {
        if self.under_way.load(Ordering::Relaxed) >= MAX_CALLS {
            self.connection.outbox.push(TOO_MANY.into());
            return;
        }
        let under_way = UnderWay::new(&self.under_way);
        let (table, connection) = (self.context.table.clone(), self.connection.clone());
        self.context.spawner.spawn(async move {
            let _under_way = under_way;
            let answer = jsonrpc::handle(&table, &connection.caller(), message.as_ref()).await;
            if let Some(answer) = answer {
                connection.outbox.push(answer.into());
            }
        });
    }
}

/// Counts a call as long as it lives, also when its task is cancelled.
struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
