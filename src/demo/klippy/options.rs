//! What the simulated Klippy is told once.

use std::path::PathBuf;
use std::time::Duration;

/// How often Klippy answers queries and pushes changes (its `SUBSCRIPTION_REFRESH_TIME`).
pub const TICK: Duration = Duration::from_millis(250);

/// How many requests are kept for [`super::Controls::requests`] unless told otherwise.
pub const RECORD: usize = 10_000;

/// How a simulated Klippy starts and behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// The API socket that is made. One that nobody listens on is replaced.
    pub socket: PathBuf,
    /// The folder of the virtual SD card; takes the place of `path` in the configuration.
    pub gcodes: PathBuf,
    /// The printer's configuration. Where there is no such file, [`super::PRINTER_CFG`] is used, and
    /// `SAVE_CONFIG` changes nothing on the disk.
    pub config_file: PathBuf,
    /// More text for the configuration, read after the file: other sections, other values, macros.
    pub extra_config: String,
    /// How many times faster than real the printer heats and moves. At least 0.001.
    pub speed: f64,
    /// How often queries are answered and changes pushed, in real time.
    pub tick: Duration,
    /// How long the state is `startup`, in real time.
    pub startup: Duration,
    /// How long after a restart the socket comes back, in real time (a second in Klippy).
    pub restart: Duration,
    /// Whether temperatures tremble as measured ones do.
    pub noise: bool,
    /// How many requests are kept to be looked at; 0 keeps none.
    pub record: usize,
    /// What `info` tells of the log file.
    pub log_file: PathBuf,
    /// What `info` tells of the place of Klipper.
    pub klipper_path: PathBuf,
    /// What `info` tells of the Python that runs Klippy.
    pub python_path: PathBuf,
    /// What `info` and `M115` tell of the version.
    pub software_version: String,
}

impl Options {
    /// The behaviour of a real Klippy, with this socket and virtual SD card.
    pub fn new(socket: impl Into<PathBuf>, gcodes: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            gcodes: gcodes.into(),
            config_file: PathBuf::from("/home/pi/printer_data/config/printer.cfg"),
            extra_config: String::new(),
            speed: 1.0,
            tick: TICK,
            startup: Duration::from_secs(1),
            restart: Duration::from_secs(1),
            noise: true,
            record: RECORD,
            log_file: PathBuf::from("/home/pi/printer_data/logs/klippy.log"),
            klipper_path: PathBuf::from("/home/pi/klipper"),
            python_path: PathBuf::from("/home/pi/klippy-env/bin/python"),
            software_version: "v0.13.0-simulated".to_owned(),
        }
    }
}
