//! What Klippy sends.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::{Error, Result};

/// A frame from Klippy, cut into slices but not decoded.
#[derive(Deserialize)]
pub(super) struct Message<'a> {
    /// The request that this answers.
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) result: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
    /// The method of a message that Klippy sends by itself.
    #[serde(borrow)]
    pub(super) method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) params: Option<&'a RawValue>,
}

impl Message<'_> {
    /// The answer to a request (spec behaviour.md §2.1): Klippy's error message with status 400.
    pub(super) fn outcome(&self) -> Result<Box<RawValue>> {
        #[derive(Deserialize)]
        struct Failure {
            message: String,
        }
        match (self.result, self.error) {
            (Some(result), None) => Ok(result.to_owned()),
            (_, Some(error)) => Err(Error::bad_request(
                serde_json::from_str::<Failure>(error.get())
                    .map_or_else(|_| error.get().to_owned(), |failure| failure.message),
            )),
            (None, None) => Err(Error::bad_request("Malformed Klippy Response")),
        }
    }
}

/// Fields of objects as Klippy sends them in a status update, a query or a subscription.
#[derive(Deserialize)]
pub(super) struct Status<'a> {
    #[serde(borrow)]
    pub(super) eventtime: &'a RawValue,
    #[serde(borrow)]
    pub(super) status: BTreeMap<Cow<'a, str>, BTreeMap<Cow<'a, str>, &'a RawValue>>,
}

impl<'a> Status<'a> {
    /// Reads the parameters of a status update or the result of a query.
    pub(super) fn parse(text: &'a RawValue) -> Result<Self> {
        let status: Self = serde_json::from_str(text.get())
            .map_err(|error| Error::bad_request("Malformed Klippy Response").caused_by(error))?;
        // It goes out to clients as it is, so it must be the number that it should be.
        if status.eventtime.get().parse::<f64>().is_err() {
            return Err(Error::bad_request("Malformed Klippy Response"));
        }
        Ok(status)
    }
}

/// The answer to `info` (seed 002, "info"), as far as it is used here.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Info {
    /// `startup`, `ready`, `error` or `shutdown`.
    pub state: String,
    /// What Klippy says of its state.
    #[serde(default)]
    pub state_message: String,
    /// Klipper's version.
    #[serde(default)]
    pub software_version: String,
    /// Where Klipper's source lies.
    #[serde(default)]
    pub klipper_path: String,
    /// Its Python interpreter.
    #[serde(default)]
    pub python_path: String,
    /// Its log file.
    #[serde(default)]
    pub log_file: String,
    /// Its configuration file.
    #[serde(default)]
    pub config_file: String,
}
