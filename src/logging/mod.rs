//! `moonraker.log`: lines, rotation, the start-up header (spec config.md §1.1, behaviour.md §1).
//!
//! All parts log through the `log` crate. A line is put into a bounded queue (`queue`) and a thread of its own
//! writes it, so that nobody who logs ever waits for a disk or a console. Repeated lines are folded and floods
//! cut (`gate`); the file is bounded and begun anew each day (`file`). Nothing is synced to the disk: a log is
//! not worth the wear.

mod file;
mod gate;
mod header;
mod line;
mod queue;
mod stdout;

pub use file::{BACKUPS, MAX_FILE};
pub use gate::{BURST, RATE, RESERVE, VERBOSE_RATE};
pub use header::{MAX_ITEM, MAX_ITEMS};
pub use line::MAX_TEXT;
pub use queue::MAX_WAITING;

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};
use std::{fmt, io, thread};

use log::{LevelFilter, Log, Metadata, Record};

use crate::time::unix_ms;
use file::LogFile;
use header::Header;
use line::Line;
use queue::{Queue, Request};
use stdout::Stdout;

/// The stack of the log's thread, in bytes.
const STACK: usize = 128 * 1024;
/// How long [`LogControl::flush`] and [`LogControl::rollover`] wait for the log's thread.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// How to log.
#[derive(Clone, Debug, Default)]
pub struct LogOptions {
    /// The log file; `None`: standard output only.
    pub file: Option<PathBuf>,
    /// Lines of JSON, in the file, or without a file on standard output.
    pub structured: bool,
    /// Debug messages too.
    pub verbose: bool,
    /// What the header begins with, such as the command line and the version: (name, text).
    pub header: Vec<(String, String)>,
}

/// The log of the process, which lasts as long as the process does: an in-process restart keeps it. Cheap to
/// clone.
#[derive(Clone)]
pub struct LogControl {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Queue,
    header: Arc<Header>,
    has_file: bool,
}

/// The log has a new file, or why it has not.
#[derive(Debug, PartialEq, Eq)]
pub enum RolloverError {
    /// There is no log file (`-n`).
    Disabled,
    /// The disk does not let us; a sentence.
    Failed(String),
}

impl fmt::Display for RolloverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("File Logging Disabled"),
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for RolloverError {}

/// The one receiver of the `log` crate's records.
struct Global(OnceLock<Arc<Shared>>);

static GLOBAL: Global = Global(OnceLock::new());

/// Starts the log, once in a process. A log file that cannot be written is no error: it is tried again now and
/// then, and the text returned beside the log is a warning for `server.info`.
pub fn start(options: LogOptions) -> io::Result<(LogControl, Option<String>)> {
    let verbose = options.verbose;
    let (control, warning) = spawn(options, stdout::process())?;
    let taken = || io::Error::from(io::ErrorKind::AlreadyExists);
    GLOBAL.0.set(control.shared.clone()).map_err(|_| taken())?;
    log::set_logger(&GLOBAL).map_err(|_| taken())?;
    log::set_max_level(if verbose { LevelFilter::Debug } else { LevelFilter::Info });
    Ok((control, warning))
}

/// Writes panics to the log too, and waits until they are there: afterwards the process may be gone.
pub fn log_panics(control: &LogControl) {
    let (control, previous) = (control.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |info| {
        log::error!("{info}");
        control.flush();
        previous(info);
    }));
}

impl LogControl {
    /// Sets what each log file's header says under a name (the running versions, the configuration ...); an
    /// empty text removes it. Texts must not hold passwords.
    pub fn set_header_item(&self, name: &str, text: &str) {
        self.shared.header.set(name, text);
    }

    /// Begins a new log file, and returns the path of the old one: `moonraker.log.YYYY-mm-dd_HH-MM-SS`. Waits
    /// for the disk, up to [`PATIENCE`].
    pub fn rollover(&self) -> Result<PathBuf, RolloverError> {
        if !self.shared.has_file {
            return Err(RolloverError::Disabled);
        }
        let answer = self
            .shared
            .ask(Request::Rollover)
            .map_err(|_| RolloverError::Failed("the disk does not answer".into()))?;
        answer.map_err(RolloverError::Failed)
    }

    /// Waits until all that was logged is written, up to [`PATIENCE`]; returns whether it is.
    pub fn flush(&self) -> bool {
        self.shared.ask(Request::Flush).is_ok()
    }

    /// Writes what waits and ends the log's thread: for the end of the process. What is logged later is lost.
    pub fn stop(&self) {
        self.flush();
        self.shared.queue.end();
    }
}

impl Shared {
    fn ask<T>(&self, request: impl FnOnce(SyncSender<T>) -> Request) -> Result<T, RecvTimeoutError> {
        let (sender, receiver) = sync_channel(1);
        self.queue.request(request(sender));
        receiver.recv_timeout(PATIENCE)
    }

    fn log(&self, record: &Record<'_>) {
        self.queue.push(Line::new(unix_ms(SystemTime::now()), record));
    }
}

impl Log for Global {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    /// Of other crates only warnings and errors count: their debug messages would bury ours.
    fn log(&self, record: &Record<'_>) {
        let ours = record.module_path().is_some_and(|module| {
            module
                .strip_prefix(env!("CARGO_PKG_NAME"))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        });
        let limit = if ours { log::max_level() } else { LevelFilter::Warn };
        if let Some(shared) = self.0.get().filter(|_| record.level() <= limit) {
            shared.log(record);
        }
    }

    /// As [`LogControl::flush`].
    fn flush(&self) {
        if let Some(shared) = self.0.get() {
            let _ = shared.ask(Request::Flush);
        }
    }
}

fn spawn(
    options: LogOptions,
    stdout: Stdout<impl AsFd + Send + 'static>,
) -> io::Result<(LogControl, Option<String>)> {
    let header = Arc::new(Header::default());
    for (name, text) in &options.header {
        header.set(name, text);
    }
    let now = unix_ms(SystemTime::now());
    let file =
        options.file.as_deref().map(|path| LogFile::new(path, header.clone(), options.structured, now));
    let warning = file.as_ref().and_then(LogFile::failure).map(|error| {
        let path = options.file.as_deref().unwrap_or_else(|| "".as_ref());
        format!("Unable to write the log file {}: {error}", path.display())
    });
    let shared = Arc::new(Shared { queue: Queue::new(options.verbose), header, has_file: file.is_some() });
    let writer = Writer {
        shared: shared.clone(),
        structured_stdout: options.structured && file.is_none(),
        file,
        stdout,
    };
    thread::Builder::new().name("log".into()).stack_size(STACK).spawn(move || writer.run())?;
    Ok((LogControl { shared }, warning))
}

/// The log's thread.
struct Writer<F> {
    shared: Arc<Shared>,
    file: Option<LogFile>,
    stdout: Stdout<F>,
    structured_stdout: bool,
}

impl<F: AsFd> Writer<F> {
    fn run(mut self) {
        let now = || unix_ms(SystemTime::now());
        let mut text = String::new();
        loop {
            let batch = self.shared.queue.take(now);
            for line in &batch.lines {
                if let Some(file) = &mut self.file {
                    file.append(line);
                }
                if self.structured_stdout { line.structured(&mut text) } else { line.short(&mut text) }
            }
            if let Some(file) = &mut self.file {
                file.flush(now());
            }
            self.stdout.write(&text);
            text = String::new();
            for request in batch.requests {
                self.answer(request, now());
            }
            if batch.end {
                return;
            }
        }
    }

    fn answer(&mut self, request: Request, now: i64) {
        // Whoever asked may have stopped waiting.
        match request {
            Request::Flush(done) => drop(done.try_send(())),
            Request::Rollover(done) => {
                let rolled = self.file.as_mut().map(|file| file.rollover(now));
                let rolled = rolled.unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()));
                drop(done.try_send(rolled.map_err(|error| error.to_string())));
            }
        }
    }
}

#[cfg(test)]
mod tests;
