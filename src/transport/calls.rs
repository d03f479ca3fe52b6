//! JSON-RPC messages of a lasting connection, each handled in a task of its own: one that waits for the printer
//! does not hold up the next, least of all an emergency stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Context;
use crate::api::{Connection, Error, Result, Role, jsonrpc};

/// How many calls of one connection may be under way. A message beyond that is answered with an error.
pub(super) const MAX_CALLS: usize = 256;

/// What is said when there are more.
const TOO_MANY: &str = "Too many requests under way";

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
        if let Err(error) = self.may_start() {
            return self.connection.outbox.push(jsonrpc::refusal(&error).into());
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

    /// Whether one more call may be made now.
    fn may_start(&self) -> Result<()> {
        if self.under_way.load(Ordering::Relaxed) >= MAX_CALLS {
            return Err(Error::unavailable(TOO_MANY));
        }
        match self.connection.address() {
            Some(address) if self.connection.identity().role == Role::Anonymous => {
                self.context.rates.take(address)
            }
            _ => Ok(()),
        }
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
