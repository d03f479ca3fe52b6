//! What cannot be said of the file manager as data: archives, links, metadata over time (spec behaviour.md §5).

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::harness::pattern::assert_matches;
use crate::harness::{Perigee, Setup, TempDir, eventually};

/// Names in an archive with their methods, read from its central directory.
fn archive_names(bytes: &[u8]) -> Vec<(String, u16)> {
    let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let end =
        (0..bytes.len() - 21).rev().find(|at| &bytes[*at..at + 4] == b"PK\x05\x06").expect("an end record");
    let mut at = u32_at(end + 16);
    let mut names = Vec::new();
    for _ in 0..u16_at(end + 10) {
        assert_eq!(&bytes[at..at + 4], b"PK\x01\x02");
        let (name, extra, comment) = (u16_at(at + 28), u16_at(at + 30), u16_at(at + 32));
        let text = String::from_utf8(bytes[at + 46..at + 46 + name as usize].to_vec()).unwrap();
        names.push((text, u16_at(at + 10)));
        at += 46 + (name + extra + comment) as usize;
    }
    names.sort();
    names
}

#[test]
fn an_archive_holds_what_was_asked_for_one_level_deep() {
    let server = Setup::new()
        .file("gcodes/a.gcode", "A".repeat(1000))
        .file("config/d/x.cfg", "X")
        .file("config/d/deep/y.cfg", "Y")
        .file("config/d/.git/z", "Z")
        .start();
    server
        .post("/server/files/zip", json!({"items": ["gcodes/a.gcode", "config/d"], "dest": "config/all.zip"}))
        .expect(200);
    let names = archive_names(&fs::read(server.data("config/all.zip")).unwrap());
    assert_eq!(names, [("config/d/x.cfg".to_owned(), 8), ("gcodes/a.gcode".to_owned(), 8)]);
    server
        .post(
            "/server/files/zip",
            json!({"items": "gcodes/a.gcode", "dest": "config/s.zip", "store_only": "true"}),
        )
        .expect(200);
    assert_eq!(
        archive_names(&fs::read(server.data("config/s.zip")).unwrap()),
        [("gcodes/a.gcode".to_owned(), 0)]
    );
}

#[test]
fn an_archive_can_be_opened_by_others() {
    let Ok(python) = std::process::Command::new("python3").arg("--version").output() else {
        return println!("skipped: no python3");
    };
    assert!(python.status.success());
    let server = Setup::new().file("gcodes/Würfel.gcode", "G1 X1\n".repeat(10_000)).start();
    server
        .post("/server/files/zip", json!({"items": ["gcodes/Würfel.gcode"], "dest": "config/a.zip"}))
        .expect(200);
    let script = "import sys,zipfile; z=zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; \
                  sys.stdout.write(z.read('gcodes/Würfel.gcode').decode())";
    let output = std::process::Command::new("python3")
        .args(["-X", "utf8", "-c", script])
        .arg(server.data("config/a.zip"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, "G1 X1\n".repeat(10_000).as_bytes());
}

#[test]
fn a_link_out_of_a_root_to_a_reserved_place_is_closed() {
    let server = Setup::new().file("certs/moonraker.key", "secret").file("config/a.cfg", "x").start();
    symlink(server.data("certs"), server.data("config/door")).unwrap();
    for (method, params) in [
        ("server.files.get_directory", json!({"path": "config/door"})),
        ("server.files.copy", json!({"source": "config/door/moonraker.key", "dest": "config/stolen"})),
        ("server.files.move", json!({"source": "config/door/moonraker.key", "dest": "config/stolen"})),
        ("server.files.copy", json!({"source": "config/a.cfg", "dest": "config/door/new.key"})),
        ("server.files.delete_file", json!({"path": "config/door/moonraker.key"})),
        ("server.files.post_directory", json!({"path": "config/door/new"})),
        ("server.files.zip", json!({"items": ["config/door/moonraker.key"], "dest": "config/z.zip"})),
    ] {
        let error = server.websocket().fail(method, params.clone());
        assert_eq!(error.code, 403, "{method} {params}: {error:?}");
    }
    assert_eq!(server.upload("config", "door/new.key", "x").status, 403);
    assert_eq!(server.get("/server/files/config/door/moonraker.key").status, 403);
    assert_eq!(fs::read_to_string(server.data("certs/moonraker.key")).unwrap(), "secret");
    assert!(!server.data("config/stolen").exists() && !server.data("certs/new.key").exists());
    // a whole folder is copied and packed without it
    server.post("/server/files/zip", json!({"items": ["config"], "dest": "gcodes/z.zip"}));
    if let Ok(mut file) = fs::File::open(server.data("gcodes/z.zip")) {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        assert!(archive_names(&bytes).iter().all(|(name, _)| !name.contains("moonraker.key")));
    }
}

#[test]
fn a_folder_that_is_a_link_to_a_stick_is_used_like_any_other() {
    let stick = TempDir::new();
    stick.write("on-stick.gcode", "G28\n");
    let server = Perigee::start();
    symlink(stick.path(), server.data("gcodes/usb")).unwrap();
    assert_matches(&server.get("/server/files/list").result(), &json!([{"path": "usb/on-stick.gcode"}]));
    assert_eq!(server.get("/server/files/gcodes/usb/on-stick.gcode").expect(200).text(), "G28\n");
    let scanned = server.post("/server/files/metascan", json!({"filename": "usb/on-stick.gcode"})).result();
    assert_eq!(scanned["size"], 4);
}

#[test]
fn a_root_may_be_a_link() {
    let elsewhere = TempDir::new();
    elsewhere.write("a.gcode", "G28\n");
    let setup = Setup::new();
    fs::create_dir_all(setup.data()).unwrap();
    symlink(elsewhere.path(), setup.data().join("gcodes")).unwrap();
    let server = setup.start();
    assert_matches(
        &server.get("/server/files/list").result(),
        &json!([{"path": "a.gcode", "permissions": "rw"}]),
    );
    server.upload("gcodes", "b.gcode", "G28\n").expect(201);
    assert!(elsewhere.join("b.gcode").is_file());
    let roots = server.get("/server/files/roots").result();
    let gcodes = roots.as_array().unwrap().iter().find(|root| root["name"] == "gcodes").unwrap();
    assert_eq!(gcodes["path"], elsewhere.path().to_str().unwrap());
}

fn sliced(height: f64) -> String {
    format!(
        "; generated by PrusaSlicer 2.6.0+linux on 2023-01-01 at 00:00:00 UTC\nG28\nG1 X1\n\
         ; total filament used [g] = 5.00\n; estimated printing time (normal mode) = 10m 5s\n; layer_height = {height}\n"
    )
}

fn layer_height(server: &Perigee, name: &str) -> Value {
    let response = server.get(&format!("/server/files/metadata?filename={name}"));
    if response.status == 200 { response.result()["layer_height"].clone() } else { Value::Null }
}

#[test]
fn metadata_follows_its_file() {
    let server = Setup::new().file("gcodes/at-start.gcode", sliced(0.1)).start();
    eventually("the scan at the start", || (layer_height(&server, "at-start.gcode") == 0.1).then_some(()));

    server.upload("gcodes", "sub/a.gcode", sliced(0.2)).expect(201);
    assert_eq!(layer_height(&server, "sub/a.gcode"), 0.2);
    let uuid = server.get("/server/files/metadata?filename=sub/a.gcode").result()["uuid"].clone();

    server
        .post("/server/files/move", json!({"source": "gcodes/sub/a.gcode", "dest": "gcodes/b.gcode"}))
        .expect(200);
    let moved = server.get("/server/files/metadata?filename=b.gcode").result();
    assert_eq!((&moved["layer_height"], &moved["filename"]), (&json!(0.2), &json!("b.gcode")));
    assert_eq!(moved["uuid"], uuid, "the record moves, it is not made anew");
    assert_eq!(layer_height(&server, "sub/a.gcode"), Value::Null);

    server
        .post("/server/files/copy", json!({"source": "gcodes/b.gcode", "dest": "gcodes/c.gcode"}))
        .expect(200);
    assert_eq!(layer_height(&server, "c.gcode"), 0.2);

    server.post("/server/files/move", json!({"source": "gcodes/sub", "dest": "gcodes/renamed"})).expect(200);
    server.upload("gcodes", "renamed/d.gcode", sliced(0.3)).expect(201);
    server
        .post("/server/files/move", json!({"source": "gcodes/renamed", "dest": "gcodes/again"}))
        .expect(200);
    assert_eq!(layer_height(&server, "again/d.gcode"), 0.3);

    server.delete("/server/files/gcodes/b.gcode").expect(200);
    assert_eq!(server.get("/server/files/metadata?filename=b.gcode").status, 404);

    // changed from outside
    fs::write(server.data("gcodes/c.gcode"), sliced(0.35)).unwrap();
    eventually("the change to be seen", || (layer_height(&server, "c.gcode") == 0.35).then_some(()));
    fs::remove_file(server.data("gcodes/c.gcode")).unwrap();
    eventually("the removal to be seen", || (layer_height(&server, "c.gcode").is_null()).then_some(()));
}

#[test]
fn a_scan_on_demand_makes_a_new_record() {
    let server = Perigee::start();
    server.upload("gcodes", "a.gcode", sliced(0.2)).expect(201);
    let first = server.get("/server/files/metadata?filename=a.gcode").result();
    let second = server.post("/server/files/metascan", json!({"filename": "a.gcode"})).result();
    assert_ne!(first["uuid"], second["uuid"]);
    assert_eq!(first["layer_height"], second["layer_height"]);
}

/// A PNG of 2×2 grey pixels as a slicer embeds it.
fn thumbnail() -> (String, usize) {
    use base64::Engine;
    const PNG: &[u8] = b"\
        \x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x00\x02\x00\x00\
        \x00\x02\x08\x00\x00\x00\x00\x57\xdd\x52\xf8\x00\x00\x00\x11\x49\x44\x41\x54\x78\x01\x01\
        \x06\x00\xf9\xff\x00\x80\x80\x00\x80\x80\x06\x06\x02\x01\x21\xb1\x49\x7b\x00\x00\x00\x00\
        \x49\x45\x4e\x44\xae\x42\x60\x82";
    let text = base64::engine::general_purpose::STANDARD.encode(PNG);
    let mut block = format!("; thumbnail begin 2x2 {}\n", text.len());
    for line in text.as_bytes().chunks(78) {
        block += &format!("; {}\n", std::str::from_utf8(line).unwrap());
    }
    (block + "; thumbnail end\n", PNG.len())
}

#[test]
fn thumbnails_are_taken_out_and_go_with_their_file() {
    let server = Perigee::start();
    let (block, size) = thumbnail();
    server.upload("gcodes", "sub/cube.gcode", format!("{}\n{block}", sliced(0.2))).expect(201);
    let found = server.get("/server/files/thumbnails?filename=sub/cube.gcode").result();
    let wanted = json!({"width": 2, "height": 2, "size": size, "thumbnail_path": "sub/.thumbs/cube-2x2.png"});
    assert_matches(&found, &json!({"$has": [wanted]}));
    let metadata = server.get("/server/files/metadata?filename=sub/cube.gcode").result();
    assert_matches(
        &metadata["thumbnails"],
        &json!({"$has": [{"width": 2, "height": 2, "size": size, "relative_path": ".thumbs/cube-2x2.png"}]}),
    );
    let picture = server.get("/server/files/gcodes/sub/.thumbs/cube-2x2.png").expect(200);
    assert!(picture.header("Content-Type").unwrap().starts_with("image/png"));
    assert_eq!(picture.body.len(), size);
    server.delete("/server/files/gcodes/sub/cube.gcode").expect(200);
    eventually("the picture to go", || {
        (!server.data("gcodes/sub/.thumbs/cube-2x2.png").exists()).then_some(())
    });
}

#[test]
fn a_thousand_files_are_listed_and_scanned() {
    let mut setup = Setup::new();
    for n in 0..1000 {
        setup = setup.file(&format!("gcodes/part-{n:04}.gcode"), sliced(0.2));
    }
    let server = setup.start();
    assert_eq!(server.get("/server/files/list").result().as_array().map(Vec::len), Some(1000));
    eventually("all to be scanned", || {
        let listed = server.get("/server/files/directory?path=gcodes&extended=true").result();
        let files = listed["files"].as_array().unwrap();
        files.iter().all(|file| file["layer_height"] == 0.2).then_some(())
    });
    // a second start finds everything known
    let mut server = server;
    server.stop();
    server.start_again();
    assert_eq!(layer_height(&server, "part-0500.gcode"), 0.2);
}
