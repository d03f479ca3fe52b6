//! Uploads (spec api.md §6.2, behaviour.md §5.4).

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::pattern::assert_matches;
use crate::harness::{Multipart, Perigee, Request, Setup, eventually};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What an upload left in a folder besides the files named.
fn left_over(server: &Perigee, folder: &str, known: &[&str]) -> Vec<String> {
    let names = fs::read_dir(server.data(folder)).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).filter(|name| !known.contains(&&**name)).collect()
}

/// Waits until a folder holds nothing but the files named: temporary files go a moment after the answer.
#[track_caller]
fn expect_only(server: &Perigee, folder: &str, known: &[&str]) {
    eventually(&format!("{folder} to hold {known:?} alone"), || {
        left_over(server, folder, known).is_empty().then_some(())
    });
}

#[test]
fn an_upload_is_answered_with_201_and_bare() {
    let server = Perigee::start();
    let response = server.upload("gcodes", "cube.gcode", "G28\nG1 X1\n").expect(201);
    assert_matches(
        &response.json(),
        &json!({
            "$keys": ["action", "item", "print_started", "print_queued"],
            "$all": [{
                "action": "create_file",
                "item": {
                    "$keys": ["modified", "size", "permissions", "path", "root"],
                    "$all": [{"size": 10, "permissions": "rw", "path": "cube.gcode", "root": "gcodes",
                              "modified": {"$type": "number", "$min": 1_600_000_000}}]
                },
                "print_started": false,
                "print_queued": false
            }]
        }),
    );
    let place = format!("http://{}/server/files/gcodes/cube.gcode", server.address);
    assert_eq!(response.header("Location"), Some(&*place));
    assert_eq!(fs::read_to_string(server.data("gcodes/cube.gcode")).unwrap(), "G28\nG1 X1\n");
    // when the answer is there, so is the metadata
    assert_eq!(server.get("/server/files/metadata?filename=cube.gcode").result()["size"], 10);
}

#[test]
fn what_is_no_gcode_says_nothing_of_printing() {
    let server = Perigee::start();
    for (root, name) in [("gcodes", "notes.txt"), ("config", "printer.cfg"), ("config", "x.gcode")] {
        let answer = server.upload(root, name, "x").expect(201).json();
        assert_matches(
            &answer,
            &json!({"action": "create_file", "item": {"root": root, "path": name},
                    "print_started": {"$absent": true}, "print_queued": {"$absent": true}}),
        );
    }
}

#[test]
fn parts_come_in_any_order() {
    let server = Perigee::start();
    let content = "G28\n; cube\n";
    let checksum = hex(&Sha256::digest(content));
    let parts: [&dyn Fn(Multipart) -> Multipart; 5] = [
        &|form| form.file("cube.gcode", content),
        &|form| form.text("root", "gcodes"),
        &|form| form.text("path", "sub/folder"),
        &|form| form.text("print", "false"),
        &|form| form.text("checksum", &checksum),
    ];
    // every part first once, and the file at every place
    for turn in 0..parts.len() {
        for reversed in [false, true] {
            let mut order: Vec<_> = (0..parts.len()).map(|n| (n + turn) % parts.len()).collect();
            if reversed {
                order.reverse();
            }
            let form = order.iter().fold(Multipart::new(), |form, n| parts[*n](form));
            let answer = server.send(&form.upload()).expect(201).json();
            assert_eq!(answer["item"]["path"], "sub/folder/cube.gcode", "{order:?}");
            fs::remove_dir_all(server.data("gcodes/sub")).unwrap();
        }
    }
}

#[test]
fn the_root_may_come_after_the_file_and_be_on_another_disk() {
    let server = Perigee::start();
    let answer =
        server.send(&Multipart::new().file("a.cfg", "x").text("root", "config").upload()).expect(201);
    assert_eq!(answer.json()["item"]["root"], "config");
    assert!(server.data("config/a.cfg").is_file());
    expect_only(&server, "gcodes", &[]);
}

#[test]
fn fields_that_carry_a_file_name_are_fields_all_the_same() {
    let server = Perigee::start();
    // httpx sends them so
    let form = Multipart::new()
        .part("name=\"root\"; filename=\"root\"", "Content-Type: application/octet-stream\r\n", "config")
        .part("name=\"path\"; filename=\"upload\"", "", "sub")
        .file("a.cfg", "x");
    assert_eq!(server.send(&form.upload()).expect(201).json()["item"]["path"], "sub/a.cfg");
}

#[test]
fn unknown_fields_are_ignored() {
    let server = Perigee::start();
    let form = Multipart::new().text("plateindex", "0").text("select", "true").file("a.gcode", "G28\n");
    server.send(&form.upload()).expect(201);
}

#[test]
fn roots_in_capitals_and_slashes_at_the_front() {
    let server = Perigee::start();
    let form = Multipart::new().text("root", "CONFIG").text("path", "/sub/").file("/a.cfg", "x");
    let answer = server.send(&form.upload()).expect(201).json();
    assert_matches(&answer, &json!({"item": {"root": "config", "path": "sub/a.cfg"}}));
}

#[test]
fn an_empty_path_or_root_is_none() {
    let server = Perigee::start();
    let form = Multipart::new().text("root", "").text("path", "").file("a.gcode", "G28\n");
    assert_matches(
        &server.send(&form.upload()).expect(201).json(),
        &json!({"item": {"root": "gcodes", "path": "a.gcode"}}),
    );
}

#[test]
fn a_file_name_with_folders_makes_them() {
    let server = Perigee::start();
    let answer = server.upload("gcodes", "a/b/c.gcode", "G28\n").expect(201).json();
    assert_eq!(answer["item"]["path"], "a/b/c.gcode");
    assert!(server.data("gcodes/a/b/c.gcode").is_file());
}

#[test]
fn names_in_any_script() {
    let server = Perigee::start();
    for name in
        ["Würfel 測試 😀.gcode", "a b+c%20d&e=f;g.gcode", "semi;colon'quote.gcode", "back`tick$(x).gcode"]
    {
        let answer = server.upload("gcodes", name, "G28\n").expect(201);
        assert_eq!(answer.json()["item"]["path"], name);
        let place = answer.header("Location").unwrap().to_owned();
        assert!(place.is_ascii() && !place.contains(' '), "{place}");
        let target = place.split_once("/server").unwrap().1;
        assert_eq!(server.get(&format!("/server{target}")).expect(200).text(), "G28\n", "{name}");
    }
}

#[test]
fn an_escaped_quote_in_a_name() {
    let server = Perigee::start();
    // browsers write %22, curl writes \"
    let form = Multipart::new().part("name=\"file\"; filename=\"a\\\"b.gcode\"", "", "G28\n");
    assert_eq!(server.send(&form.upload()).expect(201).json()["item"]["path"], "a\"b.gcode");
}

#[test]
fn a_checksum_that_is_right_in_any_case() {
    let server = Perigee::start();
    let sum = hex(&Sha256::digest("G28\n"));
    for sum in [sum.clone(), sum.to_uppercase()] {
        for file_first in [true, false] {
            let form = Multipart::new();
            let form = if file_first {
                form.file("a.gcode", "G28\n").text("checksum", &sum)
            } else {
                form.text("checksum", &sum).file("a.gcode", "G28\n")
            };
            server.send(&form.upload()).expect(201);
        }
    }
}

#[test]
fn a_checksum_that_is_wrong_leaves_the_old_file() {
    let server = Setup::new().file("gcodes/a.gcode", "old").start();
    for sum in [&"0".repeat(64), "", "xyz"] {
        for file_first in [true, false] {
            let form = Multipart::new();
            let form = if file_first {
                form.file("a.gcode", "new").text("checksum", sum)
            } else {
                form.text("checksum", sum).file("a.gcode", "new")
            };
            let response = server.send(&form.upload());
            if sum.is_empty() && response.status == 201 {
                // an empty checksum may count as none
                fs::write(server.data("gcodes/a.gcode"), "old").unwrap();
                continue;
            }
            response.error(422);
            assert_eq!(fs::read_to_string(server.data("gcodes/a.gcode")).unwrap(), "old");
        }
    }
    expect_only(&server, "gcodes", &["a.gcode", ".thumbs"]);
}

#[test]
fn an_upload_over_a_file_replaces_it() {
    let server = Setup::new().file("gcodes/a.gcode", "an old file that is longer").start();
    let answer = server.upload("gcodes", "a.gcode", "G28\n").expect(201).json();
    assert_eq!((&answer["action"], &answer["item"]["size"]), (&json!("create_file"), &json!(4)));
    assert_eq!(fs::read_to_string(server.data("gcodes/a.gcode")).unwrap(), "G28\n");
}

#[test]
fn an_upload_over_a_link_replaces_what_it_leads_to() {
    let server = Setup::new().file("gcodes/sub/real.gcode", "old").start();
    symlink("sub/real.gcode", server.data("gcodes/link.gcode")).unwrap();
    server.upload("gcodes", "link.gcode", "G28\n").expect(201);
    assert!(fs::symlink_metadata(server.data("gcodes/link.gcode")).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(server.data("gcodes/sub/real.gcode")).unwrap(), "G28\n");
}

#[test]
fn uploads_that_cannot_be() {
    let server = Setup::new().file("gcodes/dir/x.gcode", "x").file("config/.git/HEAD", "x").start();
    let file = |name: &str| Multipart::new().file(name, "G28\n");
    let cases: Vec<(&str, Multipart, &[u16])> = vec![
        ("without a file", Multipart::new().text("root", "gcodes"), &[400]),
        ("without anything", Multipart::new(), &[400]),
        ("without a name", Multipart::new().part("name=\"file\"", "", "G28\n"), &[400]),
        ("with an empty name", file(""), &[400]),
        ("into an unknown root", file("a.gcode").text("root", "etc"), &[400]),
        ("into the logs", file("a.log").text("root", "logs"), &[400]),
        ("out of the root by its path", file("a.gcode").text("path", "../../x"), &[400]),
        ("out of the root by its name", file("../../a.gcode"), &[400]),
        ("beside the root", file("../gcodes_old/a.gcode"), &[400]),
        ("to the root itself", file("."), &[400]),
        ("to a folder", file("dir"), &[400]),
        ("into a file", file("a.gcode").text("path", "dir/x.gcode"), &[400]),
        ("into a reserved folder", file("x").text("root", "config").text("path", ".git"), &[403]),
        ("with a NUL in its name", file("a\0b.gcode"), &[400]),
        ("with a NUL in its path", file("a.gcode").text("path", "a\0b"), &[400]),
        ("with a name too long", file(&format!("{}.gcode", "a".repeat(300))), &[400]),
        ("with a path too long", file("a.gcode").text("path", &"deep/".repeat(1000)), &[400]),
        ("with two files", file("a.gcode").file("b.gcode", "x"), &[400]),
        (
            "with a field too long",
            Multipart::new().text("root", &"x".repeat(1 << 20)).file("a.gcode", "x"),
            &[400, 413],
        ),
        (
            "with parts without end",
            (0..2000).fold(Multipart::new(), |form, n| form.text(&n.to_string(), "x")).file("a.gcode", "x"),
            &[400, 413],
        ),
        (
            "with a path that is no text",
            Multipart::new().part("name=\"path\"", "", b"\xff\xfe").file("a.gcode", "x"),
            &[400],
        ),
    ];
    for (what, form, allowed) in cases {
        let response = server.send(&form.upload());
        assert!(allowed.contains(&response.status), "{what}: {} {}", response.status, response.text());
        assert!(response.json()["error"]["message"].is_string(), "{what}");
    }
    expect_only(&server, "gcodes", &["dir"]);
    expect_only(&server, "gcodes/dir", &["x.gcode", ".thumbs"]);
    assert!(!server.data("gcodes_old").exists());
    assert!(!server.data("gcodes/deep").exists(), "what cannot be leaves nothing behind");
    assert_eq!(server.get("/server/files/list").result().as_array().map(Vec::len), Some(1));
}

#[test]
fn bodies_that_are_no_form() {
    let server = Perigee::start();
    let form = Multipart::new().file("a.gcode", "G28\n");
    let kind = Multipart::content_type();
    let cases = [
        Request::post("/server/files/upload"),
        Request::post("/server/files/upload").body("application/json", "{}"),
        Request::post("/server/files/upload").body("multipart/form-data", form.clone().into_body()),
        Request::post("/server/files/upload")
            .body("multipart/form-data; boundary=", form.clone().into_body()),
        Request::post("/server/files/upload")
            .body("multipart/form-data; boundary=other", form.clone().into_body()),
        Request::post("/server/files/upload").body(&kind, form.clone().unfinished()),
        Request::post("/server/files/upload").body(&kind, &b"garbage \x00\xff\r\n\r\n--"[..]),
        Request::post("/server/files/upload").body(&kind, form.clone().into_body()[..60].to_vec()),
    ];
    for request in cases {
        server.send(&request).error(400);
    }
    expect_only(&server, "gcodes", &[]);
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    let server = Setup::new().file("gcodes/a.gcode", "old").start();
    for part in [10, 200, 5_000, 100_000] {
        let body = Multipart::new().file("a.gcode", vec![b'x'; 200_000]).into_body();
        let mut http = server.connect();
        let head = Multipart::head(body.len());
        http.write(head.as_bytes()).unwrap();
        http.write(&body[..part]).unwrap();
        http.stream().flush().unwrap();
        drop(http);
    }
    expect_only(&server, "gcodes", &["a.gcode", ".thumbs"]);
    assert_eq!(fs::read_to_string(server.data("gcodes/a.gcode")).unwrap(), "old");
}

#[test]
fn an_upload_that_a_cut_of_power_ends_leaves_the_old_file() {
    let mut server = Setup::new().file("gcodes/a.gcode", "old").file("config/a.gcode", "old").start();
    for root in ["gcodes", "config"] {
        let known = ["a.gcode", ".thumbs", "moonraker.conf", ".moonraker.conf.bkp"];
        let body = Multipart::new().text("root", root).file("a.gcode", vec![b'x'; 2_000_000]).into_body();
        let mut http = server.connect();
        let head = Multipart::head(body.len());
        http.write(head.as_bytes()).unwrap();
        http.write(&body[..1_500_000]).unwrap();
        eventually("the upload to be under way", || {
            (!left_over(&server, root, &known).is_empty()).then_some(())
        });
        let listed = server.get(&format!("/server/files/list?root={root}")).result().to_string();
        assert!(!listed.contains("tmp"), "half an upload is not listed: {listed}");
        let shown = server.get(&format!("/server/files/directory?path={root}")).result()["files"].to_string();
        assert!(!shown.contains("tmp"), "half an upload is not shown: {shown}");
        server.kill();
        server.start_again();
        expect_only(&server, root, &known);
        assert_eq!(fs::read_to_string(server.data(root).join("a.gcode")).unwrap(), "old");
    }
}

#[test]
fn the_largest_upload_is_configured() {
    let server = Setup::new().option("max_upload_size: 1").start();
    let fits = vec![b'x'; (1 << 20) - 4096];
    server.upload("gcodes", "fits.gcode", &fits).expect(201);
    // said beforehand
    let large = Multipart::new().file("large.gcode", vec![b'x'; 3 << 20]);
    server.send(&large.clone().upload()).error(413);
    // and found out on the way
    let mut http = server.connect();
    large.upload_in_pieces(&mut http, 100_000);
    http.read_response(false).unwrap().error(413);
    assert!(!server.data("gcodes/large.gcode").exists());
    expect_only(&server, "gcodes", &["fits.gcode", ".thumbs"]);
}

#[test]
fn two_uploads_of_one_name_at_once_leave_one_of_them_whole() {
    let server = Perigee::start();
    let contents: Vec<Vec<u8>> = (b'a'..=b'f').map(|letter| vec![letter; 300_000]).collect();
    for _ in 0..5 {
        std::thread::scope(|scope| {
            for content in &contents {
                let server = &server;
                scope.spawn(move || server.upload("gcodes", "same.gcode", content).expect(201));
            }
        });
        let found = fs::read(server.data("gcodes/same.gcode")).unwrap();
        assert!(contents.contains(&found), "one of them, whole: {} bytes", found.len());
    }
    expect_only(&server, "gcodes", &["same.gcode", ".thumbs"]);
}

#[test]
fn a_large_upload_streams_and_takes_little_memory() {
    let server = Perigee::start();
    let content = vec![b'x'; 48 << 20];
    server.reset_peak_memory();
    let before = server.memory().0;
    server.upload("gcodes", "large.gcode", &content).expect(201);
    let grown = server.memory().1.saturating_sub(before);
    assert!(grown < 8 << 20, "memory grew by {grown} bytes for an upload of 48 MB");
    assert!(fs::read(server.data("gcodes/large.gcode")).unwrap() == content);
}

#[test]
fn an_empty_file_is_a_file() {
    let server = Perigee::start();
    assert_eq!(server.upload("gcodes", "empty.gcode", "").expect(201).json()["item"]["size"], 0);
    assert_eq!(server.get("/server/files/metadata?filename=empty.gcode").result()["size"], 0);
}

#[test]
fn content_that_looks_like_the_end_of_a_part() {
    let server = Perigee::start();
    let content = b"--\r\n------perigee\r\n\r\n--------\r\n\0\xff\x03".repeat(1000);
    server.upload("config", "odd.bin", &content).expect(201);
    assert_eq!(fs::read(server.data("config/odd.bin")).unwrap(), content);
}

#[test]
fn without_write_access_there_is_no_upload_of_configuration() {
    let server = Setup::new().sections("[file_manager]\nenable_config_write_access: False").start();
    server.upload("config", "a.cfg", "x").error(400);
    server.upload("gcodes", "a.gcode", "x").expect(201);
}

#[test]
fn the_permissions_of_a_new_file_let_klipper_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let server = Perigee::start();
    server.upload("gcodes", "a.gcode", "x").expect(201);
    let mode = fs::metadata(server.data("gcodes/a.gcode")).unwrap().permissions().mode();
    assert_eq!(mode & 0o044, 0o044, "{mode:o}: group and others may read");
}

/// An Ultimaker package, as Cura uploads one.
pub fn package(gcode: &[u8]) -> Vec<u8> {
    use zip::write::SimpleFileOptions;
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in [("/3D/model.gcode", gcode), ("/Metadata/other.json", b"{}")] {
        archive.start_file(name, SimpleFileOptions::default()).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn a_package_of_cura_becomes_the_gcode_in_it() {
    let server = Perigee::start();
    let gcode = b";FLAVOR:Griffin\nG28\n";
    let answer = server.upload("gcodes", "sub/cube.ufp", package(gcode)).expect(201).json();
    assert_matches(
        &answer,
        &json!({"action": "create_file", "item": {"path": "sub/cube.gcode", "size": gcode.len()}}),
    );
    assert_eq!(fs::read(server.data("gcodes/sub/cube.gcode")).unwrap(), gcode);
    expect_only(&server, "gcodes/sub", &["cube.gcode", ".thumbs"]);
    // elsewhere it is a file like any other
    let answer = server.upload("config", "cube.ufp", package(gcode)).expect(201).json();
    assert_eq!(answer["item"]["path"], "cube.ufp");
}

#[test]
fn a_package_that_is_none_is_refused() {
    let server = Setup::new().file("gcodes/cube.gcode", "old").start();
    for content in [&b"no archive"[..], b"PK\x03\x04", &package(b"G28\n")[..60]] {
        server.upload("gcodes", "cube.ufp", content).error(400);
    }
    expect_only(&server, "gcodes", &["cube.gcode", ".thumbs"]);
    assert_eq!(fs::read_to_string(server.data("gcodes/cube.gcode")).unwrap(), "old");
}

#[test]
fn print_without_klippy_is_not_started() {
    let server = Perigee::start();
    let form = Multipart::new().text("print", "true").file("a.gcode", "G28\n");
    assert_matches(
        &server.send(&form.upload()).expect(201).json(),
        &json!({"print_started": false, "print_queued": false}),
    );
}

#[test]
fn an_answer_comes_even_when_the_body_is_refused_early() {
    let server = Perigee::start();
    let mut http = server.connect();
    let body = Multipart::new().text("root", "nowhere").file("a.gcode", vec![b'x'; 400_000]).into_body();
    let head = Multipart::head(body.len());
    http.write(head.as_bytes()).unwrap();
    http.write(&body).unwrap();
    let answer: Value = http.read_response(false).unwrap().json();
    assert_eq!(answer["error"]["code"], 400);
}
