//! `moonraker.conf`: reading, typed options, warnings. Knows no component.
//!
//! [`Config::read`] reads the files. A component takes its [`Section`] and reads each option in one line:
//!
//! ```
//! # use perigee::config::{Config, ConfigError, Variables};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let config = Config::parse("/x/moonraker.conf", "[server]\nport: 7126\n", &Variables::new("/x".into()))?;
//! let server = config.section("server");
//! let port: u16 = server.int("port").min(1).or(7125)?;
//! let host = server.string("host").or("0.0.0.0")?;
//! let certificate = server.path("ssl_certificate_path").deprecated().optional()?;
//! # assert_eq!((port, host.as_str(), certificate), (7126, "0.0.0.0", None));
//! # Ok(())
//! # }
//! ```
//!
//! What was read, defaults included, is what `server.config` reports ([`Config::to_json`]); what nobody read is
//! warned of ([`Config::unparsed_warnings`]).
//!
//! Beside it: the process's options ([`ProcessOptions`]), the data folder ([`data_folder`]), the backup of the
//! last configuration that worked ([`backup`]) and the one for a printer that has none ([`default_file`]).

pub mod backup;
mod configuration;
pub mod data_folder;
pub mod default_file;
mod error;
mod file;
mod gpio;
mod include;
pub mod kind;
mod line;
mod option;
mod path;
mod process;
mod record;
mod report;
mod secrets;
mod section;
mod source;
mod template;
#[cfg(test)]
mod tests;
mod value;

pub use configuration::{Config, Variables};
pub use error::{ConfigError, ConfigErrors, MAX_ERRORS};
pub use gpio::{Bias, Pin};
pub use include::{MAX_DEPTH as MAX_GLOB_DEPTH, MAX_ENTRIES as MAX_GLOB_ENTRIES};
pub use option::OptionReader;
pub use path::{expand_home, resolve};
pub use process::{Parsed, Paths, ProcessOptions, TakeValue, USAGE, UsageError, split_subcommand};
pub use record::MAX_WARNINGS;
pub use report::MASK;
pub use secrets::{FILE_NAME as SECRETS_FILE, MAX_SIZE as MAX_SECRETS_SIZE};
pub use section::Section;
pub use source::{MAX_FILES, MAX_INCLUDE_DEPTH, MAX_OPTIONS, MAX_SECTIONS, MAX_SIZE};
#[cfg(feature = "templates")]
pub use template::{MAX_FUEL, from_value, to_value};
pub use template::{MAX_OUTPUT, Template, TemplateError};
pub use value::{Bounds, Scalar, Separator, Whole};
