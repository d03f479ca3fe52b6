//! What other programs do, with the kernel's own events.

use super::*;

fn watched() -> Bench {
    Bench::with(64 << 20, Observer::Inotify)
}

impl Bench {
    /// Waits for exactly these, in any order.
    fn expect(&self, mut wanted: Vec<&str>) {
        let mut told = self.told_text(wanted.len());
        told.sort();
        wanted.sort_unstable();
        assert_eq!(told, wanted);
    }
}

#[test]
fn changes_by_others_are_told() {
    let bench = watched();
    bench.write("gcodes/a.txt", "a");
    bench.expect(vec!["create_file gcodes/a.txt"]);
    bench.write("gcodes/a.txt", "ab");
    let told = bench.told(1);
    assert_eq!((text(&told[0]).as_str(), told[0].item.size), ("modify_file gcodes/a.txt", 2));
    link("a.txt", bench.path("gcodes/l"));
    let told = bench.told(1);
    assert_eq!((text(&told[0]).as_str(), told[0].item.permissions), ("create_file gcodes/l", "r"));
    fs::hard_link(bench.path("gcodes/a.txt"), bench.path("gcodes/h")).unwrap();
    bench.expect(vec!["create_file gcodes/h"]);
    fs::rename(bench.path("gcodes/a.txt"), bench.path("config/b.txt")).unwrap();
    bench.expect(vec!["move_file config/b.txt from gcodes/a.txt"]);
    fs::remove_file(bench.path("config/b.txt")).unwrap();
    fs::remove_file(bench.path("gcodes/l")).unwrap();
    bench.expect(vec!["delete_file config/b.txt", "delete_file gcodes/l"]);
    fs::rename(bench.path("gcodes/h"), bench.path("h")).unwrap();
    bench.expect(vec!["delete_file gcodes/h"]);
    fs::rename(bench.path("h"), bench.path("config/h")).unwrap();
    bench.expect(vec!["create_file config/h"]);
    // Neither read-only roots nor unfinished files nor what cannot be a file are told.
    bench.write("logs/x", "");
    bench.write("gcodes/.perigee-tmp-1", "");
    nix::unistd::mkfifo(&bench.path("gcodes/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    bench.write("gcodes/last", "");
    bench.expect(vec!["create_file gcodes/last"]);
}

#[test]
fn trees_are_told_by_their_top_and_watched_all_through() {
    let bench = watched();
    bench.write("gcodes/d/e/f/x.txt", "x");
    bench.expect(vec!["create_dir gcodes/d"]);
    bench.write("gcodes/d/e/f/y.txt", "y");
    bench.expect(vec!["create_file gcodes/d/e/f/y.txt"]);
    fs::rename(bench.path("gcodes/d/e"), bench.path("config/moved")).unwrap();
    bench.expect(vec!["move_dir config/moved from gcodes/d/e"]);
    bench.write("config/moved/f/y.txt", "new");
    bench.expect(vec!["modify_file config/moved/f/y.txt"]);
    fs::rename(bench.path("config/moved"), bench.path("outside")).unwrap();
    bench.expect(vec!["delete_dir config/moved"]);
    bench.write("outside/f/z.txt", "");
    fs::rename(bench.path("outside"), bench.path("gcodes/back")).unwrap();
    bench.expect(vec!["create_dir gcodes/back"]);
    bench.write("gcodes/back/f/z.txt", "z");
    bench.expect(vec!["modify_file gcodes/back/f/z.txt"]);
    fs::remove_dir_all(bench.path("gcodes/back")).unwrap();
    bench.expect(vec!["delete_dir gcodes/back"]);
}

#[test]
fn linked_directories_are_watched() {
    let (bench, usb) = (watched(), tempfile::tempdir().unwrap());
    link(usb.path(), bench.path("gcodes/usb"));
    bench.expect(vec!["create_dir gcodes/usb"]);
    fs::write(usb.path().join("a.txt"), "").unwrap();
    bench.expect(vec!["create_file gcodes/usb/a.txt"]);
    fs::remove_file(bench.path("gcodes/usb")).unwrap();
    bench.expect(vec!["delete_dir gcodes/usb"]);
}

#[test]
fn reserved_paths_are_not_watched() {
    let bench = watched();
    bench.files.roots().reserve("secrets", &bench.path("config/secrets"), false);
    bench.write("config/secrets", "s");
    bench.write("config/.git/x", "s");
    bench.write("config/shown", "s");
    bench.expect(vec!["create_file config/shown"]);
}

#[test]
fn what_requests_change_is_told_once() {
    let bench = watched();
    bench.write("outside/a", "");
    bench.run(async {
        let files = &bench.files;
        files.create_directory("gcodes/d").await.unwrap();
        bench.upload(&to("gcodes", "d/sub/a.txt"), b"x").await.unwrap();
        bench.upload(&to("gcodes", "d/sub/a.txt"), b"y").await.unwrap();
        files.copy_item("gcodes/d", "config").await.unwrap();
        files.move_item("gcodes/d", "gcodes/e").await.unwrap();
        files.move_item("gcodes/e/sub/a.txt", "config/b.txt").await.unwrap();
        files.copy_item("config/b.txt", "gcodes/b.txt").await.unwrap();
        drop(files.zip(&["config/b.txt".to_owned()], Some("config/z.zip"), true).await.unwrap());
        files.delete_file("config/b.txt").await.unwrap();
        files.delete_directory("config/d", true).await.unwrap();
    });
    // Whatever the watcher would tell of those, it would have told before this.
    bench.write("gcodes/sentinel", "");
    bench.expect(vec![
        "create_dir gcodes/d",
        "create_dir gcodes/d/sub",
        "create_file gcodes/d/sub/a.txt",
        "create_file gcodes/d/sub/a.txt",
        "create_dir config/d",
        "move_dir gcodes/e from gcodes/d",
        "move_file config/b.txt from gcodes/e/sub/a.txt",
        "create_file gcodes/b.txt",
        "create_file config/z.zip",
        "delete_file config/b.txt",
        "delete_dir config/d",
        "create_file gcodes/sentinel",
    ]);
    // Directories that requests made and moved are watched under their present names.
    bench.write("gcodes/e/sub/new", "");
    bench.expect(vec!["create_file gcodes/e/sub/new"]);
    fs::rename(bench.path("gcodes/sentinel"), bench.path("outside/sentinel")).unwrap();
    bench.expect(vec!["delete_file gcodes/sentinel"]);
}

#[test]
fn a_root_that_is_looked_at_again_is_told() {
    let bench = watched();
    bench.run(bench.files.rescan("gcodes")).unwrap();
    bench.expect(vec!["root_update gcodes/."]);
    assert_eq!(status(bench.run(bench.files.rescan("nothing"))), 400);
    bench.run(bench.files.unregister_root("config"));
    bench.write("config/a", "");
    bench.files.add_root("other", bench.path("gcodes"), Access::Write);
    bench.expect(vec!["root_update other/."]);
    assert!(bench.files.0.setup.warnings.texts()[0].contains("overlaps"));
    bench.write("gcodes/a", "");
    bench.expect(vec!["create_file gcodes/a"]);
}

#[test]
fn unfinished_files_are_swept_at_the_start() {
    for observer in [Observer::Inotify, Observer::None] {
        let bench = Bench::with(1, observer);
        bench.write("gcodes/sub/.perigee-tmp-1", "left by a killed server");
        bench.write("gcodes/.thumbs/.perigee-tmp-2", "left by a killed server");
        bench.run(bench.files.rescan("gcodes")).unwrap();
        assert!(bench.names("gcodes/sub").is_empty() && bench.names("gcodes/.thumbs").is_empty());
    }
}
