use super::*;

#[test]
fn directories_are_made_and_removed() {
    let bench = Bench::new();
    bench.run(async {
        let made = bench.files.create_directory("gcodes/a").await.unwrap();
        assert_eq!(text(&made.action), "create_dir gcodes/a");
        assert_eq!(made.action.item.permissions, "rw");
        assert!(made.action.item.modified > 1e9);
        drop(made);
        for (path, expected) in [
            ("gcodes/a", 400),
            ("gcodes/b/c", 400),
            ("gcodes", 400),
            ("nowhere/a", 400),
            ("logs/a", 405),
            ("gcodes/.git", 403),
            ("gcodes/x\ny", 400),
        ] {
            assert_eq!(status(bench.files.create_directory(path).await), expected, "{path}");
        }
        let long = format!("gcodes/{}", "x".repeat(300));
        assert_eq!(status(bench.files.create_directory(&long).await), 400);

        bench.write("gcodes/a/b/file.gcode", "G28");
        for (path, force, expected) in [
            ("gcodes/a", false, 400),
            ("gcodes", true, 400),
            ("gcodes/missing", true, 400),
            ("gcodes/a/b/file.gcode", true, 400),
            ("logs/a", true, 405),
        ] {
            assert_eq!(status(bench.files.delete_directory(path, force).await), expected, "{path}");
        }
        let gone = bench.files.delete_directory("gcodes/a", true).await.unwrap();
        assert_eq!(text(&gone.action), "delete_dir gcodes/a");
        assert_eq!((gone.action.item.size, gone.action.item.permissions), (0, ""));
    });
    assert_eq!(bench.told_text(2), ["create_dir gcodes/a", "delete_dir gcodes/a"]);
    assert!(bench.names("gcodes").is_empty());
}

#[test]
fn a_notice_waits_until_it_is_let_go() {
    let bench = Bench::new();
    let change = bench.run(bench.files.create_directory("gcodes/a")).unwrap();
    bench.run(smol::Timer::after(NOTICE_DELAY * 4));
    assert!(lock(&bench.told).is_empty());
    drop(change);
    assert_eq!(bench.told_text(1), ["create_dir gcodes/a"]);
}

#[test]
fn files_are_deleted() {
    let bench = Bench::new();
    bench.write("gcodes/a.gcode", "");
    bench.write("logs/klippy.log", "");
    bench.run(async {
        assert_eq!(status(bench.files.delete_file("gcodes/b.gcode").await), 400);
        assert_eq!(status(bench.files.delete_file("gcodes").await), 400);
        assert_eq!(status(bench.files.delete_file("logs/klippy.log").await), 405);
        bench.files.create_directory("gcodes/d").await.unwrap();
        assert_eq!(status(bench.files.delete_file("gcodes/d").await), 400);
        let gone = bench.files.delete_file("gcodes/a.gcode").await.unwrap();
        assert_eq!(text(&gone.action), "delete_file gcodes/a.gcode");
    });
    assert_eq!(bench.names("gcodes"), ["d"]);
}

#[test]
fn items_are_moved() {
    let bench = Bench::new();
    bench.write("gcodes/a.gcode", "a");
    bench.write("gcodes/sub/b.gcode", "b");
    bench.write("logs/l", "");
    bench.run(async {
        let files = &bench.files;
        let moved = files.move_item("gcodes/a.gcode", "config/x.cfg").await.unwrap();
        assert_eq!(text(&moved.action), "move_file config/x.cfg from gcodes/a.gcode");
        // An existing directory is moved into.
        let moved = files.move_item("config/x.cfg", "gcodes/sub").await.unwrap();
        assert_eq!(text(&moved.action), "move_file gcodes/sub/x.cfg from config/x.cfg");
        let moved = files.move_item("gcodes/sub", "gcodes/other").await.unwrap();
        assert_eq!(text(&moved.action), "move_dir gcodes/other from gcodes/sub");
        // An existing file is replaced.
        files.move_item("gcodes/other/x.cfg", "gcodes/other/b.gcode").await.unwrap();
        for (source, dest, expected) in [
            ("gcodes/missing", "gcodes/y", 400),
            ("gcodes/other", "gcodes/other/inside", 400),
            ("gcodes/other", "gcodes/other", 400),
            ("gcodes/other", "gcodes/missing/y", 400),
            ("gcodes", "config/gcodes", 400),
            ("gcodes/other", "logs/other", 400),
            ("logs/l", "gcodes/l", 400),
        ] {
            assert_eq!(status(files.move_item(source, dest).await), expected, "{source} to {dest}");
        }
    });
    assert_eq!(bench.read("gcodes/other/b.gcode").unwrap(), "a");
    assert_eq!(bench.names("gcodes"), ["other"]);
    assert_eq!(bench.names("gcodes/other"), ["b.gcode"]);
    assert_eq!(bench.told(4).len(), 4);
}

#[test]
fn a_move_crosses_file_systems() {
    let (bench, Ok(shm)) = (Bench::new(), tempfile::tempdir_in("/dev/shm")) else { return };
    bench.files.roots().register("shm", shm.path(), Access::Write).unwrap();
    bench.write("gcodes/d/a", "a");
    bench.run(async {
        bench.files.move_item("gcodes/d", "shm/d").await.unwrap();
        bench.files.move_item("shm/d/a", "gcodes/a").await.unwrap();
    });
    assert_eq!(bench.read("gcodes/a").unwrap(), "a");
    assert_eq!(bench.names("gcodes"), ["a"]);
    assert_eq!(fs::read_dir(shm.path().join("d")).unwrap().count(), 0);
}

#[test]
fn items_are_copied_with_time_and_mode() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let bench = Bench::new();
    bench.write("logs/a", "a");
    let old = fs::File::open(bench.path("logs/a")).unwrap();
    old.set_modified(SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789)).unwrap();
    old.set_permissions(fs::Permissions::from_mode(0o640)).unwrap();
    bench.write("gcodes/d/e/b", "b");
    bench.write("gcodes/d/.git/config", "secret");
    bench.run(async {
        let files = &bench.files;
        // A read-only root can be copied from.
        let copy = files.copy_item("logs/a", "gcodes/a").await.unwrap();
        assert_eq!(text(&copy.action), "create_file gcodes/a");
        let again = files.copy_item("logs/a", "gcodes/a").await.unwrap();
        assert_eq!(text(&again.action), "modify_file gcodes/a");
        let tree = files.copy_item("gcodes/d", "config").await.unwrap();
        assert_eq!(text(&tree.action), "create_dir config/d");
        for (source, dest, expected) in [
            ("gcodes/d", "gcodes/d/e/f", 400),
            ("gcodes/d", "config", 400),
            ("gcodes/d", "gcodes/a", 400),
            ("gcodes/missing", "gcodes/y", 400),
            ("gcodes/a", "gcodes/a", 400),
            ("gcodes/a", "logs/b", 400),
            ("gcodes", "config/x", 400),
        ] {
            assert_eq!(status(files.copy_item(source, dest).await), expected, "{source} to {dest}");
        }
    });
    let copy = fs::metadata(bench.path("gcodes/a")).unwrap();
    assert_eq!((copy.mtime(), copy.mtime_nsec(), copy.mode() & 0o777), (1_000_000_000, 123_456_789, 0o640));
    assert_eq!(bench.read("config/d/e/b").unwrap(), "b");
    // What may not be read is not copied to where it may.
    assert_eq!(bench.names("config/d"), ["e"]);
    assert_eq!(bench.told(3).len(), 3);
}

#[test]
fn the_printed_file_is_left_alone() {
    let bench = Bench::new();
    bench.write("gcodes/d/p.gcode", "G28");
    bench.write("gcodes/other.gcode", "G28");
    bench.write("gcodes/d2/x", "");
    link(bench.path("gcodes/d"), bench.path("gcodes/alias"));
    *lock(&bench.loaded) = Some(LoadedFile { path: "d/p.gcode".into(), active: true });
    bench.run(async {
        let files = &bench.files;
        assert_eq!(status(files.delete_file("gcodes/d/p.gcode").await), 403);
        assert_eq!(status(files.delete_file("gcodes/alias/p.gcode").await), 403);
        assert_eq!(status(files.delete_directory("gcodes/d", true).await), 403);
        assert_eq!(status(files.move_item("gcodes/d", "gcodes/e").await), 403);
        assert_eq!(status(files.move_item("gcodes/other.gcode", "gcodes/d/p.gcode").await), 403);
        assert_eq!(status(files.copy_item("gcodes/other.gcode", "gcodes/d/p.gcode").await), 403);
        assert_eq!(status(bench.upload(&to("gcodes", "d/p.gcode"), b"x").await), 403);
        // Names that only begin alike are not in use, and copying from is fine.
        files.delete_directory("gcodes/d2", true).await.unwrap();
        files.copy_item("gcodes/d/p.gcode", "gcodes/copy.gcode").await.unwrap();
        lock(&bench.loaded).as_mut().unwrap().active = false;
        files.delete_file("gcodes/d/p.gcode").await.unwrap();
    });
}

#[test]
fn archives_hold_what_was_asked_for() {
    let bench = Bench::new();
    bench.write("config/printer.cfg", "[printer]");
    bench.write("config/sub/deep.cfg", "deep");
    bench.write("config/.git/secret", "secret");
    bench.write("config/old.zip", "an older archive");
    bench.write("logs/klippy.log", &"log ".repeat(50_000));
    let items = ["config", "config/printer.cfg", "logs/klippy.log"].map(str::to_owned);
    let (zipped, notice) = bench.run(bench.files.zip(&items, Some("config/old.zip"), false)).unwrap();
    drop(notice);
    assert_eq!(zipped.action, "zip_files");
    assert_eq!((zipped.destination.root.as_str(), zipped.destination.path.as_str()), ("config", "old.zip"));
    assert_eq!(bench.told_text(1), ["create_file config/old.zip"]);
    let file = fs::File::open(bench.path("config/old.zip")).unwrap();
    assert!(zipped.destination.size == file.metadata().unwrap().len() && zipped.destination.size < 100_000);
    let archive = ::zip::ZipArchive::new(file).unwrap();
    let mut names: Vec<_> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
    names.sort();
    assert_eq!(names, ["config/printer.cfg", "logs/klippy.log"]);

    let (stored, _notice) = bench.run(bench.files.zip(&items, None, true)).unwrap();
    assert!(stored.destination.path.starts_with("collection-") && stored.destination.size > 200_000);
    for (items, dest, expected) in [
        (vec!["config/missing"], "config/a.zip", 400),
        (vec![], "config/a.zip", 400),
        (vec!["config/.git/secret"], "config/a.zip", 403),
        (vec!["config/printer.cfg"], "logs/a.zip", 400),
        (vec!["config/printer.cfg"], "config/sub", 400),
        (vec!["config/printer.cfg"], "config/missing/a.zip", 400),
    ] {
        let items: Vec<_> = items.into_iter().map(str::to_owned).collect();
        assert_eq!(
            status(bench.run(bench.files.zip(&items, Some(dest), false))),
            expected,
            "{items:?} to {dest}"
        );
    }
    assert!(bench.names("config").iter().all(|name| !name.contains("perigee")));
}

#[test]
fn writes_can_be_switched_off() {
    let bench = Bench::new();
    bench.write("gcodes/a", "");
    bench.files.roots().allow_writes(false);
    bench.run(async {
        assert_eq!(status(bench.files.delete_file("gcodes/a").await), 400);
        assert_eq!(status(bench.upload(&to("gcodes", "b"), b"").await), 400);
    });
    assert!(bench.files.roots().list().iter().all(|root| root.permissions == "r"));
    bench.files.roots().allow_writes(true);
    bench.run(bench.files.delete_file("gcodes/a")).unwrap();
}
