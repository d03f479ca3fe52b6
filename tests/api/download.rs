//! Downloads: ranges, conditions, names, and what must not get out (spec api.md §1, RFC 9110 §14).

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use crate::harness::{Perigee, Request, Setup};

fn get_with(server: &Perigee, target: &str, headers: &[(&str, &str)]) -> crate::harness::Response {
    let request =
        headers.iter().fold(Request::get(target), |request, (name, value)| request.header(name, value));
    server.send(&request)
}

#[test]
fn a_file_comes_whole_with_all_that_is_to_be_known_of_it() {
    let server = Setup::new().file("gcodes/sub/Würfel \"1\".gcode", "G28\nG1 X1\n").start();
    let response = server.get("/server/files/gcodes/sub/W%C3%BCrfel%20%221%22.gcode").expect(200);
    assert_eq!(response.text(), "G28\nG1 X1\n");
    assert_eq!(response.header("Content-Length"), Some("10"));
    assert_eq!(response.header("Accept-Ranges"), Some("bytes"));
    assert!(response.header("Content-Type").unwrap().starts_with("text/plain"));
    assert!(response.header("Last-Modified").unwrap().ends_with("GMT"));
    assert!(response.header("Etag").is_none());
    let disposition = response.header("Content-Disposition").unwrap();
    assert!(disposition.starts_with("attachment; filename=\""), "{disposition}");
    assert!(disposition.contains("filename*=UTF-8''W%C3%BCrfel%20%221%22.gcode"), "{disposition}");
    assert!(disposition.is_ascii(), "{disposition}");
}

#[test]
fn kinds_of_files() {
    let mut setup = Setup::new();
    for name in ["a.gcode", "a.cfg", "a.log", "a.png", "a.jpg", "a.json", "a.html", "a.unknown", "noext"] {
        setup = setup.file(&format!("config/{name}"), "x");
    }
    let server = setup.start();
    for (name, kind) in [
        ("a.gcode", "text/plain"),
        ("a.cfg", "text/plain"),
        ("a.log", "text/plain"),
        ("a.png", "image/png"),
        ("a.jpg", "image/jpeg"),
        ("a.json", "application/json"),
        ("a.unknown", "application/octet-stream"),
        ("noext", "application/octet-stream"),
    ] {
        let response = server.get(&format!("/server/files/config/{name}")).expect(200);
        let found = response.header("Content-Type").unwrap_or_default();
        assert!(found.starts_with(kind), "{name}: {found}");
    }
}

#[test]
fn ranges() {
    let server = Setup::new().file("gcodes/a.gcode", "0123456789").start();
    let target = "/server/files/gcodes/a.gcode";
    for (range, status, content, content_range) in [
        ("bytes=0-3", 206, "0123", Some("bytes 0-3/10")),
        ("bytes=4-", 206, "456789", Some("bytes 4-9/10")),
        ("bytes=-2", 206, "89", Some("bytes 8-9/10")),
        ("bytes=5-5", 206, "5", Some("bytes 5-5/10")),
        ("bytes=8-99", 206, "89", Some("bytes 8-9/10")),
        ("bytes=-99", 200, "0123456789", None),
        ("bytes=0-9", 200, "0123456789", None),
        ("bytes=0-", 200, "0123456789", None),
        ("bytes=10-", 416, "", Some("bytes */10")),
        ("bytes=99-100", 416, "", Some("bytes */10")),
        ("bytes=-0", 416, "", Some("bytes */10")),
        // what cannot be read is as if it were not there
        ("bytes=3-1", 200, "0123456789", None),
        ("bytes=a-b", 200, "0123456789", None),
        ("lines=0-3", 200, "0123456789", None),
        ("bytes", 200, "0123456789", None),
        ("bytes=99999999999999999999-", 416, "", Some("bytes */10")),
        ("", 200, "0123456789", None),
    ] {
        let response = get_with(&server, target, &[("Range", range)]);
        assert!(
            response.status == status || (status == 416 && response.status == 200 && range.len() > 20),
            "{range}: {}",
            response.status
        );
        if response.status == status {
            assert_eq!(response.header("Content-Range"), content_range, "{range}");
        }
        if response.status / 100 == 2 && response.status == status {
            assert_eq!(response.text(), content, "{range}");
        }
    }
    // several ranges: one answer that holds at least what was asked for
    let several = get_with(&server, target, &[("Range", "bytes=0-1,4-5")]);
    assert!(matches!(several.status, 200 | 206), "{several:?}");
}

#[test]
fn ranges_of_an_empty_file() {
    let server = Setup::new().file("gcodes/empty.gcode", "").start();
    assert!(server.get("/server/files/gcodes/empty.gcode").expect(200).body.is_empty());
    for range in ["bytes=0-0", "bytes=0-", "bytes=-1"] {
        let status = get_with(&server, "/server/files/gcodes/empty.gcode", &[("Range", range)]).status;
        assert!(matches!(status, 200 | 416), "{range}: {status}");
    }
}

#[test]
fn a_file_that_has_not_changed_is_not_sent_again() {
    let server = Setup::new().file("gcodes/a.gcode", "0123456789").start();
    let target = "/server/files/gcodes/a.gcode";
    let modified = server.get(target).header("Last-Modified").unwrap().to_owned();
    let same = get_with(&server, target, &[("If-Modified-Since", &modified)]);
    assert_eq!((same.status, same.body.len()), (304, 0));
    for date in ["Mon, 01 Jan 2001 00:00:00 GMT", "yesterday", ""] {
        assert_eq!(get_with(&server, target, &[("If-Modified-Since", date)]).status, 200, "{date}");
    }
    assert_eq!(get_with(&server, target, &[("If-None-Match", "\"x\"")]).status, 200);
    // a range of a file that has changed meanwhile is the whole file
    let ranged = [("Range", "bytes=0-3"), ("If-Range", &*modified)];
    assert_eq!(get_with(&server, target, &ranged).status, 206);
    let ranged = [("Range", "bytes=0-3"), ("If-Range", "Mon, 01 Jan 2001 00:00:00 GMT")];
    assert_eq!(get_with(&server, target, &ranged).status, 200);
    let later = SystemTime::now() + Duration::from_secs(3600);
    fs::File::options().write(true).open(server.data("gcodes/a.gcode")).unwrap().set_modified(later).unwrap();
    assert_eq!(get_with(&server, target, &[("If-Modified-Since", &modified)]).status, 200);
}

#[test]
fn head_tells_without_sending() {
    let server = Setup::new().file("gcodes/a.gcode", "0123456789").start();
    let mut http = server.connect();
    let head = http.send(&Request::new("HEAD", "/server/files/gcodes/a.gcode"));
    assert_eq!((head.status, head.header("Content-Length")), (200, Some("10")));
    assert_eq!(http.send(&Request::new("HEAD", "/server/files/gcodes/none.gcode")).status, 404);
    // the connection is still in step
    assert_eq!(http.send(&Request::get("/server/files/gcodes/a.gcode")).text(), "0123456789");
    let ranged =
        http.send(&Request::new("HEAD", "/server/files/gcodes/a.gcode").header("Range", "bytes=0-3"));
    assert!(matches!((ranged.status, ranged.header("Content-Length")), (206, Some("4")) | (200, Some("10"))));
}

#[test]
fn what_is_not_there_or_is_no_file() {
    let server = Setup::new().file("gcodes/dir/a.gcode", "x").start();
    for target in [
        "/server/files/gcodes/none.gcode",
        "/server/files/gcodes/dir",
        "/server/files/gcodes/dir/",
        "/server/files/gcodes",
        "/server/files/gcodes/",
        "/server/files/",
        "/server/files/etc/passwd",
        "/server/files/gcodes/dir/a.gcode/more",
        "/server/files/config/.theme/default.json",
    ] {
        server.get(target).error(404);
    }
}

#[test]
fn nothing_gets_out_of_the_roots() {
    let setup = Setup::new()
        .file("gcodes/a.gcode", "x")
        .file("secret.txt", "secret")
        .file("gcodes_old/b.gcode", "old");
    let server = setup.start();
    fs::write(server.dir().join("outside.txt"), "outside").unwrap();
    for path in [
        "../secret.txt",
        "..%2fsecret.txt",
        "%2e%2e/secret.txt",
        "%2e%2e%2fsecret.txt",
        "..%5csecret.txt",
        "..\\secret.txt",
        "x/../../secret.txt",
        "../gcodes_old/b.gcode",
        "..%2fgcodes_old%2fb.gcode",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "..%252fsecret.txt",
        ".%2e/.%2e/outside.txt",
        "....//secret.txt",
        "%00",
        "a.gcode%00.png",
        "%c0%ae%c0%ae/secret.txt",
        "%ff%fe",
        "..;/secret.txt",
    ] {
        let response = server.get(&format!("/server/files/gcodes/{path}"));
        assert!(
            matches!(response.status, 400 | 403 | 404),
            "{path}: {} {}",
            response.status,
            response.text()
        );
        assert!(!response.text().contains("outside") && !response.text().contains("root:"), "{path}");
    }
    let long = "a/".repeat(4000);
    assert!(matches!(server.get(&format!("/server/files/gcodes/{long}")).status, 400 | 404 | 414 | 431));
    let long = "a".repeat(300);
    assert!(matches!(server.get(&format!("/server/files/gcodes/{long}")).status, 400 | 404));
}

#[test]
fn reserved_files_stay_in() {
    let server = Setup::new()
        .file("config/.git/config", "secret")
        .file("config/sub/.git/HEAD", "secret")
        .file("moonraker.secrets", "{}")
        .start();
    for target in [
        "/server/files/config/.git/config",
        "/server/files/config/sub/.git/HEAD",
        "/server/files/config/x/../.git/config",
        "/server/files/config/%2egit/config",
    ] {
        let response = server.get(target);
        assert!(matches!(response.status, 403 | 404), "{target}: {}", response.status);
    }
    // by way of a link as well
    symlink(server.data("moonraker.secrets"), server.data("config/link.txt")).unwrap();
    symlink(server.data("config/.git"), server.data("config/plain")).unwrap();
    server.get("/server/files/config/link.txt").error(403);
    server.get("/server/files/config/plain/config").error(403);
}

#[test]
fn the_logs_have_routes_of_their_own() {
    let server = Perigee::start();
    server.wait_for_log("Listening");
    let log = server.get("/server/files/moonraker.log").expect(200);
    assert!(log.header("Content-Type").unwrap().starts_with("text/plain"));
    assert!(!log.body.is_empty());
    assert_eq!(log.header("Content-Disposition").map(|text| text.contains("moonraker.log")), Some(true));
    let ranged = get_with(&server, "/server/files/moonraker.log", &[("Range", "bytes=0-9")]);
    assert_eq!((ranged.status, ranged.body.len()), (206, 10));
    server.get("/server/files/logs/moonraker.log").expect(200);
}

#[test]
fn a_pipe_or_a_device_is_no_file() {
    let server = Perigee::start();
    let pipe = server.data("gcodes/pipe.gcode");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    symlink("/dev/zero", server.data("gcodes/zero.gcode")).unwrap();
    for name in ["pipe.gcode", "zero.gcode"] {
        let status = server.get(&format!("/server/files/gcodes/{name}")).status;
        assert!(matches!(status, 403 | 404), "{name}: {status}");
    }
    server.get("/server/files/list").expect(200);
}

#[test]
fn a_large_file_streams_and_takes_little_memory() {
    let server = Perigee::start();
    let content: Vec<u8> = (0..48 << 20).map(|n: u32| (n % 251) as u8).collect();
    fs::write(server.data("gcodes/large.gcode"), &content).unwrap();
    server.reset_peak_memory();
    let before = server.memory().0;
    let response = server.get("/server/files/gcodes/large.gcode").expect(200);
    assert!(response.body == content, "the content is the same");
    let grown = server.memory().1.saturating_sub(before);
    assert!(grown < 8 << 20, "memory grew by {grown} bytes for a file of 48 MB");
}

#[test]
fn a_client_that_leaves_amid_a_download_does_no_harm() {
    let server = Perigee::start();
    fs::write(server.data("gcodes/large.gcode"), vec![b'x'; 16 << 20]).unwrap();
    for _ in 0..10 {
        let mut http = server.connect();
        http.write(Request::get("/server/files/gcodes/large.gcode").head("x").as_bytes()).unwrap();
    }
    server.get("/server/info").expect(200);
}
