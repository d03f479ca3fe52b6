//! The server as a whole: start, memory, processor time, fan-out, requests, uploads, downloads. Run by hand:
//!
//!     tests/bench/run              all of it, in about two minutes
//!     tests/bench/run fan upload   what has one of these words in its name
//!
//! `PERIGEE_BIN` names the binary that is measured. The simulated printer and the clients run in this process; on a
//! machine with two cores each has one of them.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// the harness of the tests is used in part
#![allow(dead_code, unused_imports)]

#[path = "../api/harness/mod.rs"]
mod harness;
#[path = "../api/sim.rs"]
mod sim;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};

use harness::{FileDisk, Multipart, Perigee, Request, Setup, WsClient};
use perigee::host::{Host, Sampler};
use perigee::storage::history::{JobRecord, Total, put_job, put_total};
use perigee::storage::{Options, Storage};
use sim::Sim;

/// The argument with which this program is the server that [`bare`] describes.
const BARE: &str = "--bare-server";

/// How long processor time is watched.
const WATCH: Duration = Duration::from_secs(20);
/// Size of the file that goes up and down.
const LARGE: usize = 200 << 20;

fn main() {
    if std::env::args().nth(1).as_deref() == Some(BARE) {
        return bare();
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    println!("{:<58} {:>14}  budget", "what", "measured");
    let parts: [(&str, fn()); 13] = [
        ("start", start),
        ("idle", idle),
        ("sample", sample),
        ("fan-out", fan_out),
        ("subscribe", subscribe),
        ("query", query),
        ("requests", requests),
        ("upload", upload),
        ("download", download),
        ("list", list),
        ("extended", extended),
        ("history", prints),
        ("database", writes),
    ];
    for (name, run) in parts {
        if words.is_empty() || words.iter().any(|word| name.contains(&**word)) {
            run();
        }
    }
}

fn row(what: &str, measured: String, budget: &str) {
    println!("{what:<58} {measured:>14}  {budget}");
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// The value below which this part of the values lies.
fn percentile<T: Copy + Ord>(values: &mut [T], part: f64) -> T {
    values.sort_unstable();
    values[((values.len() - 1) as f64 * part) as usize]
}

/// A server with a printer that behaves in real time as Klippy does.
fn printer(change: impl FnOnce(Setup) -> Setup) -> (Sim, Perigee) {
    let setup = change(Setup::new());
    let sim = Sim::start_with(&setup, |options| {
        options.speed = 1.0;
        options.tick = Duration::from_millis(250);
        options.noise = true;
    });
    let server = setup.start();
    server.wait_for_klippy("ready");
    (sim, server)
}

fn all_objects(client: &mut WsClient) -> Value {
    let names = client.call("printer.objects.list", Value::Null)["objects"].take();
    let all: Map<String, Value> = names
        .as_array()
        .unwrap()
        .iter()
        .map(|name| (name.as_str().unwrap().to_owned(), Value::Null))
        .collect();
    json!({"objects": all})
}

/// Processor time of all threads of the server so far.
fn processor_time(server: &Perigee) -> Duration {
    let threads = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let used = threads.flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(" ").next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(used.sum())
}

/// How often threads of the server have gone to sleep so far. Unlike time, this is the same on every machine.
fn sleeps(server: &Perigee) -> u64 {
    let threads = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let counts = threads.flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("status")).ok()?;
        text.lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok())
    });
    counts.sum()
}

/// What one look at CPU, memory, network and temperature costs, of which there is one a second.
fn sample() {
    const SAMPLES: u32 = 1000;
    let used = || -> Duration { clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into() };
    let mut sampler = Sampler::new(&Host::default());
    sampler.sample();
    let before = used();
    (0..SAMPLES).for_each(|_| sampler.sample());
    row("a sample of the machine, processor time", ms((used() - before) / SAMPLES), "1 ms");
}

/// The part of one core that the server uses while this runs, in per cent.
fn share(server: &Perigee, run: impl FnOnce()) -> f64 {
    let (begun, before) = (Instant::now(), processor_time(server));
    run();
    let used = processor_time(server).saturating_sub(before);
    used.as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0
}

fn start() {
    let mut times: Vec<Duration> = (0..20)
        .map(|_| {
            let setup = Setup::new();
            setup.write_config();
            let address = setup.address;
            let begun = Instant::now();
            let _server = setup.spawn();
            loop {
                if let Ok(mut stream) = TcpStream::connect(address) {
                    let mut answer = [0; 12];
                    stream.write_all(b"GET /server/info HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
                    stream.read_exact(&mut answer).unwrap();
                    assert_eq!(&answer, b"HTTP/1.1 200");
                    return begun.elapsed();
                }
                std::thread::yield_now();
            }
        })
        .collect();
    row("start: exec to the first answer, median of 20", ms(percentile(&mut times, 0.5)), "50 ms");
}

fn idle() {
    let (_sim, server) = printer(|setup| setup);
    std::thread::sleep(Duration::from_secs(2));
    let before = sleeps(&server);
    let used = share(&server, || std::thread::sleep(WATCH));
    let woken = sleeps(&server).saturating_sub(before) as f64 / WATCH.as_secs_f64();
    row("idle: memory, Klippy ready", mib(server.memory().0), "4.0 MiB (full), 2.5 MiB (minimal)");
    row("idle: processor", format!("{used:.3} %"), "0.1 %");
    row("idle: threads woken", format!("{woken:.1} /s"), "");
}

fn fan_out() {
    const CLIENTS: usize = 50;
    let (sim, server) = printer(|setup| setup.option("max_websocket_connections: 60"));
    let mut clients: Vec<WsClient> = (0..CLIENTS).map(|_| server.websocket()).collect();
    let all = all_objects(&mut clients[0]);
    for client in &mut clients {
        client.call("printer.objects.subscribe", all.clone());
    }
    let streams: Vec<TcpStream> =
        clients.iter_mut().map(|client| client.wire().stream().try_clone().unwrap()).collect();
    for stream in &streams {
        stream.set_nonblocking(true).unwrap();
    }
    // what a printing printer reports in each tick, with the time at which it was sent
    let begun = Instant::now();
    let update = |now: u128| {
        format!(
            "{{\"method\":\"process_status_update\",\"params\":{{\"eventtime\":1.0,\"status\":{{\
             \"extruder\":{{\"temperature\":210.12,\"power\":0.44}},\"heater_bed\":{{\"temperature\":60.07,\"power\":0.2}},\
             \"toolhead\":{{\"position\":[101.125,99.875,12.6,455.12],\"print_time\":905.5,\"estimated_print_time\":905.1}},\
             \"motion_report\":{{\"live_position\":[101.1,99.8,12.6,455.1],\"live_velocity\":120.5,\"live_extruder_velocity\":3.2}},\
             \"gcode_move\":{{\"gcode_position\":[101.1,99.8,12.6,455.1],\"position\":[101.1,99.8,12.6,455.1]}},\
             \"virtual_sdcard\":{{\"progress\":0.4412,\"file_position\":1048576}},\
             \"print_stats\":{{\"total_duration\":905.2,\"print_duration\":880.1,\"filament_used\":1234.5}},\
             \"display_status\":{{\"progress\":0.44,\"message\":\"sent {now} \"}}}}}}}}\x03"
        )
    };
    let mut lags: Vec<u128> = Vec::new();
    let used = share(&server, || {
        for _ in 0..(WATCH.as_millis() / 250) {
            let next = Instant::now() + Duration::from_millis(250);
            sim.send_bytes(update(begun.elapsed().as_nanos()).as_bytes());
            while Instant::now() < next {
                let left = next.saturating_duration_since(Instant::now());
                let mut ready: Vec<PollFd<'_>> =
                    streams.iter().map(|stream| PollFd::new(stream.as_fd(), PollFlags::POLLIN)).collect();
                let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
                if poll(&mut ready, timeout).unwrap() == 0 {
                    break;
                }
                let readable: Vec<i32> = ready
                    .iter()
                    .filter(|fd| fd.any() == Some(true))
                    .map(|fd| fd.as_fd().as_raw_fd())
                    .collect();
                for mut stream in streams.iter().filter(|stream| readable.contains(&stream.as_raw_fd())) {
                    let mut bytes = [0; 16 * 1024];
                    let read = stream.read(&mut bytes).unwrap_or(0);
                    let now = begun.elapsed().as_nanos();
                    let text = String::from_utf8_lossy(&bytes[..read]);
                    let sent =
                        text.split("\"sent ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
                    lags.extend(sent.map(|sent: u128| now.saturating_sub(sent)));
                }
            }
        }
    });
    row("fan-out: memory, 50 clients on all objects", mib(server.memory().0), "7.0 MiB");
    row("fan-out: processor, 50 clients at 4 Hz", format!("{used:.3} %"), "0.4 %");
    let count = lags.len();
    let nanos = |part| Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX));
    row("fan-out: lag, median", ms(nanos(percentile(&mut lags, 0.5))), "1 ms");
    row(&format!("fan-out: lag, 99th percentile of {count}"), ms(nanos(percentile(&mut lags, 0.99))), "5 ms");
}

fn subscribe() {
    let (_sim, server) = printer(|setup| setup.option("max_websocket_connections: 60"));
    let mut clients: Vec<WsClient> = (0..50).map(|_| server.websocket()).collect();
    let all = all_objects(&mut clients[0]);
    let begun = Instant::now();
    for client in &mut clients {
        client.call("printer.objects.subscribe", all.clone());
    }
    row("subscribe: 50 clients to all objects, one after the other", ms(begun.elapsed()), "300 ms");
}

fn query() {
    let (_sim, server) = printer(|setup| setup);
    let mut client = server.websocket();
    let objects = json!({"objects": {"toolhead": null, "extruder": null, "print_stats": null}});
    client.call("printer.objects.subscribe", objects.clone());
    let mut times: Vec<Duration> = (0..2000)
        .map(|_| {
            let begun = Instant::now();
            client.call("printer.objects.query", objects.clone());
            begun.elapsed()
        })
        .collect();
    row("query: subscribed objects, median of 2,000", ms(percentile(&mut times, 0.5)), "1 ms");
    row("query: subscribed objects, 99th percentile", ms(percentile(&mut times, 0.99)), "1 ms");
}

/// Requests over this many connections, one at a time on each, for some seconds; how many a second were answered.
fn load(address: SocketAddr, connections: usize) -> f64 {
    const TIME: Duration = Duration::from_secs(5);
    let request = Request::get("/server/info").head("x").into_bytes();
    let mut streams: Vec<(TcpStream, usize)> =
        (0..connections).map(|_| (TcpStream::connect(address).unwrap(), 0)).collect();
    // the length of an answer, head and all, is found on the first one
    let length = {
        let stream = &mut streams[0].0;
        stream.write_all(&request).unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"}}") {
            let mut chunk = [0; 4096];
            let read = stream.read(&mut chunk).unwrap();
            bytes.extend(&chunk[..read]);
        }
        bytes.len()
    };
    for (stream, _) in &mut streams {
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream.write_all(&request).unwrap();
    }
    let (begun, mut answered, mut bytes) = (Instant::now(), 0u64, [0; 16 * 1024]);
    while begun.elapsed() < TIME {
        for (stream, got) in readable(&mut streams, |(stream, _)| stream) {
            *got += stream.read(&mut bytes).unwrap_or(0);
            if *got >= length {
                *got = 0;
                answered += 1;
                stream.write_all(&request).unwrap();
            }
        }
    }
    answered as f64 / begun.elapsed().as_secs_f64()
}

/// Waits a moment for these to have something to read, and gives those that do.
fn readable<T>(of: &mut [T], stream: impl Fn(&T) -> &TcpStream) -> Vec<&mut T> {
    let mut ready: Vec<PollFd<'_>> =
        of.iter().map(|one| PollFd::new(stream(one).as_fd(), PollFlags::POLLIN)).collect();
    poll(&mut ready, PollTimeout::from(100u8)).unwrap();
    let is_ready: Vec<bool> = ready.iter().map(|fd| fd.any() == Some(true)).collect();
    of.iter_mut().zip(is_ready).filter_map(|(one, is_ready)| is_ready.then_some(one)).collect()
}

/// A server that does nothing but give every request the same answer, in one thread: what this machine can do at most.
/// Prints its address, and ends with its input.
fn bare() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let body = format!("{{\"result\":{{\"text\":\"{}\"}}}}", "x".repeat(500));
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let (mut streams, mut bytes) = (Vec::new(), [0; 8192]);
    loop {
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nodelay(true).unwrap();
            stream.set_nonblocking(true).unwrap();
            streams.push(stream);
        }
        let mut is_gone = false;
        for stream in readable(&mut streams, |stream| stream) {
            match stream.read(&mut bytes) {
                Ok(1..) => stream.write_all(answer.as_bytes()).unwrap_or(()),
                _ => is_gone = true,
            }
        }
        if is_gone {
            streams.retain(|stream| !matches!(stream.peek(&mut [0]), Ok(0)));
        }
    }
}

fn requests() {
    let mut other = std::process::Command::new(std::env::current_exe().unwrap())
        .arg(BARE)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = String::new();
    BufReader::new(other.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let bare: SocketAddr = address.trim().parse().unwrap();
    let server = Perigee::start();
    for connections in [1, 32] {
        let most = load(bare, connections);
        let mut rate = 0.0;
        let used = share(&server, || rate = load(server.address, connections));
        let what =
            format!("requests: server.info, {connections} connections (server: {used:.0} % of a core)");
        row(&what, format!("{rate:.0} /s"), if connections == 32 { "72,000 /s" } else { "" });
        row(
            &format!("requests: beside a server that does nothing ({most:.0} /s)"),
            format!("{:.2}", rate / most),
            "",
        );
    }
    drop(other.stdin.take());
    other.wait().unwrap();
}

/// The content of a large file; the start is that of a sliced one.
fn large() -> Vec<u8> {
    let mut content = sim::sample().to_vec();
    while content.len() < LARGE {
        content.extend(b"G1 X101.125 Y99.875 E0.03125 F1800\nG1 X102.125 Y98.875 E0.03125\n");
    }
    content.truncate(LARGE);
    content
}

fn upload() {
    let server = Perigee::start();
    let content = large();
    let source = server.dir().write("source.bin", &content);
    let copy = || {
        let begun = Instant::now();
        let target = server.data("gcodes/copy.bin");
        fs::copy(&source, &target).unwrap();
        fs::File::open(&target).unwrap().sync_all().unwrap();
        begun.elapsed()
    };
    let send = || {
        let request = Multipart::new().file("large.gcode", &content).upload();
        let mut connection = server.connect();
        let begun = Instant::now();
        connection.send(&request).expect(201);
        begun.elapsed()
    };
    server.upload("gcodes", "warm.gcode", "G28\n").expect(201);
    server.reset_peak_memory();
    let before = server.memory().0;
    // In turn, so that both meet the same disk. Each replaces its file, and the first rounds do not count: a virtual
    // machine pays for memory that it touches for the first time, which would tell more of it than of either.
    let (mut copies, mut uploads): (Vec<_>, Vec<_>) = (0..7).map(|_| (copy(), send())).skip(2).unzip();
    let more = server.memory().1.saturating_sub(before);
    let (copied, sent) = (percentile(&mut copies, 0.5), percentile(&mut uploads, 0.5));
    row("upload: cp and fsync of 200 MB", ms(copied), "");
    row("upload: 200 MB, with metadata", ms(sent), "");
    row(
        "upload: speed beside cp and fsync",
        format!("{:.2}", copied.as_secs_f64() / sent.as_secs_f64()),
        "0.7",
    );
    row("upload: more memory at the peak", mib(more), "2.0 MiB");
}

fn download() {
    let server = Perigee::start();
    fs::write(server.data("gcodes/large.gcode"), large()).unwrap();
    server.get("/server/info").expect(200);
    server.reset_peak_memory();
    let before = server.memory().0;
    let mut stream = TcpStream::connect(server.address).unwrap();
    let begun = Instant::now();
    stream.write_all(Request::get("/server/files/gcodes/large.gcode").head("x").as_bytes()).unwrap();
    let (mut left, mut chunk) = (LARGE, vec![0; 256 * 1024]);
    while left > 0 {
        let read = stream.read(&mut chunk).unwrap();
        assert_ne!(read, 0);
        left = left.saturating_sub(read);
    }
    let time = begun.elapsed();
    row("download: 200 MB", format!("{:.0} MB/s", LARGE as f64 / 1e6 / time.as_secs_f64()), "");
    row("download: more memory at the peak", mib(server.memory().1.saturating_sub(before)), "2.0 MiB");
}

fn with_files(count: usize) -> Perigee {
    let mut setup = Setup::new();
    for n in 0..count {
        setup = setup.file(&format!("gcodes/part {n:04}.gcode"), sim::sample());
    }
    let server = setup.start();
    let begun = Instant::now();
    loop {
        let found = server.get("/server/files/directory?path=gcodes&extended=true").result();
        let files = found["files"].as_array().unwrap();
        if files.iter().filter(|file| file.get("slicer").is_some()).count() == count {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    row(&format!("list: {count} files of 23 kB indexed at the start"), ms(begun.elapsed()), "3 s for 1,000");
    server
}

fn time_of(server: &Perigee, target: &str) -> Duration {
    let mut http = server.connect();
    let mut times: Vec<Duration> = (0..100)
        .map(|_| {
            let begun = Instant::now();
            http.send(&Request::get(target)).expect(200);
            begun.elapsed()
        })
        .collect();
    percentile(&mut times, 0.5)
}

fn list() {
    let server = with_files(1000);
    row("list: files.list of 1,000 files, median of 100", ms(time_of(&server, "/server/files/list")), "5 ms");
    row("list: memory with 1,000 files", mib(server.memory().0), "");
}

fn extended() {
    let server = with_files(500);
    let target = "/server/files/directory?path=gcodes&extended=true";
    row("extended: directory of 500 with metadata, median of 100", ms(time_of(&server, target)), "5 ms");
}

/// A server with so many prints in its history, each with the metadata of a sliced file.
fn with_prints(count: u32) -> Perigee {
    let setup = Setup::new().file("gcodes/part.gcode", sim::sample());
    let (storage, _) = Storage::open(&setup.data().join("database"), &Options::default()).unwrap();
    let metadata = json!({"size": 1_000_000, "slicer": "OrcaSlicer", "slicer_version": "2.1.1", "estimated_time": 7200,
        "layer_height": 0.2, "object_height": 48.2, "filament_total": 12_345.6, "filament_weight_total": 36.9, "filament_type": "PLA",
        "filament_name": "Generic PLA @System", "first_layer_bed_temp": 60.0, "first_layer_extr_temp": 220.0, "nozzle_diameter": 0.4,
        "gcode_start_byte": 50_000, "gcode_end_byte": 990_000, "uuid": "00000000-0000-0000-0000-000000000000",
        "thumbnails": [{"width": 32, "height": 32, "size": 1500, "relative_path": ".thumbs/part-32x32.png"},
            {"width": 300, "height": 300, "size": 25_000, "relative_path": ".thumbs/part-300x300.png"}]});
    for from in (1..=count).step_by(5000) {
        let metadata = metadata.to_string();
        let to = (from + 5000).min(count + 1);
        let write = move |writer: &mut perigee::storage::Writer<'_>| {
            (from..to).try_for_each(|id| {
                let record = JobRecord {
                    user: "anna".into(),
                    filename: "part.gcode".into(),
                    status: "completed".into(),
                    start_time: 1.6e9 + f64::from(id) * 8000.0,
                    end_time: Some(1.6e9 + f64::from(id) * 8000.0 + 7200.0),
                    print_duration: 7100.0,
                    total_duration: 7200.0,
                    filament_used: 12_345.6,
                    metadata: serde_json::value::RawValue::from_string(metadata.clone()).unwrap(),
                    auxiliary_data: serde_json::value::RawValue::from_string("[]".into()).unwrap(),
                };
                put_job(writer, id.into(), &record)
            })?;
            let total = Some(f64::from(to));
            let total =
                Total { provider: "history".into(), field: "total_jobs".into(), maximum: None, total };
            put_total(writer, &total)
        };
        storage.write_blocking(write).unwrap();
    }
    smol::block_on(storage.close());
    setup.start()
}

fn prints() {
    for (count, budget) in [(5_000, "0.5 ms"), (50_000, "2 ms")] {
        let server = with_prints(count);
        let line = |what: &str, target: &str, budget: &str| {
            row(&format!("history: {what} of {count}, median of 100"), ms(time_of(&server, target)), budget);
        };
        line("50", "/server/history/list?limit=50", budget);
        line("50 after all but the oldest 100", &format!("/server/history/list?start={}", count - 100), "");
        line(
            "50 since the middle",
            &format!("/server/history/list?since={}", 1.6e9 + f64::from(count) * 4000.0),
            "",
        );
        line("the totals", "/server/history/totals", "");
        row(&format!("history: memory with {count}"), mib(server.memory().0), "");
    }
}

/// Bytes written so far to the disk that a folder is on, those that the kernel still holds included.
fn written(disk: &FileDisk, folder: &Path) -> u64 {
    nix::unistd::syncfs(fs::File::open(folder).unwrap()).unwrap();
    let counts = fs::read_to_string(format!("/sys/block/{}/stat", disk.name())).unwrap();
    counts.split_ascii_whitespace().nth(6).and_then(|sectors| sectors.parse::<u64>().ok()).unwrap() * 512
}

/// What reaches the disk for each change that was acknowledged, on a file system of its own.
fn writes() {
    const CHANGES: u32 = 500;
    for (clients, text) in [(1, 20), (1, 2000), (20, 20)] {
        let setup = Setup::new();
        let folder = setup.data().join("database");
        let Some(disk) = FileDisk::over(&folder, &setup.dir.join("disk"), 64) else { return };
        let server = setup.start();
        let value = "x".repeat(text);
        // a front-end's settings, as they are after some time
        let change = |http: &mut harness::Http, n: u32| {
            let body = json!({"namespace": "mainsail", "key": format!("k{}.value", n % 200), "value": format!("{n}{value}")});
            http.send(&Request::post("/server/database/item").json(&body)).expect(200);
        };
        let mut http = server.connect();
        (0..200).for_each(|n| change(&mut http, n));
        let (before, begun) = (written(&disk, &folder), Instant::now());
        std::thread::scope(|scope| {
            for client in 0..clients {
                let (change, server) = (&change, &server);
                scope.spawn(move || {
                    let mut http = server.connect();
                    (0..CHANGES / clients).for_each(|n| change(&mut http, client * 1000 + n * 7));
                });
            }
        });
        let time = begun.elapsed();
        let bytes = written(&disk, &folder) - before;
        let what = format!("database: {} B written one by one by {clients} clients", text);
        row(&format!("{what}: on disk"), format!("{} B", bytes / u64::from(CHANGES)), "");
        row(&format!("{what}: changes"), format!("{:.0} /s", f64::from(CHANGES) / time.as_secs_f64()), "");
        drop(server);
    }
}
