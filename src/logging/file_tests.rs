use super::super::line::tests::line;
use super::*;

/// Noon of a day, in milliseconds since 1970.
const NOON: i64 = 1_788_177_600_000;
const DAY: i64 = 86_400_000;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("logs/moonraker.log")
    }

    fn open(&self, now: i64, limit: u64) -> LogFile {
        LogFile::with_limit(&self.path(), Arc::default(), false, now, limit)
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path().parent().unwrap()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn write_line(log: &mut LogFile, now: i64, text: &str) {
    log.append(&line(now, Level::Info, text));
    log.flush(now);
}

/// The modification time of a file, as if last written at a moment.
fn age(path: &Path, now: i64) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(now as u64);
    File::open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn the_folder_is_made_and_the_file_begins_with_the_header() {
    let place = Place::new();
    let header = Arc::new(Header::default());
    header.set("version", "perigee 1");
    let mut log = LogFile::new(&place.path(), header, false, NOON);
    assert!(log.failure().is_none());
    write_line(&mut log, NOON, "hello");
    let text = place.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].contains("Log Start") && lines[1] == "perigee 1" && lines[2].ends_with(" - hello"));
}

#[test]
fn a_new_day_begins_a_new_file() {
    let place = Place::new();
    let mut log = place.open(NOON, MAX_FILE);
    write_line(&mut log, NOON, "today");
    write_line(&mut log, NOON - 3 * DAY, "the clock went back");
    write_line(&mut log, NOON + 1, "today again");
    assert_eq!(place.names().len(), 1);
    write_line(&mut log, NOON + DAY, "tomorrow");
    assert_eq!(place.names().len(), 2);
    assert!(place.text().contains("Log Start") && place.text().contains("tomorrow"));
    assert!(!place.text().contains("today"));

    age(&place.path(), NOON + DAY);
    drop(log);
    let mut log = place.open(NOON + 2 * DAY, MAX_FILE);
    write_line(&mut log, NOON + 2 * DAY, "started again a day later");
    assert!(!place.text().contains("tomorrow"));
}

#[test]
fn the_size_is_bounded_and_two_old_files_are_kept() {
    let place = Place::new();
    fs::create_dir_all(place.path().parent().unwrap()).unwrap();
    for other in
        ["moonraker.log.txt", "klippy.log.2026-01-01", "moonraker.log.2020-01-01", "moonraker.log.2020-01-02"]
    {
        fs::write(place.path().with_file_name(other), "").unwrap();
    }
    let mut log = place.open(NOON, 1_000);
    for i in 0..200 {
        write_line(&mut log, NOON + i * 100, &format!("line {i} {}", "x".repeat(50)));
        assert!(fs::metadata(place.path()).unwrap().len() <= 1_100);
    }
    let names = place.names();
    assert_eq!(names.len(), 1 + BACKUPS + 2, "{names:?}");
    assert!(names.contains(&"moonraker.log.txt".into()) && names.contains(&"klippy.log.2026-01-01".into()));
    assert!(place.text().contains("line 199"));
}

#[test]
fn the_backup_just_made_stays_whatever_the_clock_says() {
    let place = Place::new();
    let mut log = place.open(NOON, MAX_FILE);
    log.rollover(NOON).unwrap();
    log.rollover(NOON + DAY).unwrap();
    write_line(&mut log, 5_000, "before the clock was set");
    let old = log.rollover(5_000).unwrap();
    assert!(fs::read_to_string(old).unwrap().contains("before the clock was set"));
    assert_eq!(place.names().len(), 1 + BACKUPS);
}

#[test]
fn rollovers_within_a_second_have_names_of_their_own() {
    let place = Place::new();
    let mut log = place.open(NOON, MAX_FILE);
    let first = log.rollover(NOON).unwrap();
    let second = log.rollover(NOON).unwrap();
    assert_ne!(first, second);
    let stamp = time::local(NOON / 1000).file_stamp();
    assert!(first.to_string_lossy().ends_with(&format!("moonraker.log.{stamp}")));
    assert!(second.to_string_lossy().ends_with(&format!("{stamp}-1")));
}

#[test]
fn what_is_lost_is_said_later() {
    let place = Place::new();
    let mut log = place.open(NOON, MAX_FILE);
    write_line(&mut log, NOON, "before");
    let file = std::mem::replace(
        &mut log.open.as_mut().unwrap().file,
        OpenOptions::new().write(true).open("/dev/full").unwrap(),
    );
    write_line(&mut log, NOON + 1, "one");
    log.append(&line(NOON + 2, Level::Info, "two"));
    log.append(&line(NOON + 2, Level::Info, "three"));
    log.flush(NOON + 2);
    assert!(log.failure().is_some());
    log.open.as_mut().unwrap().file = file;
    write_line(&mut log, NOON + 3, "after");
    let text = place.text();
    assert!(text.contains("3 lines of the log were lost: No space left"), "{text}");
    assert!(text.contains("before") && text.contains("after") && !text.contains("two"));
    write_line(&mut log, NOON + 4, "fine");
    assert_eq!(place.text().matches("lost").count(), 1);
}

#[test]
fn a_file_that_vanishes_is_made_again() {
    let place = Place::new();
    let mut log = place.open(NOON, MAX_FILE);
    fs::remove_file(place.path()).unwrap();
    write_line(&mut log, NOON + LOOK_AFTER, "back");
    assert!(place.text().contains("Log Start") && place.text().contains("back"));
    fs::remove_dir_all(place.path().parent().unwrap()).unwrap();
    write_line(&mut log, NOON + 2 * LOOK_AFTER, "again");
    assert!(place.text().contains("again"));
}

#[test]
fn a_file_that_cannot_be_made_is_made_later() {
    let place = Place::new();
    fs::write(place.0.path().join("logs"), "in the way").unwrap();
    let mut log = place.open(NOON, MAX_FILE);
    assert!(log.failure().is_some());
    assert!(log.rollover(NOON).is_err());
    write_line(&mut log, NOON, "lost");
    fs::remove_file(place.0.path().join("logs")).unwrap();
    write_line(&mut log, NOON + LOOK_AFTER, "kept");
    assert!(place.text().contains("1 lines of the log were lost") && place.text().contains("kept"));
}

#[test]
fn a_folder_that_cannot_be_written_leaves_the_file_bounded() {
    let place = Place::new();
    let mut log = place.open(NOON, 500);
    write_line(&mut log, NOON, "first");
    // With every name taken, the file cannot be renamed.
    for second in 0..20 {
        let stamp = time::local(NOON / 1000 + second).file_stamp();
        let name = place.path().with_file_name(format!("moonraker.log.{stamp}"));
        fs::create_dir(&name).unwrap();
        for number in 1..10 {
            fs::create_dir(format!("{}-{number}", name.display())).unwrap();
        }
    }
    for i in 0..100 {
        write_line(&mut log, NOON + i * 100, "more and more");
        assert!(fs::metadata(place.path()).unwrap().len() <= 600);
    }
    assert!(place.text().contains("Log Start"));

    let stamp = time::local((NOON + DAY) / 1000).file_stamp();
    fs::create_dir(place.path().with_file_name(format!("moonraker.log.{stamp}"))).unwrap();
    for number in 1..10 {
        fs::create_dir(place.path().with_file_name(format!("moonraker.log.{stamp}-{number}"))).unwrap();
    }
    write_line(&mut log, NOON + DAY, "a new day");
    assert!(place.text().contains("more and more"), "what is not full is not emptied");
}

#[test]
fn a_fifo_is_no_log_file() {
    let place = Place::new();
    fs::create_dir_all(place.path().parent().unwrap()).unwrap();
    nix::unistd::mkfifo(&place.path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(place.open(NOON, MAX_FILE).failure().is_some());
}

#[test]
fn structured_files_are_json_throughout() {
    let place = Place::new();
    let header = Arc::new(Header::default());
    header.set("version", "perigee 1");
    let mut log = LogFile::new(&place.path(), header, true, NOON);
    write_line(&mut log, NOON, "hello\nworld");
    let text = place.text();
    let messages: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["message"].take())
        .collect();
    assert_eq!(messages.len(), 2);
    assert!(messages[0].as_str().unwrap().contains("perigee 1"));
    assert_eq!(messages[1], "hello\nworld");
}
