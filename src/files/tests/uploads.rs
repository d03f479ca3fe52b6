use super::*;

#[test]
fn an_upload_is_stored_and_told() {
    let bench = Bench::new();
    let content = vec![b'x'; BUFFER * 2 + 17];
    let change = bench.run(bench.upload(&to("", "a.gcode"), &content)).unwrap();
    assert_eq!(text(&change.action), "create_file gcodes/a.gcode");
    assert_eq!(change.action.item.size, content.len() as u64);
    drop(change);
    assert_eq!(fs::read(bench.path("gcodes/a.gcode")).unwrap(), content);
    // Directories are made; upper case roots and leading slashes are taken as they are meant.
    let target = UploadTarget {
        root: "GCodes".into(),
        path: "/x/y".into(),
        filename: "/z/b.gcode".into(),
        checksum: None,
    };
    bench.run(bench.upload(&target, b"b")).unwrap();
    assert_eq!(bench.read("gcodes/x/y/z/b.gcode").unwrap(), "b");
    assert_eq!(
        bench.told_text(3),
        ["create_file gcodes/a.gcode", "create_dir gcodes/x", "create_file gcodes/x/y/z/b.gcode"]
    );
    assert_eq!(bench.names("gcodes"), ["a.gcode", "x"]);
}

#[test]
fn refused_uploads_leave_nothing() {
    let bench = Bench::new();
    bench.write("gcodes/d/old.gcode", "old");
    let path = |path: &str| UploadTarget { path: path.into(), ..to("gcodes", "a") };
    bench.run(async {
        for (target, expected) in [
            (to("gcodes", ""), 400),
            (to("gcodes", "a/"), 400),
            (to("gcodes", "../config/a"), 400),
            (to("gcodes", "../gcodes_old/a"), 400),
            (path("../config"), 400),
            (to("nowhere", "a"), 400),
            (to("logs", "a"), 400),
            (to("gcodes", "d"), 400),
            (to("gcodes", "d/old.gcode/x"), 400),
            (to("gcodes", ".git/a"), 403),
            (to("gcodes", "a\nM112"), 400),
            (to("gcodes", "a\0"), 400),
            (UploadTarget { checksum: Some("00".into()), ..to("gcodes", "d/old.gcode") }, 422),
        ] {
            assert_eq!(status(bench.upload(&target, b"new").await), expected, "{target:?}");
        }
    });
    assert_eq!(bench.names("gcodes"), ["d"]);
    assert_eq!(bench.names("gcodes/d"), ["old.gcode"]);
    assert_eq!(bench.read("gcodes/d/old.gcode").unwrap(), "old");
}

#[test]
fn an_upload_that_is_given_up_leaves_nothing() {
    let bench = Bench::new();
    bench.run(async {
        let mut upload = bench.files.begin_upload(&to("config", ""), None).await.unwrap();
        upload.write(&vec![0; BUFFER * 3]).await.unwrap();
        assert_eq!(bench.names("config").len(), 1);
        assert!(bench.files.list("config").await.unwrap().is_empty());
        drop(upload);
        // What is being written is let go when that is done.
        while !bench.names("config").is_empty() {
            smol::Timer::after(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn checksums_are_checked_early_or_late() {
    // echo -n hello | sha256sum
    let checksum = "2CF24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let bench = Bench::new();
    bench.run(async {
        for early in [true, false] {
            let target = UploadTarget { checksum: Some(checksum.into()), ..to("gcodes", "a") };
            let known = if early { target.clone() } else { UploadTarget::default() };
            let mut upload = bench.files.begin_upload(&known, Some(5)).await.unwrap();
            upload.write(b"hel").await.unwrap();
            upload.write(b"lo").await.unwrap();
            bench.files.finish_upload(upload, &target).await.unwrap();
        }
    });
}

#[test]
fn uploads_have_a_largest_size() {
    let bench = Bench::with_limit(10);
    bench.run(async {
        let mut upload = bench.files.begin_upload(&UploadTarget::default(), Some(100)).await.unwrap();
        upload.write(&[0; 10]).await.unwrap();
        assert_eq!(status(upload.write(&[0; 1]).await), 413);
        assert_eq!(status(upload.write(&[]).await), 413);
        assert!(bench.files.finish_upload(upload, &to("gcodes", "a")).await.is_err());
    });
    assert!(bench.names("gcodes").is_empty());
}

#[test]
fn a_full_disk_is_told_and_keeps_the_old_file() {
    let bench = Bench::with_limit(u64::MAX);
    bench.write("gcodes/a", "old");
    bench.run(async {
        let refused = bench.files.begin_upload(&UploadTarget::default(), Some(1 << 60)).await.err().unwrap();
        assert_eq!(refused.status(), 507);
        assert!(refused.message().contains("disk is full"), "{refused}");
        // /dev/full is a disk that is full when written to.
        let mut upload = bench.files.begin_upload(&UploadTarget::default(), None).await.unwrap();
        upload.write_to_for_test("/dev/full");
        upload.write(&vec![0; BUFFER]).await.unwrap();
        assert_eq!(status(upload.write(&vec![0; BUFFER]).await), 507);
        assert!(bench.files.finish_upload(upload, &to("gcodes", "a")).await.is_err());
    });
    assert_eq!(bench.read("gcodes/a").unwrap(), "old");
    assert_eq!(bench.names("gcodes"), ["a"]);
}

#[test]
fn of_two_uploads_at_once_the_last_wins_whole() {
    let bench = Bench::new();
    let (one, two) = (vec![b'1'; BUFFER + 1], vec![b'2'; BUFFER * 2]);
    bench.run(async {
        let target = to("gcodes", "same.gcode");
        let (first, second) =
            futures_lite::future::zip(bench.upload(&target, &one), bench.upload(&target, &two)).await;
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(text(&first.action), text(&second.action));
    });
    let stored = fs::read(bench.path("gcodes/same.gcode")).unwrap();
    assert!(stored == one || stored == two);
    assert_eq!(bench.names("gcodes"), ["same.gcode"]);
}

/// An Ultimaker package with these members.
pub(super) fn ufp(members: &[(&str, &[u8])]) -> Vec<u8> {
    use std::io::Write;
    let mut zip = ::zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in members {
        zip.start_file(*name, ::zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn a_package_is_unpacked() {
    let bench = Bench::new();
    let package = ufp(&[("/3D/model.gcode", b"G28\n"), ("/Metadata/thumbnail.png", b"png")]);
    let change = bench.run(bench.upload(&to("gcodes", "d/part.UFP"), &package)).unwrap();
    assert_eq!(text(&change.action), "create_file gcodes/d/part.gcode");
    assert_eq!(bench.read("gcodes/d/part.gcode").unwrap(), "G28\n");
    for broken in [b"no zip".to_vec(), ufp(&[("other", b"x")])] {
        assert_eq!(status(bench.run(bench.upload(&to("gcodes", "e.ufp"), &broken))), 400);
    }
    // Elsewhere it is a file like any other.
    bench.run(bench.upload(&to("config", "part.ufp"), b"no zip")).unwrap();
    assert_eq!(bench.names("gcodes"), ["d"]);

    let small = Bench::with_limit(1000);
    let bomb = ufp(&[("3D/model.gcode", &[b'G'; 2000])]);
    assert_eq!(status(small.run(small.upload(&to("gcodes", "b.ufp"), &bomb))), 413);
    assert!(small.names("gcodes").is_empty());
}
