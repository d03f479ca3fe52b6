//! What the process is told at its start: flags and environment, as Moonraker has them (spec config.md §1.1).

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use lexopt::{Arg, Parser};

use super::path::{expand_home, resolve};

/// What `--help` prints after the line that names the command.
pub const USAGE: &str = "\
Options (each may also be set in the environment, which a flag overrides):
  -d, --datapath <folder>       data folder [MOONRAKER_DATA_PATH, ~/printer_data]
  -c, --configfile <file>       configuration [MOONRAKER_CONFIG_PATH, <data>/config/moonraker.conf]
  -l, --logfile <file>          log [MOONRAKER_LOG_PATH, <data>/logs/moonraker.log]
  -u, --unixsocket <path>       API socket [MOONRAKER_UDS_PATH, <data>/comms/moonraker.sock]
  -n, --nologfile               log to standard output only [MOONRAKER_DISABLE_FILE_LOG]
  -s, --structured-logging      log as lines of JSON [MOONRAKER_STRUCTURED_LOGGING]
  -v, --verbose                 log requests and details [MOONRAKER_VERBOSE_LOGGING]
  -g, --debug                   enable endpoints for developers [MOONRAKER_ENABLE_DEBUG]
  -o, --asyncio-debug           accepted for compatibility, has no effect
  -h, --help                    print this help
";
/// The data folder if none is named.
const DEFAULT_DATA_PATH: &str = "~/printer_data";

/// Flags and environment, flags first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessOptions {
    /// `-d`
    pub data_path: Option<PathBuf>,
    /// `-c`
    pub config_file: Option<PathBuf>,
    /// `-l`
    pub log_file: Option<PathBuf>,
    /// `-u`
    pub unix_socket: Option<PathBuf>,
    /// `-n`
    pub no_log_file: bool,
    /// `-s`
    pub structured_logging: bool,
    /// `-v`
    pub verbose: bool,
    /// `-g`
    pub debug: bool,
    /// Arguments that are no flags, for subcommands that take some.
    pub positional: Vec<OsString>,
}

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// To run with these options.
    Options(ProcessOptions),
    /// `-h`
    Help,
}

/// A command line that cannot be used; a sentence.
#[derive(Debug, PartialEq, Eq)]
pub struct UsageError(pub String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (see --help)", self.0)
    }
}

impl std::error::Error for UsageError {}

impl From<lexopt::Error> for UsageError {
    fn from(error: lexopt::Error) -> Self {
        Self(error.to_string())
    }
}

/// The absolute places that the process works with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The data folder.
    pub data_path: PathBuf,
    /// Whether nobody named the data folder.
    pub is_default_data_path: bool,
    /// `moonraker.conf`
    pub config_file: PathBuf,
    /// `moonraker.log`, `None` if there shall be none.
    pub log_file: Option<PathBuf>,
    /// The API's unix socket.
    pub unix_socket: PathBuf,
}

/// Takes the subcommand off a command line without the program's name: its first word, if that is no flag.
pub fn split_subcommand(args: impl IntoIterator<Item = OsString>) -> (Option<String>, Vec<OsString>) {
    let mut args: Vec<OsString> = args.into_iter().collect();
    match args.first().and_then(|first| first.to_str()) {
        Some(first) if !first.is_empty() && !first.starts_with('-') => {
            let command = first.to_owned();
            args.remove(0);
            (Some(command), args)
        }
        _ => (None, args),
    }
}

/// Takes a flag's value off the command line.
pub type TakeValue<'a> = dyn FnMut() -> Result<OsString, UsageError> + 'a;

impl ProcessOptions {
    /// Reads a command line without the program's name and subcommand; `env` looks up an environment variable.
    pub fn parse(
        args: impl IntoIterator<Item = OsString>,
        env: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Parsed, UsageError> {
        Self::parse_with(args, env, |_, _| Ok(false))
    }

    /// As [`ProcessOptions::parse`], for a subcommand with flags of its own: `extra` gets each flag that is not
    /// known here, as `-x` or `--name`, and says whether it knows it.
    pub fn parse_with(
        args: impl IntoIterator<Item = OsString>,
        env: impl Fn(&str) -> Option<OsString>,
        mut extra: impl FnMut(&str, &mut TakeValue<'_>) -> Result<bool, UsageError>,
    ) -> Result<Parsed, UsageError> {
        let mut options = Self::from_environment(env);
        let mut parser = Parser::from_args(args);
        while let Some(arg) = parser.next()? {
            let flag = match arg {
                Arg::Value(value) => {
                    options.positional.push(value);
                    continue;
                }
                Arg::Short(letter) => format!("-{letter}"),
                Arg::Long(name) => format!("--{name}"),
            };
            match flag.as_str() {
                "-d" | "--datapath" => options.data_path = Some(path_value(&mut parser)?),
                "-c" | "--configfile" => options.config_file = Some(path_value(&mut parser)?),
                "-l" | "--logfile" => options.log_file = Some(path_value(&mut parser)?),
                "-u" | "--unixsocket" => options.unix_socket = Some(path_value(&mut parser)?),
                "-n" | "--nologfile" => options.no_log_file = true,
                "-s" | "--structured-logging" => options.structured_logging = true,
                "-v" | "--verbose" => options.verbose = true,
                "-g" | "--debug" => options.debug = true,
                "-o" | "--asyncio-debug" => {}
                "-h" | "--help" => return Ok(Parsed::Help),
                _ => {
                    let mut value = || Ok(parser.value()?);
                    if !extra(&flag, &mut value)? {
                        return Err(UsageError(format!("there is no option '{flag}'")));
                    }
                }
            }
        }
        Ok(Parsed::Options(options))
    }

    fn from_environment(env: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let flag = |name| {
            let value = env(name).unwrap_or_default();
            ["y", "yes", "true"].iter().any(|word| value.eq_ignore_ascii_case(word))
        };
        Self {
            data_path: path("MOONRAKER_DATA_PATH"),
            config_file: path("MOONRAKER_CONFIG_PATH"),
            log_file: path("MOONRAKER_LOG_PATH"),
            unix_socket: path("MOONRAKER_UDS_PATH"),
            no_log_file: flag("MOONRAKER_DISABLE_FILE_LOG"),
            structured_logging: flag("MOONRAKER_STRUCTURED_LOGGING"),
            verbose: flag("MOONRAKER_VERBOSE_LOGGING"),
            debug: flag("MOONRAKER_ENABLE_DEBUG"),
            positional: Vec::new(),
        }
    }

    /// The paths that the options name, with `~` for `home`.
    pub fn paths(&self, home: Option<&Path>) -> Paths {
        let data_path = self.data_path.as_deref().unwrap_or(Path::new(DEFAULT_DATA_PATH));
        let data_path = resolve(&expand_home(data_path, home));
        let place = |named: &Option<PathBuf>, usual: &str| match named {
            Some(named) => {
                let named = expand_home(named, home);
                std::path::absolute(&named).unwrap_or(named)
            }
            None => data_path.join(usual),
        };
        Paths {
            is_default_data_path: self.data_path.is_none(),
            config_file: place(&self.config_file, "config/moonraker.conf"),
            log_file: (!self.no_log_file).then(|| place(&self.log_file, "logs/moonraker.log")),
            unix_socket: place(&self.unix_socket, "comms/moonraker.sock"),
            data_path,
        }
    }
}

fn path_value(parser: &mut Parser) -> Result<PathBuf, UsageError> {
    let value = parser.value()?;
    if value.is_empty() {
        return Err(UsageError("a path is empty".into()));
    }
    Ok(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_env(args: &[&str], env: &[(&str, &str)]) -> Result<Parsed, UsageError> {
        let env = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        ProcessOptions::parse(args.iter().map(OsString::from), env)
    }

    fn options(args: &[&str], env: &[(&str, &str)]) -> ProcessOptions {
        match parse_env(args, env) {
            Ok(Parsed::Options(options)) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_in_all_their_forms() {
        for args in [
            &["-d", "/a", "-c", "/c", "-l", "/l", "-u", "/u", "-n", "-s", "-v", "-g", "-o"][..],
            &["-d/a", "-c=/c", "-l/l", "-u/u", "-nsvgo"],
            &[
                "--datapath", "/a", "--configfile=/c", "--logfile", "/l", "--unixsocket=/u", "--nologfile",
                "--structured-logging", "--verbose", "--debug", "--asyncio-debug",
            ],
        ] {
            let options = options(args, &[]);
            let paths = [&options.data_path, &options.config_file, &options.log_file, &options.unix_socket];
            assert_eq!(paths.map(|path| path.as_deref().and_then(Path::to_str).unwrap()), ["/a", "/c", "/l", "/u"]);
            assert!(options.no_log_file && options.structured_logging && options.verbose && options.debug);
        }
        assert_eq!(options(&[], &[]), ProcessOptions::default());
    }

    #[test]
    fn a_flag_beats_the_environment() {
        let env = [
            ("MOONRAKER_DATA_PATH", "/env"),
            ("MOONRAKER_CONFIG_PATH", "/env.conf"),
            ("MOONRAKER_LOG_PATH", ""),
            ("MOONRAKER_UDS_PATH", "/env.sock"),
            ("MOONRAKER_VERBOSE_LOGGING", "Yes"),
            ("MOONRAKER_DISABLE_FILE_LOG", "1"),
            ("MOONRAKER_ENABLE_DEBUG", "TRUE"),
            ("MOONRAKER_STRUCTURED_LOGGING", "y"),
        ];
        let options = options(&["-d", "/flag"], &env);
        assert_eq!(options.data_path, Some("/flag".into()));
        assert_eq!(options.config_file, Some("/env.conf".into()));
        assert_eq!(options.unix_socket, Some("/env.sock".into()));
        assert_eq!(options.log_file, None, "an empty variable is none");
        assert!(options.verbose && options.debug && options.structured_logging);
        assert!(!options.no_log_file, "only y, yes and true");
    }

    #[test]
    fn what_cannot_be_used() {
        for args in [&["--no-such"][..], &["-x"], &["-d"], &["-d", ""], &["--verbose=1"], &["--debug", "--data"]] {
            let error = parse_env(args, &[]).unwrap_err();
            assert!(error.to_string().contains("--help"), "{error}");
        }
        assert_eq!(parse_env(&["-h"], &[]), Ok(Parsed::Help));
    }

    #[test]
    fn subcommands_and_their_own_flags() {
        let split = |args: &[&str]| {
            let (command, rest) = split_subcommand(args.iter().map(OsString::from));
            (command, rest.len())
        };
        assert_eq!(split(&["import", "/x", "-v"]), (Some("import".into()), 2));
        assert_eq!(split(&["-d", "/x"]), (None, 2));
        assert_eq!(split(&[]), (None, 0));

        let mut port = None;
        let args = ["/folder", "--port=7", "-v", "-q"].map(OsString::from);
        let parsed = ProcessOptions::parse_with(args, |_| None, |flag, value| {
            match flag {
                "--port" => port = Some(value()?),
                "-q" => {}
                _ => return Ok(false),
            }
            Ok(true)
        });
        let Ok(Parsed::Options(options)) = parsed else { panic!("{parsed:?}") };
        assert_eq!((options.positional, options.verbose), (vec!["/folder".into()], true));
        assert_eq!(port, Some("7".into()));
    }

    #[test]
    fn places() {
        let home = Some(Path::new("/no-such-home"));
        let paths = ProcessOptions::default().paths(home);
        assert_eq!(paths.data_path, Path::new("/no-such-home/printer_data"));
        assert_eq!(paths.config_file, Path::new("/no-such-home/printer_data/config/moonraker.conf"));
        assert_eq!(paths.log_file.as_deref(), Some(Path::new("/no-such-home/printer_data/logs/moonraker.log")));
        assert_eq!(paths.unix_socket, Path::new("/no-such-home/printer_data/comms/moonraker.sock"));
        assert!(paths.is_default_data_path);

        let paths = options(&["-d", "/no-such/data/", "-l", "~/x.log", "-n"], &[]).paths(home);
        assert_eq!(paths.data_path, Path::new("/no-such/data"));
        assert_eq!((paths.log_file, paths.is_default_data_path), (None, false));
        let paths = options(&["-l", "~/x.log", "-c", "rel.conf"], &[]).paths(home);
        assert_eq!(paths.log_file.as_deref(), Some(Path::new("/no-such-home/x.log")));
        assert!(paths.config_file.is_absolute());
    }
}
