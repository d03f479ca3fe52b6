//! What a call answers.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::json;

/// The JSON text of a successful answer, before a transport wraps it in `{"result": …}` or a JSON-RPC response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply(String);

impl Reply {
    /// Serialises any value.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        Self(json::to_text(value))
    }

    /// Serialises a reply of fixed shape with miniserde, whose code is smaller than serde's.
    pub fn fixed<T: miniserde::Serialize + ?Sized>(value: &T) -> Self {
        Self(miniserde::json::to_string(value))
    }

    /// Text that is known to be JSON: built by a serializer, or cut out of parsed JSON.
    pub fn from_json_text(text: String) -> Self {
        Self(text)
    }

    /// The string `"ok"`, which is what calls without a result of their own answer.
    pub fn ok() -> Self {
        Self("\"ok\"".to_owned())
    }

    /// Nothing at all, for calls whose HTTP answer is 204; over JSON-RPC it is `null`.
    pub fn none() -> Self {
        Self(String::new())
    }

    /// Whether it is nothing at all.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        if self.is_none() { "null" } else { &self.0 }
    }

    /// The JSON text, owned.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl From<Box<RawValue>> for Reply {
    fn from(raw: Box<RawValue>) -> Self {
        Self(Box::<str>::from(raw).into_string())
    }
}
