//! Programs of the system that are started for a moment.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncReadExt, AsyncWriteExt, future};
use smol::process::{Child, Command};

use super::Host;

/// The most that is taken of what a program prints; the rest is thrown away.
const MAX_OUTPUT: u64 = 64 * 1024;
/// How long it is waited for what a program printed last, when something that it started keeps its pipes open.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Where programs are, by custom. The environment is not asked: an init script may have none, and a service
/// should not run what somebody else's PATH names.
const FOLDERS: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

impl Host {
    /// The path of a program of this machine, or `None` where it is not installed.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        FOLDERS.iter().map(|folder| self.path(folder).join(name)).find(|path| path.is_file())
    }
}

/// Why a program did not do what it was started for.
#[derive(Debug)]
pub enum ProcessError {
    /// It is not installed.
    Missing(String),
    /// It could not be started, or talked to.
    Io(String, io::Error),
    /// It took too long and was killed.
    TimedOut(String),
    /// It ended with an error; what it said of that.
    Failed(String, ExitStatus, String),
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "{name} is not installed"),
            Self::Io(name, error) => write!(f, "{name} cannot be run: {error}"),
            Self::TimedOut(name) => write!(f, "{name} took too long"),
            Self::Failed(name, status, said) if said.is_empty() => write!(f, "{name} failed ({status})"),
            Self::Failed(name, _, said) => write!(f, "{name}: {said}"),
        }
    }
}

impl std::error::Error for ProcessError {}

/// Runs a program to its end and gives what it printed. It gets no terminal and `input` on its standard input, and
/// is killed when it takes longer than `limit` or nobody waits for it any more.
///
/// # Errors
/// Where it cannot be started, takes too long, or does not end well.
pub async fn run<A: AsRef<OsStr>>(
    program: PathBuf,
    arguments: &[A],
    input: &str,
    limit: Duration,
) -> Result<String, ProcessError> {
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let io = |error| ProcessError::Io(name.clone(), error);
    let mut child = Command::new(&program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(io)?;
    let in_time = async { Some(talk(&mut child, input).await) };
    let late = async {
        smol::Timer::after(limit).await;
        None
    };
    let Some(answer) = future::or(in_time, late).await else { return Err(ProcessError::TimedOut(name)) };
    let (status, printed, complaint) = answer.map_err(io)?;
    if status.success() {
        return Ok(printed);
    }
    let said = if complaint.trim().is_empty() { printed } else { complaint };
    Err(ProcessError::Failed(name, status, said.trim().to_owned()))
}

/// Starts a program that outlives this one: it restarts the service that this process is. What it prints is lost.
///
/// # Errors
/// Where it cannot be started.
pub fn detach<A: AsRef<OsStr>>(program: PathBuf, arguments: &[A], input: &str) -> Result<(), ProcessError> {
    use std::io::Write;
    use std::os::unix::process::CommandExt;
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let io = |error| ProcessError::Io(name.clone(), error);
    let mut command = std::process::Command::new(&program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // A signal to the group of this process must not reach it.
    let mut child = command.process_group(0).spawn().map_err(io)?;
    if let Some(mut stdin) = child.stdin.take() {
        // As in `run`: it may not want its input.
        let _ = stdin.write_all(input.as_bytes());
    }
    Ok(())
}

async fn talk(child: &mut Child, input: &str) -> io::Result<(ExitStatus, String, String)> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (ended, ended_first) = (child.status(), child.status());
    let (mut printed, mut complaint) = (Vec::new(), Vec::new());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A program that does not want its input closes the pipe.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
    };
    let pipes = future::zip(write, future::zip(read(stdout, &mut printed), read(stderr, &mut complaint)));
    // An init script ends while the daemon that it started holds its pipes for ever.
    let with_pipes = async {
        pipes.await;
        ended.await
    };
    let without = async {
        let status = ended_first.await;
        smol::Timer::after(LAST_WORDS).await;
        status
    };
    let status = future::or(with_pipes, without).await?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((status, text(printed), text(complaint)))
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let _ = (&mut pipe).take(MAX_OUTPUT).read_to_end(into).await;
    // The program must not stand still because its pipe is full.
    let _ = futures_lite::io::copy(pipe, futures_lite::io::sink()).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn shell(script: &str, input: &str, limit: Duration) -> Result<String, ProcessError> {
        let program = Host::default().program("sh").unwrap();
        smol::block_on(run(program, &["-c", script], input, limit))
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn what_it_prints() {
        assert_eq!(shell("read a; echo \"<$a>\"", "word\n", MINUTE).unwrap(), "<word>\n");
        // it does not read its input
        assert_eq!(shell("exec <&-; echo x", &"y".repeat(1 << 20), MINUTE).unwrap(), "x\n");
    }

    #[test]
    fn how_it_fails() {
        let error = shell("echo no >&2; exit 3", "", MINUTE).unwrap_err();
        assert_eq!(error.to_string(), "sh: no");
        assert_eq!(shell("echo out; exit 1", "", MINUTE).unwrap_err().to_string(), "sh: out");
        let missing = smol::block_on(run::<&str>("/nonexistent/x".into(), &[], "", MINUTE)).unwrap_err();
        assert!(matches!(missing, ProcessError::Io(..)));
        assert!(Host::default().program("perigee-no-such-program").is_none());
    }

    #[test]
    fn one_that_hangs_is_killed() {
        let start = Instant::now();
        let error = shell("sleep 600", "", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, ProcessError::TimedOut(_)));
        assert!(start.elapsed() < MINUTE);
    }

    #[test]
    fn one_that_stays_on_its_own() {
        let done = std::env::temp_dir().join(format!("perigee-detached-{}", std::process::id()));
        let script = format!("read a; echo $a > {0}.new; mv {0}.new {0}", done.display());
        detach(Host::default().program("sh").unwrap(), &["-c", &script], "word\n").unwrap();
        let start = Instant::now();
        while !done.exists() && start.elapsed() < MINUTE {
            std::thread::yield_now();
        }
        assert_eq!(std::fs::read_to_string(&done).unwrap(), "word\n");
        std::fs::remove_file(done).unwrap();
    }

    #[test]
    fn one_that_leaves_a_daemon_behind() {
        let start = Instant::now();
        assert_eq!(shell("echo started; sleep 5 &", "", MINUTE).unwrap(), "started\n");
        assert!(start.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn one_that_prints_without_end() {
        let printed = shell("head -c 1000000 /dev/zero", "", MINUTE).unwrap();
        assert_eq!(printed.len() as u64, MAX_OUTPUT);
    }
}
