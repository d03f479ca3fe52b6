//! The configuration as a whole.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use serde_json::Value as Json;

use super::error::{ConfigError, ConfigErrors};
use super::record::Record;
use super::section::Section;
use super::source::Source;
use super::template::Engine;
use super::{path, secrets};
use crate::sync::lock;

/// What paths in options may refer to.
#[derive(Clone, Debug)]
pub struct Variables {
    /// `{data_path}`; also where the secrets file is.
    pub data_path: PathBuf,
    /// `~`
    pub home: Option<PathBuf>,
}

impl Variables {
    /// With the home folder of the process's user.
    pub fn new(data_path: PathBuf) -> Self {
        Self { data_path, home: std::env::home_dir() }
    }
}

/// A configuration. Cheap to clone; all clones share what was read from it.
#[derive(Clone)]
pub struct Config {
    pub(super) shared: Arc<Shared>,
}

/// What a configuration and its sections share.
pub(super) struct Shared {
    pub(super) source: Source,
    pub(super) variables: Variables,
    record: Mutex<Record>,
    engine: OnceLock<Engine>,
}

impl Shared {
    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
    }

    /// The maker of templates; before the secrets are read it knows none.
    pub(super) fn engine(&self) -> &Engine {
        self.engine.get_or_init(|| Engine::new(&Json::Null))
    }
}

/// The section that every configuration has.
const SERVER: &str = "server";

impl Config {
    /// Reads a configuration file, all that it includes, and the secrets file.
    ///
    /// The errors are all that the files have, not just the first. A secrets file that cannot be used is a
    /// warning, since only the options that refer to it are lost.
    pub fn read(file: &Path, variables: &Variables) -> Result<Self, ConfigErrors> {
        let file = path::expand_home(file, variables.home.as_deref());
        let file = std::path::absolute(&file).unwrap_or(file);
        Self::with_server(Source::read(&file)?, variables)
    }

    /// Reads `text` as if it stood in `file`.
    pub fn parse(file: impl AsRef<Path>, text: &str, variables: &Variables) -> Result<Self, ConfigErrors> {
        Self::with_server(Source::parse(file.as_ref(), text)?, variables)
    }

    /// Reads a file in the same syntax that is not the server's configuration: it needs no section `[server]`
    /// and knows no secrets.
    pub fn read_supplemental(file: &Path, variables: &Variables) -> Result<Self, ConfigErrors> {
        Ok(Self::new(
            Source::read(&path::resolve(&path::expand_home(file, variables.home.as_deref())))?,
            variables,
        ))
    }

    fn new(source: Source, variables: &Variables) -> Self {
        let (variables, record) = (variables.clone(), Mutex::default());
        Self { shared: Arc::new(Shared { source, variables, record, engine: OnceLock::new() }) }
    }

    fn with_server(source: Source, variables: &Variables) -> Result<Self, ConfigErrors> {
        if source.section(SERVER).is_none() {
            let file = source.files.first().map(|file| file.path.clone());
            let message = "there is no section [server]".to_owned();
            return Err(ConfigError { file, line: None, message }.into());
        }
        let config = Self::new(source, variables);
        let secrets = config.read_secrets()?;
        let _ = config.shared.engine.set(Engine::new(&secrets));
        Ok(config)
    }

    fn read_secrets(&self) -> Result<Json, ConfigError> {
        let section = self.section_or_server("secrets");
        let named = section.string("secrets_path").deprecated().optional()?;
        let home = self.shared.variables.home.as_deref();
        let usual = self.shared.variables.data_path.join(secrets::FILE_NAME);
        let named = named.map(|named| path::resolve(&path::expand_home(Path::new(&named), home)));
        let found = match (secrets::read(&usual), &named) {
            (Ok(None), Some(named)) => secrets::read(named),
            (found, _) => found,
        };
        Ok(match found {
            Ok(Some(secrets)) => secrets,
            Ok(None) => {
                if let Some(named) = named {
                    section.warn(format!("option 'secrets_path': there is no file {}", named.display()));
                }
                Json::Object(Default::default())
            }
            Err(reason) => {
                section.warn(reason);
                Json::Object(Default::default())
            }
        })
    }

    /// The section of this name, which counts as known from now on even if it is not in the files.
    pub fn section(&self, name: &str) -> Section {
        Section::new(self.shared.clone(), name, None)
    }

    /// As [`Config::section`]; but if the files have no such section, its options are looked for in
    /// `[server]`, where old configurations have them (with a warning that they have moved).
    pub fn section_or_server(&self, name: &str) -> Section {
        Section::new(self.shared.clone(), name, Some(SERVER))
    }

    /// Whether the files have a section of this name.
    pub fn has_section(&self, name: &str) -> bool {
        self.shared.source.section(name).is_some()
    }

    /// The sections whose first word is `word`, such as all `[power <name>]`, in the order of the files.
    pub fn sections_named(&self, word: &str) -> Vec<Section> {
        let named = |name: &&str| name.split_whitespace().next() == Some(word);
        self.section_names().filter(named).map(|name| self.section(name)).collect()
    }

    /// The names of all sections, in the order of the files.
    pub fn section_names(&self) -> impl Iterator<Item = &str> {
        self.shared.source.sections.iter().map(|section| &*section.name)
    }

    /// The files that were read, absolute, the main one first.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.shared.source.files.iter().map(|file| &*file.path)
    }

    /// What is deprecated, has moved, or was warned of by a section's reader so far.
    pub fn warnings(&self) -> Vec<String> {
        self.shared.record().warnings.clone()
    }

    /// What was wrong with the options that were read so far: each was also returned to its reader.
    pub fn errors(&self) -> ConfigErrors {
        self.shared.record().errors.clone()
    }

    /// Says that the sections whose first word is `word` belong to a component that needs a Cargo feature which
    /// this build does not have.
    pub fn mark_unavailable(&self, word: &str, feature: &'static str) {
        self.shared.record().unavailable.push((word.to_owned(), feature));
    }
}
