//! The one error that a remote call can end with.

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;

/// What a handler returns.
pub type Result<T> = std::result::Result<T, Error>;

/// An error as the caller gets it: an HTTP status, a message for people, and a cause that only the log gets.
///
/// Transports turn it into an HTTP error body (spec api.md §0.4) or a JSON-RPC error object (§0.5).
#[derive(Debug)]
pub struct Error {
    status: u16,
    message: Cow<'static, str>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    data: Option<Box<RawValue>>,
}

impl Error {
    /// An error with an HTTP status code (400 to 599) and a message that the caller may see.
    pub fn new(status: u16, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), cause: None, data: None }
    }

    /// 400: the request itself is wrong.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, message)
    }

    /// 401: the caller is not known.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized")
    }

    /// 403: the caller is known and may not, or nobody may.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(403, message)
    }

    /// 404: there is no such thing.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(404, message)
    }

    /// 405: the thing exists and does not allow this.
    pub fn method_not_allowed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(405, message)
    }

    /// 500: our own failure.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(500, message)
    }

    /// 503: what is needed is not there now; trying again later can help.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(503, message)
    }

    /// 504: something that was asked did not answer in time.
    pub fn timeout(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(504, message)
    }

    /// Keeps the error that led to this one, for the log.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds JSON that a JSON-RPC caller gets as `error.data`.
    #[must_use]
    pub fn with_data(mut self, data: Box<RawValue>) -> Self {
        self.data = Some(data);
        self
    }

    /// The HTTP status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The text that the caller gets.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// JSON for `error.data`, if any.
    pub fn data(&self) -> Option<&RawValue> {
        self.data.as_deref()
    }

    /// An input or output error on a file that the caller named: 404 where it is missing, 400 where the
    /// request cannot be carried out, 500 where the disk failed. `what` says what was tried ("create
    /// directory 'gcodes/x'").
    pub fn from_io(what: impl fmt::Display, error: std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        let (status, reason) = match error.kind() {
            Kind::NotFound => (404, "does not exist".into()),
            Kind::PermissionDenied => (403, "permission denied".into()),
            Kind::AlreadyExists => (400, "already exists".into()),
            Kind::DirectoryNotEmpty => (400, "directory is not empty".into()),
            Kind::NotADirectory => (400, "not a directory".into()),
            Kind::IsADirectory => (400, "is a directory".into()),
            Kind::InvalidInput | Kind::InvalidFilename => (400, "invalid name".into()),
            Kind::StorageFull | Kind::QuotaExceeded => (507, "the disk is full".into()),
            Kind::ReadOnlyFilesystem => (500, "the file system is read-only".into()),
            _ => (500, Cow::Owned::<str>(error.to_string())),
        };
        Self::new(status, format!("Failed to {what}: {reason}")).caused_by(error)
    }
}

impl From<crate::storage::Error> for Error {
    fn from(error: crate::storage::Error) -> Self {
        Self::new(error.status(), error.message().to_owned()).caused_by(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.message)?;
        let mut cause = self.cause.as_ref().map(|c| &**c as &dyn std::error::Error);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|c| &**c as &(dyn std::error::Error + 'static))
    }
}
