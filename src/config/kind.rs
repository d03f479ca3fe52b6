//! The kinds of options: how a text becomes a value, and how the value looks in `server.config`.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::configuration::Shared;
use super::gpio::Pin;
use super::path;
use super::template::Template;
use super::value::{Bounds, Scalar, Separator, Whole};

/// A kind of option.
pub trait Kind {
    /// What the option's reader gets.
    type Value;

    /// The value of a text, or a sentence that says what is wrong with it.
    #[doc(hidden)]
    fn parse(&self, text: &str, shared: &SharedRef<'_>) -> Result<Self::Value, String>;

    /// The value as JSON; `text` is what it was parsed from, `None` for a default that never was text.
    #[doc(hidden)]
    fn to_json(&self, value: &Self::Value, text: Option<&str>) -> Json;
}

/// What kinds may look at besides the text.
pub struct SharedRef<'a>(pub(super) &'a Shared);

fn text_or_null(text: Option<&str>) -> Json {
    text.map_or(Json::Null, Json::from)
}

/// One value without limits.
pub struct Single<T>(PhantomData<T>);

impl<T> Default for Single<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Scalar> Kind for Single<T> {
    type Value = T;

    fn parse(&self, text: &str, _: &SharedRef<'_>) -> Result<T, String> {
        T::parse(text)
    }

    fn to_json(&self, value: &T, _: Option<&str>) -> Json {
        value.clone().into()
    }
}

/// A whole number with limits.
pub struct Int<T> {
    pub(super) bounds: Bounds<i64>,
    value: PhantomData<T>,
}

impl<T> Default for Int<T> {
    fn default() -> Self {
        Self { bounds: Bounds::default(), value: PhantomData }
    }
}

impl<T: Whole> Kind for Int<T> {
    type Value = T;

    fn parse(&self, text: &str, _: &SharedRef<'_>) -> Result<T, String> {
        self.bounds.check(i64::parse(text)?)?;
        T::parse(text)
    }

    fn to_json(&self, value: &T, _: Option<&str>) -> Json {
        (*value).into()
    }
}

/// A number with limits.
#[derive(Default)]
pub struct Float {
    pub(super) bounds: Bounds<f64>,
}

impl Kind for Float {
    type Value = f64;

    fn parse(&self, text: &str, _: &SharedRef<'_>) -> Result<f64, String> {
        let number = f64::parse(text)?;
        self.bounds.check(number)?;
        Ok(number)
    }

    fn to_json(&self, value: &f64, _: Option<&str>) -> Json {
        (*value).into()
    }
}

/// A list.
pub struct List<T> {
    pub(super) separator: Separator,
    /// How many elements there must be.
    pub(super) count: Option<usize>,
    element: PhantomData<T>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { separator: Separator::Newline, count: None, element: PhantomData }
    }
}

impl<T: Scalar> Kind for List<T> {
    type Value = Vec<T>;

    fn parse(&self, text: &str, _: &SharedRef<'_>) -> Result<Vec<T>, String> {
        let list = self.separator.split(text).map(T::parse).collect::<Result<Vec<T>, String>>()?;
        match self.count {
            Some(count) if count != list.len() => {
                Err(format!("has {} elements instead of {count}", list.len()))
            }
            _ => Ok(list),
        }
    }

    fn to_json(&self, value: &Vec<T>, _: Option<&str>) -> Json {
        value.clone().into()
    }
}

/// A list of lists.
pub struct NestedList<T> {
    outer: Separator,
    inner: List<T>,
}

impl<T> NestedList<T> {
    pub(super) fn new([outer, separator]: [Separator; 2]) -> Self {
        Self { outer, inner: List { separator, ..List::default() } }
    }
}

impl<T: Scalar> Kind for NestedList<T> {
    type Value = Vec<Vec<T>>;

    fn parse(&self, text: &str, shared: &SharedRef<'_>) -> Result<Vec<Vec<T>>, String> {
        self.outer.split(text).map(|text| self.inner.parse(text, shared)).collect()
    }

    fn to_json(&self, value: &Vec<Vec<T>>, _: Option<&str>) -> Json {
        value.iter().map(|list| Json::from(list.clone())).collect()
    }
}

/// A dict. [`Dict::sparse`](super::OptionReader::sparse) makes it one whose keys may stand alone.
pub struct Dict<T>(PhantomData<T>);

impl<T> Default for Dict<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Scalar> Kind for Dict<T> {
    type Value = Vec<(String, T)>;

    fn parse(&self, text: &str, _: &SharedRef<'_>) -> Result<Self::Value, String> {
        entries(text, |key, value| match value {
            Some(value) => T::parse(value),
            None => Err(format!("'{key}' has no value: expected 'key=value'")),
        })
    }

    fn to_json(&self, value: &Self::Value, _: Option<&str>) -> Json {
        value.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect()
    }
}

/// A dict whose keys may stand alone, without a value.
pub struct SparseDict<T>(PhantomData<T>);

impl<T> Default for SparseDict<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Scalar> Kind for SparseDict<T> {
    type Value = Vec<(String, Option<T>)>;

    fn parse(&self, text: &str, _: &SharedRef<'_>) -> Result<Self::Value, String> {
        entries(text, |_, value| value.map(T::parse).transpose())
    }

    fn to_json(&self, value: &Self::Value, _: Option<&str>) -> Json {
        let json = |value: &Option<T>| value.clone().map_or(Json::Null, Into::into);
        value.iter().map(|(key, value)| (key.clone(), json(value))).collect()
    }
}

fn entries<V>(
    text: &str,
    mut parse: impl FnMut(&str, Option<&str>) -> Result<V, String>,
) -> Result<Vec<(String, V)>, String> {
    let mut entries: Vec<(String, V)> = Vec::new();
    for line in Separator::Newline.split(text) {
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key.trim(), Some(value.trim())),
            None => (line, None),
        };
        let value = parse(key, value)?;
        match entries.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = value,
            None => entries.push((key.to_owned(), value)),
        }
    }
    Ok(entries)
}

/// One of some words.
pub struct Choice<'a, T> {
    choices: &'a [(&'static str, T)],
    pub(super) any_case: bool,
}

impl<'a, T> Choice<'a, T> {
    pub(super) fn new(choices: &'a [(&'static str, T)]) -> Self {
        Self { choices, any_case: false }
    }
}

impl<T: Clone + PartialEq> Kind for Choice<'_, T> {
    type Value = T;

    fn parse(&self, text: &str, _: &SharedRef<'_>) -> Result<T, String> {
        let fits = |word: &str| if self.any_case { word.eq_ignore_ascii_case(text) } else { word == text };
        match self.choices.iter().find(|(word, _)| fits(word)) {
            Some((_, value)) => Ok(value.clone()),
            None => {
                let words: Vec<&str> = self.choices.iter().map(|(word, _)| *word).collect();
                Err(format!("'{text}' is none of {}", words.join(", ")))
            }
        }
    }

    fn to_json(&self, value: &T, text: Option<&str>) -> Json {
        let word = || self.choices.iter().find(|(_, known)| known == value).map(|(word, _)| *word);
        text_or_null(text.or_else(word))
    }
}

/// A path.
pub struct PathKind;

impl Kind for PathKind {
    type Value = PathBuf;

    fn parse(&self, text: &str, SharedRef(shared): &SharedRef<'_>) -> Result<PathBuf, String> {
        let data_path = shared.variables.data_path.to_string_lossy();
        let rendered = shared.engine().compile(text.trim())?.render(&[("data_path", data_path.into())]);
        let rendered = rendered.map_err(|error| error.message)?;
        if rendered.is_empty() {
            return Err("is empty".into());
        }
        Ok(path::resolve(&path::expand_home(Path::new(&rendered), shared.variables.home.as_deref())))
    }

    fn to_json(&self, _: &PathBuf, text: Option<&str>) -> Json {
        text_or_null(text)
    }
}

/// A GPIO line.
pub struct PinKind {
    pub(super) input: bool,
}

impl Kind for PinKind {
    type Value = Pin;

    fn parse(&self, text: &str, _: &SharedRef<'_>) -> Result<Pin, String> {
        if self.input { Pin::input(text) } else { Pin::output(text) }
    }

    fn to_json(&self, value: &Pin, _: Option<&str>) -> Json {
        value.to_string().into()
    }
}

/// A template.
pub struct TemplateKind;

impl Kind for TemplateKind {
    type Value = Template;

    fn parse(&self, text: &str, SharedRef(shared): &SharedRef<'_>) -> Result<Template, String> {
        shared.engine().compile(text.trim())
    }

    fn to_json(&self, value: &Template, _: Option<&str>) -> Json {
        value.source().into()
    }
}

/// A template that is rendered at once.
pub struct Rendered;

impl Kind for Rendered {
    type Value = String;

    fn parse(&self, text: &str, SharedRef(shared): &SharedRef<'_>) -> Result<String, String> {
        shared.engine().compile(text.trim())?.render(&[]).map_err(|error| error.message)
    }

    fn to_json(&self, _: &String, text: Option<&str>) -> Json {
        text_or_null(text.map(str::trim))
    }
}
