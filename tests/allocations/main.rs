//! How often memory is asked for by what runs every second for years: small boards have little of it, and what is never
//! asked for cannot be scattered.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test helper that fails is a test that fails")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perigee::api::outbox::Outgoing;
use perigee::api::{Connection, Connections, Events, Identity, Transport};
use perigee::components::proc_stats::ProcStats;
use perigee::host::{Host, Sampler};
use perigee::tasks::Spawner;

/// How long a tick of the kernel's clocks, a hundredth of a second, may take.
const TICK_PATIENCE: Duration = Duration::from_secs(10);

/// The system's allocator, which counts for each thread how often it is asked.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // at the end of a thread there is nothing left to count in
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: everything is handed to the system's allocator as it came. Counting allocates nothing: the counter is a
// constant of the thread, without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often this thread allocates in the course of something.
fn allocations(work: impl FnOnce()) -> usize {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

#[test]
fn it_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(5)))), 1);
    assert_eq!(allocations(|| {}), 0);
}

#[test]
fn a_sample_allocates_nothing() {
    let mut sampler = Sampler::new(&Host::default());
    // Buffers find their size, names of CPUs and interfaces are learned. What a CPU did is known when its clock has ticked.
    let begun = Instant::now();
    while sampler.cpu.iter().count() < 2 {
        assert!(begun.elapsed() < TICK_PATIENCE, "no clock of a CPU ticks");
        sampler.sample();
    }
    let counts: Vec<usize> = (0..100).map(|_| allocations(|| sampler.sample())).collect();
    assert!(sampler.memory.is_some() && sampler.network.iter().count() > 0);
    // an interface may come while this runs
    assert!(counts.iter().filter(|count| **count > 0).count() <= 5, "{counts:?}");
}

/// What a second costs with the timer, the notification, and its way to a client.
#[test]
fn a_sample_that_a_client_is_told_of_allocates_little() {
    const SAMPLES: usize = 3;
    const LIMIT: usize = 24;
    let events = Arc::new(Events::default());
    let connections = Connections::new(events.clone());
    let client = connections.open(Transport::Websocket, None, Identity::local()).unwrap();
    let stats = ProcStats::new(&Host::default(), events, connections);
    let executor = Arc::new(smol::Executor::new());
    stats.start(&Spawner::new(&executor));
    // one thread does everything, as in the server
    let told = |client: Arc<Connection>| async move {
        match client.outbox.next().await {
            Outgoing::Message(message) => assert!(message.contains("notify_proc_stat_update")),
            Outgoing::Close(_) => panic!("the connection is closed"),
        }
    };
    let counts: Vec<usize> = (0..SAMPLES)
        .map(|_| allocations(|| futures_lite::future::block_on(executor.run(told(client.clone())))))
        .collect();
    println!("allocations of a sample with its notification: {counts:?}");
    // the first one learns names and sizes
    assert!(counts[1..].iter().all(|count| *count <= LIMIT), "{counts:?}");
}
