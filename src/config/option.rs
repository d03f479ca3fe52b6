//! The reading of one option.

use serde_json::Value as Json;

use super::error::ConfigError;
use super::kind::{
    Choice, Dict, Float, Int, Kind, List, NestedList, PathKind, PinKind, Rendered, SharedRef, Single, SparseDict,
    TemplateKind,
};
use super::report;
use super::section::{Found, Section};
use super::template::Template;
use super::value::{Scalar, Separator, Whole};

/// Where a deprecated option's successor is explained.
const DOCUMENTATION: &str = "https://moonraker.readthedocs.io/en/latest/configuration/";

/// An option about to be read. Ends in [`required`](Self::required), [`optional`](Self::optional) or `or`.
#[must_use]
pub struct OptionReader<'a, K> {
    section: &'a Section,
    name: &'a str,
    kind: K,
    deprecated: bool,
    secret: bool,
}

impl<'a, K: Kind> OptionReader<'a, K> {
    pub(super) fn new(section: &'a Section, name: &'a str, kind: K) -> Self {
        Self { section, name, kind, deprecated: false, secret: false }
    }

    /// Warns if the files have the option.
    pub fn deprecated(mut self) -> Self {
        self.deprecated = true;
        self
    }

    /// Hides the option's value from `server.config`, warnings and the log, unless it only names a secret.
    pub fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// The value; a missing option is an error.
    pub fn required(self) -> Result<K::Value, ConfigError> {
        match self.read()? {
            Some(value) => Ok(value),
            None if self.section.exists() => Err(self.section.error(self.name, "is missing")),
            None => Err(self.section.error(self.name, "the section is missing")),
        }
    }

    /// The value, or `None` if the option is missing.
    pub fn optional(self) -> Result<Option<K::Value>, ConfigError> {
        let value = self.read()?;
        if value.is_none() {
            self.keep_default(Json::Null);
        }
        Ok(value)
    }

    fn or_value(self, default: K::Value) -> Result<K::Value, ConfigError> {
        Ok(match self.read()? {
            Some(value) => value,
            None => {
                self.keep_default(self.kind.to_json(&default, None));
                default
            }
        })
    }

    fn or_text(self, default: &str) -> Result<K::Value, ConfigError> {
        match self.read()? {
            Some(value) => Ok(value),
            None => {
                let value = self.parse(default)?;
                self.keep_default(self.kind.to_json(&value, Some(default)));
                Ok(value)
            }
        }
    }

    fn parse(&self, text: &str) -> Result<K::Value, ConfigError> {
        self.kind.parse(text, &SharedRef(&self.section.shared)).map_err(|reason| {
            // The reason may quote the value.
            let reason = if self.secret { "the value is not valid" } else { &reason };
            self.section.error(self.name, reason)
        })
    }

    fn read(&self) -> Result<Option<K::Value>, ConfigError> {
        let Some(found) = self.section.find(self.name) else { return Ok(None) };
        self.note(&found);
        let text = found.option.value.as_str();
        let value = self.parse(text)?;
        let json = if self.secret { report::masked(text) } else { None };
        let json = json.map_or_else(|| self.kind.to_json(&value, Some(text)), Json::from);
        self.section.shared.record().section_mut(&found.counts_to).keep(self.name, json);
        Ok(Some(value))
    }

    /// Notes what the option's presence means, whatever its value.
    fn note(&self, found: &Found<'_>) {
        let mut record = self.section.shared.record();
        if self.secret && !record.is_secret(&found.stands_in, self.name) {
            record.secret.push((found.stands_in.clone(), self.name.to_owned()));
        }
        let section = self.section.name();
        if self.deprecated {
            record.warn(format!(
                "[{section}]: Option '{}' is deprecated and may stop working. What replaces it: {DOCUMENTATION}",
                self.name
            ));
        }
        if *found.counts_to != *section {
            record.warn(format!(
                "[{}]: Option '{}' has been moved to section [{section}]. Please move it there: {DOCUMENTATION}",
                found.counts_to, self.name
            ));
        }
    }

    fn keep_default(&self, json: Json) {
        self.section.shared.record().section_mut(self.section.shared_name()).keep(self.name, json);
    }
}

macro_rules! limits {
    ($number:ty) => {
        /// The value must be greater than this.
        pub fn above(mut self, limit: $number) -> Self {
            self.kind.bounds.above = Some(limit);
            self
        }

        /// The value must be less than this.
        pub fn below(mut self, limit: $number) -> Self {
            self.kind.bounds.below = Some(limit);
            self
        }

        /// The value must not be less than this.
        pub fn min(mut self, limit: $number) -> Self {
            self.kind.bounds.min = Some(limit);
            self
        }

        /// The value must not be greater than this.
        pub fn max(mut self, limit: $number) -> Self {
            self.kind.bounds.max = Some(limit);
            self
        }
    };
}

impl<T: Whole> OptionReader<'_, Int<T>> {
    limits!(i64);

    /// The value, or a default, which no limit applies to.
    pub fn or(self, default: T) -> Result<T, ConfigError> {
        self.or_value(default)
    }
}

impl OptionReader<'_, Float> {
    limits!(f64);

    /// The value, or a default, which no limit applies to.
    pub fn or(self, default: f64) -> Result<f64, ConfigError> {
        self.or_value(default)
    }
}

impl OptionReader<'_, Single<String>> {
    /// The value, or a default.
    pub fn or(self, default: impl Into<String>) -> Result<String, ConfigError> {
        self.or_value(default.into())
    }
}

impl OptionReader<'_, Single<bool>> {
    /// The value, or a default.
    pub fn or(self, default: bool) -> Result<bool, ConfigError> {
        self.or_value(default)
    }
}

impl<'a, T: Scalar> OptionReader<'a, List<T>> {
    /// What stands between the elements, if not newlines.
    pub fn separated_by(mut self, separator: Separator) -> Self {
        self.kind.separator = separator;
        self
    }

    /// How many elements there must be.
    pub fn count(mut self, count: usize) -> Self {
        self.kind.count = Some(count);
        self
    }

    /// The elements, or default ones.
    pub fn or(self, default: impl Into<Vec<T>>) -> Result<Vec<T>, ConfigError> {
        self.or_value(default.into())
    }

    /// The elements, or none.
    pub fn or_empty(self) -> Result<Vec<T>, ConfigError> {
        self.or_value(Vec::new())
    }
}

impl<T: Scalar> OptionReader<'_, NestedList<T>> {
    /// The lists, or none.
    pub fn or_empty(self) -> Result<Vec<Vec<T>>, ConfigError> {
        self.or_value(Vec::new())
    }
}

impl<'a, T: Scalar> OptionReader<'a, Dict<T>> {
    /// Keys may stand alone, without a value.
    pub fn sparse(self) -> OptionReader<'a, SparseDict<T>> {
        let Self { section, name, kind: _, deprecated, secret } = self;
        OptionReader { section, name, kind: SparseDict::default(), deprecated, secret }
    }

    /// The entries, or none.
    pub fn or_empty(self) -> Result<Vec<(String, T)>, ConfigError> {
        self.or_value(Vec::new())
    }
}

impl<T: Scalar> OptionReader<'_, SparseDict<T>> {
    /// The entries, or none.
    pub fn or_empty(self) -> Result<Vec<(String, Option<T>)>, ConfigError> {
        self.or_value(Vec::new())
    }
}

impl<T: Clone + PartialEq> OptionReader<'_, Choice<'_, T>> {
    /// Upper and lower case are the same.
    pub fn any_case(mut self) -> Self {
        self.kind.any_case = true;
        self
    }

    /// The value, or a default.
    pub fn or(self, default: T) -> Result<T, ConfigError> {
        self.or_value(default)
    }
}

impl OptionReader<'_, PathKind> {
    /// The path, or that of a default text, which is a template too.
    pub fn or(self, default: &str) -> Result<std::path::PathBuf, ConfigError> {
        self.or_text(default)
    }
}

impl OptionReader<'_, PinKind> {
    /// The pin, or a default one.
    pub fn or(self, default: &str) -> Result<super::Pin, ConfigError> {
        self.or_text(default)
    }
}

impl OptionReader<'_, TemplateKind> {
    /// The template, or that of a default text.
    pub fn or(self, default: &str) -> Result<Template, ConfigError> {
        self.or_text(default)
    }
}

impl OptionReader<'_, Rendered> {
    /// The rendered text, or that of a default, which is a template too.
    pub fn or(self, default: &str) -> Result<String, ConfigError> {
        self.or_text(default)
    }
}
