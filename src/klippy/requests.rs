//! Requests to Klippy and their answers.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use smol::channel::{Receiver, Sender, bounded};

use super::framing::END;
use crate::api::{Error, Result};
use crate::json;
use crate::sync::{Counter, lock};

/// How many requests may wait for Klippy. One more is answered with 503.
pub const MAX_PENDING: usize = 512;

/// How often the log says that a request still waits. Klippy may rightly take hours (a heating command with a
/// large object), so there is no time-out.
const REMIND_AFTER: Duration = Duration::from_secs(60);

type Answer = Result<Box<RawValue>>;

/// Requests on their way.
#[derive(Default)]
pub(super) struct Requests {
    next_id: Counter,
    pending: Mutex<HashMap<u64, Sender<Answer>>>,
    /// Frames for the task that writes to the socket; none while there is no socket.
    outgoing: Mutex<Option<Sender<Vec<u8>>>>,
}

impl Requests {
    /// Begins a connection: returns the frames that are to be written to it.
    pub(super) fn open(&self) -> Receiver<Vec<u8>> {
        let (sender, receiver) = bounded(MAX_PENDING);
        *lock(&self.outgoing) = Some(sender);
        receiver
    }

    /// Ends the connection: everybody who waits gets 503.
    pub(super) fn close(&self) {
        *lock(&self.outgoing) = None;
        for (_, waiting) in std::mem::take(&mut *lock(&self.pending)) {
            let _ = waiting.try_send(Err(Error::unavailable("Klippy Disconnected")));
        }
    }

    /// Sends a request and waits for its answer for as long as it takes.
    ///
    /// # Errors
    /// 503 without a connection, when it ends, or when too many requests wait; 400 with Klippy's message.
    pub(super) async fn send(&self, method: &str, params: Option<&RawValue>) -> Answer {
        let id = self.next_id.next();
        let outgoing = lock(&self.outgoing).clone();
        let outgoing = outgoing.ok_or_else(|| Error::unavailable("Klippy Host not connected"))?;
        let (sender, answer) = bounded(1);
        {
            let mut pending = lock(&self.pending);
            if pending.len() >= MAX_PENDING {
                return Err(Error::unavailable("Too many requests wait for Klippy"));
            }
            pending.insert(id, sender);
        }
        let _forget = Forget { requests: self, id };
        outgoing
            .try_send(frame(id, method, params))
            .map_err(|_| Error::unavailable("Klippy does not take requests"))?;
        let started = Instant::now();
        loop {
            let reminder = async {
                smol::Timer::after(REMIND_AFTER).await;
                None
            };
            match smol::future::or(async { Some(answer.recv().await) }, reminder).await {
                Some(Ok(answer)) => return answer,
                Some(Err(_)) => return Err(Error::unavailable("Klippy Disconnected")),
                None => log::info!("Klippy has not answered {method} for {} s", started.elapsed().as_secs()),
            }
        }
    }

    /// Hands over an answer. One that nobody waits for is logged.
    pub(super) fn answer(&self, id: &RawValue, answer: Answer) {
        let waiting = id.get().parse().ok().and_then(|id: u64| lock(&self.pending).remove(&id));
        match waiting {
            Some(waiting) => {
                let _ = waiting.try_send(answer);
            }
            None => log::debug!("Klippy answered a request that nobody waits for: {:.40}", id.get()),
        }
    }
}

/// Forgets a request when its caller does.
struct Forget<'a> {
    requests: &'a Requests,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(&self.requests.pending).remove(&self.id);
    }
}

fn frame(id: u64, method: &str, params: Option<&RawValue>) -> Vec<u8> {
    let method = json::to_text(method);
    let params = params.map_or("{}", RawValue::get);
    let mut frame = format!(r#"{{"id":{id},"method":{method},"params":{params}}}"#).into_bytes();
    frame.push(END);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.into()).unwrap()
    }

    #[test]
    fn an_answer_finds_its_request() {
        let requests = Requests::default();
        smol::block_on(async {
            assert_eq!(requests.send("info", None).await.unwrap_err().status(), 503);
            let outgoing = requests.open();
            let klippy = async {
                let frame = outgoing.recv().await.unwrap();
                assert_eq!(frame, b"{\"id\":2,\"method\":\"info\",\"params\":{}}\x03");
                requests.answer(&raw("77"), Ok(raw("\"wrong\"")));
                requests.answer(&raw("2"), Ok(raw("{\"a\":1}")));
            };
            let (answer, ()) = smol::future::zip(requests.send("info", None), klippy).await;
            assert_eq!(answer.unwrap().get(), "{\"a\":1}");
        });
    }

    #[test]
    fn a_caller_that_gives_up_leaves_nothing_behind() {
        let requests = Requests::default();
        let _outgoing = requests.open();
        smol::block_on(async {
            let asked = smol::future::poll_once(requests.send("info", None)).await;
            assert!(asked.is_none());
        });
        assert!(lock(&requests.pending).is_empty());
    }

    #[test]
    fn there_is_a_limit_to_waiting() {
        let requests = Requests::default();
        let _outgoing = requests.open();
        smol::block_on(async {
            let mut asked: Vec<_> = (0..MAX_PENDING).map(|_| Box::pin(requests.send("info", None))).collect();
            for request in &mut asked {
                assert!(smol::future::poll_once(request).await.is_none());
            }
            assert_eq!(requests.send("info", None).await.unwrap_err().status(), 503);
            requests.close();
            for request in asked {
                assert_eq!(request.await.unwrap_err().message(), "Klippy Disconnected");
            }
        });
    }
}
