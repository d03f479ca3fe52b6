//! What can go wrong in the database.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// What a storage operation returns.
pub type Result<T> = std::result::Result<T, Error>;

/// The class of an error: says what a caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is no such namespace, record or field.
    NotFound,
    /// The namespace is not open to this caller.
    Forbidden,
    /// The key or the value cannot be stored as it is.
    BadRequest,
    /// The disk or the database is full.
    Full,
    /// The database is used by another process, or closed.
    Unavailable,
    /// The disk failed, or the file is damaged.
    Failed,
}

/// A failed storage operation. Cloning is cheap: one failed commit answers all writes that it held.
#[derive(Clone, Debug)]
pub struct Error {
    kind: Kind,
    message: Cow<'static, str>,
    cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of a class, with a message that the caller may see.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), cause: None }
    }

    /// There is no such thing.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// The request is wrong.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::BadRequest, message)
    }

    /// The disk or the file failed.
    pub fn failed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// Keeps the error that led to this one, for the log.
    #[must_use]
    pub fn caused_by(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.cause = Some(Arc::new(cause));
        self
    }

    /// An input or output error; `what` says what was tried ("open '/x/y'").
    pub fn io(what: impl fmt::Display, error: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let (kind, reason) = match error.kind() {
            Io::NotFound => (Kind::NotFound, "does not exist".into()),
            Io::StorageFull | Io::QuotaExceeded => (Kind::Full, "the disk is full".into()),
            Io::ReadOnlyFilesystem => (Kind::Failed, "the file system is read-only".into()),
            _ => (Kind::Failed, error.to_string()),
        };
        Self::new(kind, format!("Failed to {what}: {reason}")).caused_by(error)
    }

    /// The class.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The text for the caller.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The HTTP status that fits the class.
    pub fn status(&self) -> u16 {
        match self.kind {
            Kind::NotFound => 404,
            Kind::Forbidden => 403,
            Kind::BadRequest => 400,
            Kind::Full => 507,
            Kind::Unavailable => 503,
            Kind::Failed => 500,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.cause {
            Some(cause) if self.kind != Kind::BadRequest => write!(f, " ({cause})"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl From<heed::Error> for Error {
    fn from(error: heed::Error) -> Self {
        match error {
            heed::Error::Io(error) => Self::io("use the database", error),
            heed::Error::Mdb(heed::MdbError::MapFull) => Self::new(Kind::Full, "The database is full"),
            other => Self::failed("The database failed").caused_by(other),
        }
    }
}
