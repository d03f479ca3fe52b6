//! The rule for symbolic links (see [`crate::files::roots`]) and reserved paths.

use super::*;

#[test]
fn links_out_of_the_roots_are_read_and_not_written() {
    let (bench, usb) = (Bench::new(), tempfile::tempdir().unwrap());
    fs::write(usb.path().join("a.gcode"), "usb").unwrap();
    link(usb.path(), bench.path("gcodes/usb"));
    link(usb.path().join("a.gcode"), bench.path("gcodes/a.gcode"));
    bench.run(async {
        let files = &bench.files;
        let listed = files.list("gcodes").await.unwrap();
        let paths: Vec<_> = listed.iter().map(|file| (file.path.as_str(), file.permissions)).collect();
        assert_eq!(paths, [("a.gcode", "r"), ("usb/a.gcode", "r")]);
        assert_eq!(files.download("gcodes/usb/a.gcode").await.unwrap().length(), 3);
        assert_eq!(status(files.delete_file("gcodes/usb/a.gcode").await), 403);
        assert_eq!(status(files.create_directory("gcodes/usb/x").await), 403);
        assert_eq!(status(files.move_item("gcodes/usb/a.gcode", "gcodes/b.gcode").await), 403);
        assert_eq!(status(bench.upload(&to("gcodes", "usb/b.gcode"), b"x").await), 403);
        assert_eq!(status(bench.upload(&to("gcodes", "usb/new/b.gcode"), b"x").await), 403);
        // Copying out is reading.
        files.copy_item("gcodes/usb/a.gcode", "gcodes/copy.gcode").await.unwrap();
        // Deleting a link leaves what it leads to.
        files.delete_directory("gcodes/usb", true).await.unwrap();
        files.delete_file("gcodes/a.gcode").await.unwrap();
    });
    assert_eq!(fs::read_dir(usb.path()).unwrap().count(), 1);
    assert_eq!(bench.names("gcodes"), ["copy.gcode"]);
}

#[test]
fn an_upload_onto_a_link_replaces_only_what_may_be_written() {
    let (bench, outside) = (Bench::new(), tempfile::tempdir().unwrap());
    let secret = outside.path().join("secret");
    fs::write(&secret, "kept").unwrap();
    link(&secret, bench.path("config/out.cfg"));
    bench.write("gcodes/real.cfg", "old");
    link("../gcodes/real.cfg", bench.path("config/in.cfg"));
    bench.run(async {
        bench.upload(&to("config", "out.cfg"), b"new").await.unwrap();
        bench.upload(&to("config", "in.cfg"), b"new").await.unwrap();
    });
    assert_eq!(fs::read_to_string(&secret).unwrap(), "kept");
    assert_eq!(bench.read("config/out.cfg").unwrap(), "new");
    assert!(!fs::symlink_metadata(bench.path("config/out.cfg")).unwrap().is_symlink());
    assert!(fs::symlink_metadata(bench.path("config/in.cfg")).unwrap().is_symlink());
    assert_eq!(bench.read("gcodes/real.cfg").unwrap(), "new");
}

#[test]
fn a_moved_link_leads_to_the_same_file() {
    let bench = Bench::new();
    bench.write("gcodes/a.gcode", "a");
    bench.write("gcodes/d/x", "");
    link("a.gcode", bench.path("gcodes/l.gcode"));
    let moved = bench.run(bench.files.move_item("gcodes/l.gcode", "gcodes/d")).unwrap();
    assert_eq!(
        (text(&moved.action).as_str(), moved.action.item.permissions),
        ("move_file gcodes/d/l.gcode from gcodes/l.gcode", "r")
    );
    assert_eq!(bench.read("gcodes/d/l.gcode").unwrap(), "a");
    assert_eq!(bench.names("gcodes"), ["a.gcode", "d"]);
    assert_eq!(bench.names("gcodes/d"), ["l.gcode", "x"]);
}

#[test]
fn reserved_paths_are_kept() {
    let bench = Bench::new();
    bench.write("config/secrets", "s");
    bench.write("config/ext/code.py", "c");
    bench.write("config/repo/.git/config", "g");
    bench.write("config/public", "p");
    bench.write("database/db", "d");
    link(bench.path("database"), bench.path("config/database"));
    link(bench.path("config/secrets"), bench.path("config/alias"));
    let roots = bench.files.roots();
    roots.reserve("secrets", &bench.path("config/secrets"), false);
    roots.reserve("ext", &bench.path("config/ext"), true);
    roots.reserve("database", &bench.path("database"), false);
    bench.run(async {
        let files = &bench.files;
        for path in [
            "config/secrets",
            "config/alias",
            "config/database/db",
            "config/repo/.git/config",
            "gcodes/../config/secrets",
        ] {
            assert_eq!(status(files.download(path).await), 403, "{path}");
            assert_eq!(status(files.copy_item(path, "gcodes/x").await), 403, "{path}");
        }
        assert_eq!(status(files.directory("config/database", false).await), 403);
        assert_eq!(status(files.directory("config/repo/.git", false).await), 403);
        assert_eq!(status(files.delete_file("config/secrets").await), 403);
        assert_eq!(status(bench.upload(&to("config", "secrets"), b"").await), 403);
        assert_eq!(files.download("config/ext/code.py").await.unwrap().length(), 1);
        assert_eq!(status(files.delete_file("config/ext/code.py").await), 403);
        assert_eq!(status(files.delete_directory("config/ext", true).await), 403);
        assert_eq!(status(files.move_item("config/ext", "config/e").await), 403);
        // Nor can it be taken away with the directory around it.
        files.create_directory("config/around").await.unwrap();
        roots.reserve("inner", &bench.path("config/around/inner"), true);
        assert_eq!(status(files.delete_directory("config/around", true).await), 403);
        assert_eq!(status(files.move_item("config/around", "config/e").await), 403);

        let listing = files.directory("config", false).await.unwrap();
        let permissions = |name: &str| {
            listing.dirs.iter().chain(&listing.files).find(|entry| entry.name == name).map(|e| e.permissions)
        };
        assert_eq!(permissions("secrets"), Some(""));
        assert_eq!(permissions("alias"), Some(""));
        assert_eq!(permissions("database"), Some(""));
        assert_eq!(permissions("ext"), Some("r"));
        assert_eq!(permissions("public"), Some("rw"));
        let listed = files.list("config").await.unwrap();
        let paths: Vec<_> = listed.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["alias", "ext/code.py", "public", "secrets"]);

        roots.release("ext");
        files.delete_file("config/ext/code.py").await.unwrap();
    });
}

#[test]
fn circles_of_links_end() {
    let bench = Bench::new();
    bench.write("gcodes/a/x.gcode", "");
    bench.write("gcodes/b/y.gcode", "");
    link("../b", bench.path("gcodes/a/to_b"));
    link("../a", bench.path("gcodes/b/to_a"));
    link("loop", bench.path("gcodes/loop"));
    bench.run(async {
        assert_eq!(bench.files.list("gcodes").await.unwrap().len(), 2);
        assert_eq!(status(bench.files.download("gcodes/loop").await), 404);
        bench.files.copy_item("gcodes/a", "gcodes/c").await.unwrap();
    });
    assert_eq!(bench.names("gcodes/c"), ["to_b", "x.gcode"]);
    assert_eq!(bench.names("gcodes/c/to_b"), ["y.gcode"]);
}

#[test]
fn a_root_may_be_a_link_and_must_exist() {
    let bench = Bench::new();
    bench.write("elsewhere/a.gcode", "");
    link("elsewhere", bench.path("linked"));
    bench.write("file", "");
    bench.run(async {
        let files = &bench.files;
        files.add_root("linked", bench.path("linked"), Access::Write);
        files.add_root("none", bench.path("none"), Access::Read);
        files.add_root("none", bench.path("file"), Access::Read);
    });
    assert_eq!(bench.told_text(1), ["root_update linked/."]);
    let roots = bench.files.roots();
    assert_eq!(roots.get("linked").unwrap().path, fs::canonicalize(bench.path("elsewhere")).unwrap());
    assert_eq!(roots.names(), ["config", "logs", "gcodes", "linked"]);
    let warning = roots.register("none", &bench.path("none"), Access::Read).unwrap_err();
    assert!(warning.contains("none"), "{warning}");
    bench.run(async {
        bench.files.delete_file("linked/a.gcode").await.unwrap();
        bench.files.unregister_root("linked").await;
        assert_eq!(status(bench.files.list("linked").await), 400);
    });
    // Registering again lets a root lead elsewhere.
    bench.files.add_root("gcodes", bench.path("elsewhere"), Access::Read);
    let mut told = bench.told_text(2);
    told.sort();
    assert_eq!(told, ["delete_file linked/a.gcode", "root_update gcodes/."]);
    assert_eq!(roots.list()[2].permissions, "r");
}
