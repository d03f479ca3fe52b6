//! The arguments of a call.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::coerce::{self, ArgumentError};
use super::describe::{self, Argument};
use super::{Error, Result};
use crate::json;

/// Arguments by name, as they came in: parsed from a query or a form, or a JSON object that nobody has looked
/// into yet.
#[derive(Debug)]
pub enum Params {
    /// From an HTTP request, merged in the order of spec api.md §0.3.
    Map(Map<String, Value>),
    /// The text of a JSON object, from JSON-RPC.
    Raw(Box<RawValue>),
}

impl Params {
    /// No arguments.
    pub fn none() -> Self {
        Self::Map(Map::new())
    }

    /// The arguments of a JSON-RPC request. `params` must be an object (spec api.md §0.5).
    pub fn from_raw(raw: &RawValue) -> Option<Self> {
        raw.get().trim_start().starts_with('{').then(|| Self::Raw(raw.to_owned()))
    }

    /// Reads the arguments into the struct of an endpoint, with the field's coercions (spec api.md §0.3):
    /// numbers and booleans in strings, comma separated lists. Unknown arguments are ignored, `null` counts as
    /// absent.
    ///
    /// # Errors
    /// 400 naming the argument that is missing or cannot be read.
    pub fn read<T: DeserializeOwned>(self) -> Result<T> {
        let map = self.into_map()?;
        coerce::read(map).map_err(|ArgumentError(message)| Error::bad_request(message))
    }

    /// All arguments as a map.
    ///
    /// # Errors
    /// 400 when the JSON nests too deeply to be read.
    pub fn into_map(self) -> Result<Map<String, Value>> {
        match self {
            Self::Map(map) => Ok(map),
            Self::Raw(raw) => serde_json::from_str(raw.get())
                .map_err(|error| Error::bad_request(format!("Invalid params: {error}"))),
        }
    }

    /// All arguments as the text of a JSON object, to be passed on.
    pub fn into_raw(self) -> Box<RawValue> {
        match self {
            Self::Map(map) => json::to_raw(&map),
            Self::Raw(raw) => raw,
        }
    }
}

/// What a handler can take as its arguments.
pub trait FromParams: Sized + 'static {
    /// Reads them.
    ///
    /// # Errors
    /// 400 naming the argument that is wrong.
    fn from_params(params: Params) -> Result<Self>;

    /// Names and types of the arguments, for the description of the API.
    fn describe() -> Vec<Argument>;
}

impl<T: DeserializeOwned + 'static> FromParams for T {
    fn from_params(params: Params) -> Result<Self> {
        params.read()
    }

    fn describe() -> Vec<Argument> {
        describe::arguments::<T>()
    }
}

/// For handlers that pass on what they got.
impl FromParams for Params {
    fn from_params(params: Params) -> Result<Self> {
        Ok(params)
    }

    fn describe() -> Vec<Argument> {
        Vec::new()
    }
}

/// The arguments of an endpoint that takes none.
#[derive(Debug, serde::Deserialize)]
pub struct NoParams {}
