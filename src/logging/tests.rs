//! The log as a whole: thread, file and standard output together.

use std::fs;
use std::io::Read;
use std::time::Instant;

use log::Level;

use super::*;

struct Running {
    control: LogControl,
    warning: Option<String>,
    stdout: io::PipeReader,
    folder: tempfile::TempDir,
}

impl Running {
    fn new(options: impl FnOnce(PathBuf) -> LogOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (stdout, writer) = io::pipe().unwrap();
        let (control, warning) =
            spawn(options(folder.path().join("logs/moonraker.log")), Stdout::new(writer)).unwrap();
        Self { control, warning, stdout, folder }
    }

    fn log(&self, level: Level, text: &str) {
        let mut record = Record::builder();
        record.level(level).module_path_static(Some("perigee::x")).target("perigee::x");
        self.control.shared.log(&record.args(format_args!("{text}")).build());
    }

    fn file(&self) -> String {
        assert!(self.control.flush());
        fs::read_to_string(self.folder.path().join("logs/moonraker.log")).unwrap()
    }

    /// Ends the thread; what standard output got.
    fn end(mut self) -> String {
        self.control.stop();
        let mut text = String::new();
        self.stdout.read_to_string(&mut text).unwrap();
        text
    }
}

#[test]
fn lines_go_to_the_file_and_to_standard_output() {
    let header = vec![("args".to_owned(), "launch_args: perigee -d /x".to_owned())];
    let log = Running::new(|path| LogOptions { file: Some(path), header, ..LogOptions::default() });
    assert_eq!(log.warning, None);
    log.log(Level::Info, "one");
    log.log(Level::Warn, "two");
    log.log(Level::Warn, "two");
    let text = log.file();
    assert!(text.contains("launch_args: perigee -d /x"), "{text}");
    assert!(text.contains(" [x] - one\n") && text.contains(" [x WARNING] - two\n"), "{text}");
    assert!(text.ends_with("[logging] - last message repeated once\n"), "{text}");
    assert_eq!(log.end(), "[x] - one\n[x WARNING] - two\n[logging] - last message repeated once\n");
}

#[test]
fn a_rollover_begins_a_file_with_the_header_of_now() {
    let log = Running::new(|path| LogOptions { file: Some(path), ..LogOptions::default() });
    log.log(Level::Info, "before");
    log.control.set_header_item("config", "[server]\nport: 7125");
    let old = log.control.rollover().unwrap();
    log.log(Level::Info, "after");
    assert!(fs::read_to_string(old).unwrap().contains("before"));
    let text = log.file();
    assert!(
        text.contains("[server]\nport: 7125") && text.contains("after") && !text.contains("before"),
        "{text}"
    );
    log.end();
}

#[test]
fn without_a_file_there_is_only_standard_output() {
    let log = Running::new(|_| LogOptions { structured: true, ..LogOptions::default() });
    assert_eq!(log.control.rollover().unwrap_err().to_string(), "File Logging Disabled");
    log.log(Level::Error, "one");
    let text = log.end();
    let json: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!((&json["level"], &json["message"]), (&"ERROR".into(), &"one".into()));
}

#[test]
fn a_file_that_cannot_be_made_is_a_warning() {
    let log = Running::new(|path| {
        fs::write(path.parent().unwrap(), "in the way").unwrap();
        LogOptions { file: Some(path), ..LogOptions::default() }
    });
    assert!(log.warning.as_deref().unwrap().contains("moonraker.log"));
    assert!(matches!(log.control.rollover(), Err(RolloverError::Failed(_))));
    log.log(Level::Info, "one");
    assert_eq!(log.end(), "[x] - one\n");
}

#[test]
fn nobody_waits_for_a_console_that_does_not_read() {
    let log = Running::new(|path| LogOptions { file: Some(path), verbose: true, ..LogOptions::default() });
    let began = Instant::now();
    for i in 0..400 {
        log.log(Level::Info, &format!("{i} {}", "x".repeat(250)));
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(log.file().contains("399 "));
}

#[test]
fn ending_the_log_leaves_no_file_open() {
    let open = |folder: &std::path::Path| {
        let fds = fs::read_dir("/proc/self/fd").unwrap().flatten();
        fds.filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.starts_with(folder))).count()
    };
    let log = Running::new(|path| LogOptions { file: Some(path), ..LogOptions::default() });
    let folder = log.folder.path().to_owned();
    for i in 0..5 {
        log.log(Level::Info, &i.to_string());
        log.control.rollover().unwrap();
    }
    assert_eq!(open(&folder), 1);
    let Running { control, stdout: mut reader, folder: _keep, .. } = log;
    control.stop();
    reader.read_to_string(&mut String::new()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while open(&folder) > 0 {
        assert!(Instant::now() < deadline);
        thread::yield_now();
    }
}
