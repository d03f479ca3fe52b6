//! The thread in which the simulated Klippy lives, from its first start over its restarts to its end.

use std::io;
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_lite::future::or;
use smol::channel::{Receiver, unbounded};
use smol::net::unix::{UnixListener, UnixStream};
use smol::{Executor, Task, Timer};

use super::clock::Clock;
use super::connection;
use super::controls::Controls;
use super::gcode::runner;
use super::options::Options;
use super::printer::State;
use super::world::{Shared, Signal};

/// How long connections may take to end when Klippy does.
const GOODBYE: Duration = Duration::from_millis(200);

/// A simulated Klippy on a socket of its own, in a thread of its own. It ends when this is dropped, and takes the
/// socket with it.
pub struct Simulator {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Simulator {
    /// Starts Klippy. Its socket can be connected to when this returns.
    ///
    /// # Errors
    /// Those of making the socket, also that somebody else listens on it; those of starting a thread.
    pub fn start(options: Options) -> io::Result<Self> {
        let listener = bind(&options.socket)?;
        let (sender, signals) = unbounded();
        let shared = Arc::new(Shared::new(options, sender));
        let inside = shared.clone();
        let thread = std::thread::Builder::new()
            .name("klippy".to_owned())
            .spawn(move || smol::block_on(live(&inside, listener, &signals)))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// What a test can do to it beyond what its socket offers.
    pub fn controls(&self) -> Controls {
        Controls::new(self.shared.clone())
    }

    /// Waits for SIGINT or SIGTERM, then ends it.
    ///
    /// # Errors
    /// Those of waiting for signals.
    pub fn run_until_signal(self) -> io::Result<()> {
        let mut signals =
            async_signal::Signals::new([async_signal::Signal::Int, async_signal::Signal::Term])?;
        smol::block_on(futures_lite::StreamExt::next(&mut signals)).transpose()?;
        self.stop();
        Ok(())
    }

    /// Its socket.
    pub fn socket(&self) -> &Path {
        &self.shared.options.socket
    }

    /// Ends it. Dropping does the same.
    pub fn stop(self) {}
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.shared.signal(Signal::Stop);
        if let Some(thread) = self.thread.take() {
            // it has panicked: the test that hears of it has failed already
            let _ = thread.join();
        }
    }
}

/// Makes the socket. One that was left behind is replaced.
fn bind(path: &Path) -> io::Result<UnixListener> {
    if StdStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("{} is in use", path.display())));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::try_from(StdListener::bind(path)?)
}

/// All of Klippy's lives.
async fn live(shared: &Arc<Shared>, listener: UnixListener, signals: &Receiver<Signal>) {
    let mut listener = Some(listener);
    while run(shared, listener.take(), signals).await == Signal::Restart {
        let pause = async {
            Timer::after(shared.options.restart).await;
            false
        };
        let stop = async {
            loop {
                match signals.recv().await {
                    Ok(Signal::Stop) | Err(_) => return true,
                    Ok(_) => {}
                }
            }
        };
        if or(stop, pause).await {
            break;
        }
        shared.begin();
        match bind(&shared.options.socket) {
            Ok(bound) => listener = Some(bound),
            Err(error) => log::error!("Simulated Klippy: {error}"),
        }
    }
    // it may be gone already
    let _ = std::fs::remove_file(&shared.options.socket);
}

/// One life of Klippy. Says what ends it.
async fn run(shared: &Arc<Shared>, listener: Option<UnixListener>, signals: &Receiver<Signal>) -> Signal {
    shared.with(|world, _| {
        world.record.starts += 1;
        world.record.listening = listener.is_some();
    });
    let executor: Executor<'static> = Executor::new();
    executor.spawn(start_up(shared.clone())).detach();
    executor.spawn(runner::run(shared.clone())).detach();
    executor.spawn(tick(shared.clone())).detach();
    executor.spawn(deliver(shared.clone())).detach();
    executor.run(accept(shared, listener, signals, &executor)).await
}

/// Takes connections until the end, then lets them end.
async fn accept(
    shared: &Arc<Shared>,
    mut listener: Option<UnixListener>,
    signals: &Receiver<Signal>,
    executor: &Executor<'static>,
) -> Signal {
    let mut clients: Vec<Task<()>> = Vec::new();
    let end = loop {
        match or(signal(signals), connection(listener.as_ref())).await {
            Event::Signal(end @ (Signal::Restart | Signal::Stop)) => break end,
            Event::Signal(Signal::Close) => {
                listener = None;
                let _ = std::fs::remove_file(&shared.options.socket);
            }
            // binding anew while it listens would find its own socket in use
            Event::Signal(Signal::Open) if listener.is_none() => match bind(&shared.options.socket) {
                Ok(bound) => listener = Some(bound),
                Err(error) => log::error!("Simulated Klippy: {error}"),
            },
            Event::Signal(Signal::Open) => {}
            Event::Connection(stream) => {
                let (client, outgoing) = shared.with(|world, _| world.connect());
                clients.retain(|task| !task.is_finished());
                clients.push(executor.spawn(connection::serve(shared.clone(), client, outgoing, stream)));
            }
        }
        shared.with(|world, _| world.record.listening = listener.is_some());
    };
    drop(listener);
    shared.with(|world, _| {
        world.record.listening = false;
        world.respond("// Klipper state: Disconnect");
        let connected: Vec<u64> = world.clients.keys().copied().collect();
        for client in connected {
            world.disconnect(client);
        }
    });
    let over = async {
        for task in clients {
            task.await;
        }
    };
    or(over, async {
        Timer::after(GOODBYE).await;
    })
    .await;
    end
}

enum Event {
    Signal(Signal),
    Connection(UnixStream),
}

async fn signal(signals: &Receiver<Signal>) -> Event {
    Event::Signal(signals.recv().await.unwrap_or(Signal::Stop))
}

async fn connection(listener: Option<&UnixListener>) -> Event {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Event::Connection(stream),
            // out of descriptors, say: it may get better
            Err(_) => {
                Timer::after(GOODBYE).await;
            }
        }
    }
}

/// Reads the configuration and becomes ready, after the time that this takes.
async fn start_up(shared: Arc<Shared>) {
    let ready = Instant::now().checked_add(shared.options.startup);
    let Some(ready) = ready else {
        return;
    };
    Timer::at(ready).await;
    shared.with(|world, now| {
        if !world.faults.hold && world.printer.state == State::Startup {
            world.printer.start(&shared.options, &world.saved, now);
        }
    });
}

/// Answers queries and pushes changes, for as long as there are any.
async fn tick(shared: Arc<Shared>) {
    let clock: &Clock = &shared.clock;
    loop {
        shared.ticker.wait().await;
        loop {
            let begun = Instant::now();
            if !shared.with(|world, now| world.tick(now, clock.event_time(), false)) {
                break;
            }
            Timer::at(begun + shared.options.tick).await;
        }
    }
}

/// Sends answers that a test has delayed, in their time.
async fn deliver(shared: Arc<Shared>) {
    loop {
        let next = shared.look().deliver_due(Instant::now());
        let wait = async {
            match next {
                Some(time) => {
                    Timer::at(time).await;
                }
                None => std::future::pending().await,
            }
        };
        or(shared.delayer.wait(), wait).await;
    }
}
