//! What the file manager may cost. Run by hand, optimised, on a quiet machine:
//! `CARGO_PROFILE_DEV_OPT_LEVEL=s cargo test --lib budgets -- --ignored --nocapture --test-threads 1`

use std::time::Instant;

use super::*;

fn report(what: &str, times: u32, mut work: impl FnMut()) {
    let mut all: Vec<_> = (0..times)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed()
        })
        .collect();
    all.sort();
    println!("{what}: median {:?}, worst {:?}", all[all.len() / 2], all[all.len() - 1]);
}

/// Peak of resident memory, KiB.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// In the folder for temporary files (`TMPDIR`), which should be on a real disk.
fn on_disk(observer: Observer) -> Bench {
    Bench::on(tempfile::tempdir().unwrap(), 1 << 40, observer)
}

#[test]
#[ignore = "a measurement"]
fn listing() {
    let bench = Bench::new();
    for i in 0..1000 {
        bench.write(&format!("gcodes/dir{}/file number {i}.gcode", i % 20), "G28");
        if i < 500 {
            bench.put(&format!("gcodes/many/f{i}.gcode"), 0.2);
        }
    }
    report("list of 1,500 files", 50, || {
        assert_eq!(bench.run(bench.files.list("gcodes")).unwrap().len(), 1500)
    });
    report("extended directory of 500, as JSON", 50, || {
        let json = bench.run(bench.files.directory("gcodes/many", true)).unwrap().to_json();
        assert_eq!(json.matches("layer_height").count(), 500);
    });
}

#[test]
#[ignore = "a measurement"]
fn uploading() {
    const SIZE: usize = 200 << 20;
    let bench = on_disk(Observer::Inotify);
    let chunk: Vec<u8> = (0..64 << 10).map(|i| (i * 31 % 251) as u8).collect();
    fs::write(bench.path("source"), chunk.repeat(SIZE / chunk.len())).unwrap();
    let copy = || {
        let target = fs::File::create(bench.path("copy")).unwrap();
        let (mut from, mut to) = (fs::File::open(bench.path("source")).unwrap(), &target);
        std::io::copy(&mut from, &mut to).unwrap();
        target.sync_all().unwrap();
    };
    let upload = |checksum: bool| {
        bench.run(async {
            let checksum = checksum.then(|| "0".repeat(64));
            let known = UploadTarget { checksum, ..to("gcodes", "a.bin") };
            let mut upload = bench.files.begin_upload(&known, Some(SIZE as u64)).await.unwrap();
            for _ in 0..SIZE / chunk.len() {
                upload.write(&chunk).await.unwrap();
            }
            drop(bench.files.finish_upload(upload, &to("gcodes", "a.bin")).await.unwrap());
        });
    };
    let write = || {
        let target = fs::File::create(bench.path("copy")).unwrap();
        (0..SIZE / chunk.len()).for_each(|_| std::io::Write::write_all(&mut &target, &chunk).unwrap());
        target.sync_all().unwrap();
    };
    for _ in 0..2 {
        report("write and fsync of 200 MiB", 3, write);
        report("copy and fsync of 200 MiB", 3, copy);
        report("upload of 200 MiB", 3, || upload(false));
        report("upload of 200 MiB with checksum", 3, || upload(true));
    }
    fs::remove_file(bench.path("gcodes/a.bin")).unwrap();
    let before = peak_memory();
    upload(false);
    println!("further memory of an upload: {} KiB", peak_memory() - before);
}

#[test]
#[ignore = "a measurement"]
fn reading_metadata() {
    let bench = on_disk(Observer::Inotify);
    let moves = "G1 X10.5 Y20.25 E0.0333\n".repeat(100 << 20 >> 5);
    bench.write("gcodes/large.gcode", &(super::metadata::sliced(0.2) + &moves));
    bench.told(1);
    drop(moves);
    report("reading the metadata of 100 MB", 10, || {
        drop(crate::gcode::read(&mut fs::File::open(bench.path("gcodes/large.gcode")).unwrap()).unwrap());
    });
    report("metadata of 100 MB, stored", 10, || {
        drop(bench.run(bench.files.metascan("large.gcode")).unwrap())
    });
    bench.told(0);
    let begun = Instant::now();
    for i in 0..1000 {
        bench.write(&format!("gcodes/{i}.gcode"), &super::metadata::sliced(0.2));
    }
    let written = begun.elapsed();
    while bench.files.record("999.gcode").is_none() {
        bench.run(smol::Timer::after(Duration::from_millis(5)));
    }
    println!("1,000 files written in {written:?}, indexed {:?} after the first", begun.elapsed());
    drop(bench);

    let bench = on_disk(Observer::Inotify);
    for i in 0..1000 {
        bench.write(&format!("config/t/{i}.gcode"), &super::metadata::sliced(0.2));
    }
    report("a tree of 1,000 files copied in and indexed", 1, || {
        drop(bench.run(bench.files.copy_item("config/t", "gcodes")).unwrap());
        assert!(bench.files.record("t/999.gcode").is_some());
    });
}
