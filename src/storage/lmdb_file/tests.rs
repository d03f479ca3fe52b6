use std::collections::BTreeMap;

use super::*;
use crate::storage::scratch::Scratch;

/// A database with branch pages, values in pages of their own, and free pages.
fn sample(scratch: &Scratch) -> std::path::PathBuf {
    let storage = scratch.open();
    let write = |from: u32, to: u32, length: usize| {
        let write = move |writer: &mut crate::storage::Writer<'_>| {
            (from..to).try_for_each(|number| {
                let value = crate::json::to_raw(&"v".repeat(length + number as usize));
                writer.put_record("ns", &format!("key {number}"), &value)
            })
        };
        storage.write_blocking(write).unwrap();
    };
    write(0, 300, 10);
    write(300, 310, 10_000);
    write(100, 150, 3000);
    storage.write_blocking(|writer| writer.delete_record("ns", "key 305").map(drop)).unwrap();
    smol::block_on(storage.close());
    scratch.path().join(crate::storage::FILE_NAME)
}

fn entries(path: &Path, state: usize) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Damage> {
    let mut found = BTreeMap::new();
    LmdbFile::open(path)?.visit(state, &mut |name, key, value| {
        assert_eq!(name, None);
        found.insert(key.to_vec(), value.to_vec());
        Ok(())
    })?;
    Ok(found)
}

#[test]
fn reads_what_lmdb_wrote() {
    let scratch = Scratch::new();
    let path = sample(&scratch);
    let file = LmdbFile::open(&path).unwrap();
    file.check(0).unwrap();
    file.check(1).unwrap();
    assert!(file.is_native());
    let (now, before) = (entries(&path, 0).unwrap(), entries(&path, 1).unwrap());
    assert_eq!((now.len(), before.len()), (309, 310));
    assert_eq!(now[b"dns\xFFkey 7".as_slice()], format!("\"{}\"", "v".repeat(17)).into_bytes());
}

#[test]
fn no_damage_makes_it_panic_or_hang() {
    let scratch = Scratch::new();
    let path = sample(&scratch);
    let good = std::fs::read(&path).unwrap();
    let copy = scratch.path().join("copy");
    let mut random = 0x2545_F491_4F6C_DD1Du64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below as u64).unwrap()
    };
    let mut found = 0;
    for round in 0..400 {
        let mut bad = good.clone();
        match round % 4 {
            // the heads of pages are where it hurts
            0 | 1 => bad[next(good.len() / 4096) * 4096 + next(48)] ^= 1 << next(8),
            2 => bad.truncate(next(good.len())),
            _ => {
                let at = next(good.len() / 512) * 512;
                bad[at..at + 512].fill(0);
            }
        }
        std::fs::write(&copy, bad).unwrap();
        let damaged = LmdbFile::open(&copy).and_then(|file| file.check(0)).is_err();
        found += usize::from(damaged);
        // what passes the check can be read to its end
        assert!(damaged || entries(&copy, 0).is_ok(), "round {round}");
    }
    assert!(found > 100, "{found}");
}

#[test]
fn other_files_are_refused() {
    let scratch = Scratch::new();
    let path = scratch.path().join("file");
    for bytes in [vec![], vec![0; 100], vec![0; 100_000], b"SQLite format 3\0".repeat(1000)] {
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(LmdbFile::open(&path), Err(Damage::Header(_))));
    }
    assert!(matches!(LmdbFile::open(Path::new("/nonexistent/file")), Err(Damage::Io(_))));
}
