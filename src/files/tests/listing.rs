use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use futures_lite::AsyncReadExt;

use super::*;

#[test]
fn lists_are_sorted_and_the_gcodes_root_shows_gcode() {
    let bench = Bench::new();
    for name in ["gcodes/b.gcode", "gcodes/A.GCODE", "gcodes/sub/c.g", "gcodes/.hidden.gcode", "gcodes/x.txt"]
    {
        bench.write(name, "1234");
    }
    bench.write("logs/x.txt", "");
    bench.write("gcodes/.perigee-tmp-1/x.gcode", "");
    bench.run(async {
        let listed = bench.files.list("gcodes").await.unwrap();
        let paths: Vec<_> = listed.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, [".hidden.gcode", "A.GCODE", "b.gcode", "sub/c.g"]);
        assert_eq!((listed[0].size, listed[0].permissions), (4, "rw"));
        assert_eq!(bench.files.list("logs").await.unwrap()[0].permissions, "r");
        assert_eq!(status(bench.files.list("nothing").await), 400);
    });
}

#[test]
fn a_directory_shows_everything_that_can_be_seen() {
    let bench = Bench::new();
    bench.write("gcodes/d/a.gcode", "12");
    bench.write("gcodes/d/.thumbs/a.png", "");
    bench.write("gcodes/d/b.txt", "");
    bench.write("gcodes/d/.perigee-tmp-1", "");
    link("nowhere", bench.path("gcodes/d/broken"));
    nix::unistd::mkfifo(&bench.path("gcodes/d/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let listing = bench.run(bench.files.directory("gcodes/d", false)).unwrap();
    let names = |entries: &[Entry]| {
        let mut names: Vec<_> = entries.iter().map(|entry| entry.name.clone()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&listing.dirs), [".thumbs"]);
    assert_eq!(names(&listing.files), ["a.gcode", "b.txt"]);
    assert!(listing.disk_usage.total > listing.disk_usage.free);
    let json: serde_json::Value = serde_json::from_str(&listing.to_json()).unwrap();
    assert_eq!(json["root_info"], serde_json::json!({"name": "gcodes", "permissions": "rw"}));
    assert_eq!(json["dirs"][0]["dirname"], ".thumbs");
    let a = json["files"].as_array().unwrap().iter().find(|file| file["filename"] == "a.gcode").unwrap();
    assert_eq!(a["size"], 2);
    assert_eq!(status(bench.run(bench.files.directory("gcodes/d/a.gcode", false))), 400);
    assert_eq!(status(bench.run(bench.files.directory("gcodes/e", false))), 400);
}

#[test]
fn names_that_are_not_utf8_can_be_read_renamed_and_deleted() {
    let bench = Bench::new();
    for name in [&b"caf\xe9.gcode"[..], b"dir\xff"] {
        let path = bench.path("gcodes").join(OsStr::from_bytes(name));
        if name.starts_with(b"dir") { fs::create_dir(path).unwrap() } else { fs::write(path, "x").unwrap() }
    }
    bench.run(async {
        let listed = bench.files.list("gcodes").await.unwrap();
        assert_eq!(listed[0].path, "caf\u{fffd}.gcode");
        assert_eq!(bench.files.download("gcodes/caf\u{fffd}.gcode").await.unwrap().length(), 1);
        bench.files.move_item("gcodes/caf\u{fffd}.gcode", "gcodes/dir\u{fffd}/cafe.gcode").await.unwrap();
        assert_eq!(bench.files.list("gcodes").await.unwrap()[0].path, "dir\u{fffd}/cafe.gcode");
        bench.files.delete_directory("gcodes/dir\u{fffd}", true).await.unwrap();
        assert!(bench.files.list("gcodes").await.unwrap().is_empty());
    });
}

#[test]
fn downloads_are_regular_files_only() {
    let bench = Bench::new();
    bench.write("gcodes/a.gcode", "0123456789");
    nix::unistd::mkfifo(&bench.path("gcodes/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    bench.write("elsewhere/klippy.log", "log");
    bench.files.roots().register_file("klippy.log", &bench.path("elsewhere/klippy.log"));
    bench.run(async {
        for path in
            ["gcodes/pipe", "gcodes", "gcodes/b", "gcodes/a.gcode/x", "nowhere/a", "", "../etc/passwd"]
        {
            assert_eq!(status(bench.files.download(path).await), 404, "{path}");
        }
        assert_eq!(bench.files.download("klippy.log").await.unwrap().length(), 3);
        let download = bench.files.download("/gcodes/a.gcode").await.unwrap();
        let headers = download.headers();
        assert!(headers.contains(&("Content-Type", "text/plain".into())));
        assert!(headers.contains(&("X-Content-Type-Options", "nosniff".into())));
        let selection = download.select(&Conditions { range: Some("bytes=2-4"), ..Conditions::default() });
        assert_eq!(
            (selection.status(), selection.content_range(10).unwrap().as_str()),
            (206, "bytes 2-4/10")
        );
        let mut body = download.into_body(selection);
        assert_eq!(body.len(), 3);
        let mut text = String::new();
        body.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "234");
    });
}

#[test]
fn a_body_is_as_long_as_was_said() {
    let bench = Bench::new();
    let content = "0123456789".repeat(CHUNK / 4);
    bench.write("logs/a.log", &content);
    bench.run(async {
        let open = async || bench.files.download("logs/a.log").await.unwrap().into_body(Selection::Whole);
        let (mut whole, mut shrinking) = (open().await, open().await);
        bench.write("logs/a.log", &content[..CHUNK + 5]);
        let mut text = String::new();
        assert!(shrinking.read_to_string(&mut text).await.is_err());
        bench.write("logs/a.log", &"x".repeat(content.len() + 100));
        text.clear();
        assert_eq!(whole.read_to_string(&mut text).await.unwrap(), content.len());
        assert!(whole.is_empty());
    });
}

#[test]
fn names_in_headers_are_encoded() {
    assert_eq!(
        disposition("a \"b\"\\\r\n\u{e9}\u{20ac}.gcode"),
        "attachment; filename=\"a _b______.gcode\"; \
         filename*=UTF-8''a%20%22b%22%5C%0D%0A%C3%A9%E2%82%AC.gcode"
    );
    assert_eq!(content_type("printer.CFG"), "text/plain");
    assert_eq!(content_type("x.unknown"), "application/octet-stream");
}
