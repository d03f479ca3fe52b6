use super::*;
use crate::storage::scratch::{Scratch, fixture};

fn open(name: &str) -> (Scratch, SqliteFile) {
    let scratch = Scratch::new();
    let path = fixture(&scratch, name);
    let file = SqliteFile::open(&path).unwrap();
    (scratch, file)
}

fn ids(file: &SqliteFile, table: &str) -> Vec<i64> {
    let mut ids = Vec::new();
    file.rows(table, &mut |row| {
        ids.push(row.id);
        Ok(())
    })
    .unwrap();
    ids
}

#[test]
fn reads_what_sqlite_wrote() {
    let (_scratch, file) = open("v0.10-sqlite/moonraker-sql.db");
    assert_eq!(ids(&file, "job_history"), (1..=63).collect::<Vec<i64>>());
    assert!(file.has_table("job_totals") && !file.has_table("nothing"));
    assert!(ids(&file, "nothing").is_empty());
    let mut largest = 0;
    let mut users = Vec::new();
    file.rows("namespace_store", &mut |mut row| {
        largest = largest.max(row.take("value").into_bytes().map_or(0, |bytes| bytes.len()));
        Ok(())
    })
    .unwrap();
    file.rows("authorized_users", &mut |mut row| {
        users.push((
            row.take("username"),
            row.take("created_on").as_number().is_some(),
            row.take("jwt_secret"),
        ));
        Ok(())
    })
    .unwrap();
    assert!(largest > 30_000, "a value in pages of its own: {largest}");
    assert_eq!(users.len(), 4);
    assert!(users.iter().all(|(_, created, _)| *created));
    assert!(users.contains(&(Value::Text("jürgen".into()), true, Value::Null)));
}

#[test]
fn an_unfinished_transaction_is_taken_back() {
    let (scratch, file) = open("v0.10-sqlite-dirty/hot-journal/moonraker-sql.db");
    let has = |file: &SqliteFile, wanted: &str| {
        let mut found = false;
        file.rows("namespace_store", &mut |mut row| {
            found |= row.take("key") == Value::Text(wanted.into());
            Ok(())
        })
        .map(|()| found)
    };
    assert!(file.restored.len() > 1 && !has(&file, "w2_15").unwrap() && has(&file, "big_rewritten").unwrap());
    let path = scratch.path().join("moonraker-sql.db");
    std::fs::remove_file(scratch.path().join("moonraker-sql.db-journal")).unwrap();
    assert!(
        has(&SqliteFile::open(&path).unwrap(), "w2_15").unwrap(),
        "without its journal the file looks sound"
    );
    std::fs::write(scratch.path().join("moonraker-sql.db-journal"), "").unwrap();
    assert!(SqliteFile::open(&path).unwrap().restored.is_empty());
    std::fs::write(scratch.path().join("moonraker-sql.db-wal"), [0; 64]).unwrap();
    assert!(SqliteFile::open(&path).is_err());
}

#[test]
fn no_damage_makes_it_panic_or_hang() {
    let scratch = Scratch::new();
    let path = fixture(&scratch, "v0.10-sqlite-dirty/hot-journal/moonraker-sql.db");
    let journal = scratch.path().join("moonraker-sql.db-journal");
    let (good, good_journal) = (std::fs::read(&path).unwrap(), std::fs::read(&journal).unwrap());
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below as u64).unwrap()
    };
    for round in 0..60 {
        let (mut bad, mut bad_journal) = (good.clone(), good_journal.clone());
        match round % 4 {
            0 => bad[next(good.len() / 4096) * 4096 + next(16)] ^= 1 << next(8),
            1 => bad.truncate(next(good.len())),
            2 => bad_journal[next(64)] ^= 1 << next(8),
            _ => bad_journal.truncate(next(good_journal.len())),
        }
        std::fs::write(&path, bad).unwrap();
        std::fs::write(&journal, bad_journal).unwrap();
        if let Ok(file) = SqliteFile::open(&path) {
            for table in ["namespace_store", "job_history", "authorized_users"] {
                let _ = file.rows(table, &mut |_| Ok(()));
            }
        }
    }
}

#[test]
fn other_files_are_refused() {
    let scratch = Scratch::new();
    let path = scratch.path().join("file");
    for bytes in [vec![], vec![0; 5000], [MAGIC.as_slice(), &[0; 200]].concat()] {
        std::fs::write(&path, bytes).unwrap();
        assert!(SqliteFile::open(&path).is_err());
    }
}

#[test]
fn names_of_columns_are_found() {
    let sql = "CREATE TABLE t (\n a TEXT NOT NULL,\n \"b\" DECIMAL(1, 2), c record,\n PRIMARY KEY (a, c)\n)";
    assert_eq!(columns(sql), ["a", "b", "c"]);
    assert!(columns("nonsense").is_empty());
}
