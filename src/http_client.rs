//! Requests to other HTTP servers, on the blocking pool. Floor 1.
//!
//! Feature `http_client`; with feature `https` also over TLS, trusting the certificate authorities of Mozilla's
//! list, or those in the file that the environment variable `SSL_CERT_FILE` names, as OpenSSL's programs do. Each request opens a connection of its own and keeps nothing afterwards: requests are rare, and an idle
//! TLS connection costs more memory than a board should spend on it.

use std::fmt;
use std::io;
use std::time::Duration;

use smol::lock::Semaphore;

use crate::tasks::unblock;

/// How many requests run at once; others wait. They share the few threads of the blocking pool with the disk.
const MAX_AT_ONCE: usize = 2;
/// How many redirections are followed.
const MAX_REDIRECTS: u32 = 5;
const USER_AGENT: &str = concat!("perigee/", env!("CARGO_PKG_VERSION"));

static PLACES: Semaphore = Semaphore::new(MAX_AT_ONCE);

/// A GET request.
#[derive(Debug, Clone)]
pub struct Get {
    /// Where to; `http` or, with the feature, `https`.
    pub url: String,
    /// Headers besides those that every request has.
    pub headers: Vec<(&'static str, String)>,
    /// How long everything together may take.
    pub timeout: Duration,
    /// The largest body, in bytes; a larger one is an error. 0 leaves the body unread.
    pub max_body: u64,
}

/// An answer, of whatever status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The `ETag` header.
    pub etag: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer: a sentence.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<ureq::Error> for Error {
    fn from(error: ureq::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

impl Get {
    /// Sends the request.
    ///
    /// # Errors
    /// No connection, no answer in time, or a body that is too large. An answer that tells of an error is an
    /// answer.
    pub async fn send(self) -> Result<Answer, Error> {
        let _place = PLACES.acquire().await;
        unblock(move || self.run()).await
    }

    fn run(self) -> Result<Answer, Error> {
        let config = ureq::Agent::config_builder();
        #[cfg(feature = "https")]
        let config = config.tls_config(authorities::config()?);
        let config = config
            .timeout_global(Some(self.timeout))
            .http_status_as_error(false)
            .max_redirects(MAX_REDIRECTS)
            .max_idle_connections(0)
            .user_agent(USER_AGENT)
            .build();
        let mut request = ureq::Agent::new_with_config(config).get(&self.url);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let mut response = request.call()?;
        let etag = response.headers().get("etag").and_then(|etag| etag.to_str().ok()).map(str::to_owned);
        let body = match self.max_body {
            0 => Vec::new(),
            // ureq counts one byte less than its limit
            limit => response.body_mut().with_config().limit(limit + 1).read_to_vec()?,
        };
        Ok(Answer { status: response.status().as_u16(), etag, body })
    }
}

#[cfg(feature = "https")]
mod authorities {
    //! Whose signatures are trusted.

    use std::ffi::OsStr;
    use std::fs;
    use std::io;

    use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

    /// Names a file with certificates in PEM form.
    const VARIABLE: &str = "SSL_CERT_FILE";

    pub(super) fn config() -> Result<TlsConfig, super::Error> {
        let roots = match std::env::var_os(VARIABLE) {
            Some(path) if !path.is_empty() => in_file(&path).map_err(|error| {
                super::Error(format!("{} (named by {VARIABLE}): {error}", path.display()))
            })?,
            _ => RootCerts::WebPki,
        };
        Ok(TlsConfig::builder().root_certs(roots).build())
    }

    fn in_file(path: &OsStr) -> io::Result<RootCerts> {
        let text = fs::read(path)?;
        let certificates: Vec<_> = parse_pem(&text)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        if certificates.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "there is no certificate in it"));
        }
        Ok(RootCerts::new_with_certs(&certificates))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Answers one request with `answer` and gives what was asked.
    fn server(answer: &'static [u8]) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 1024];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                let read = stream.read(&mut buffer).unwrap();
                request.extend_from_slice(&buffer[..read]);
            }
            // a client that has seen enough may be gone
            let _ = stream.write_all(answer);
            String::from_utf8(request).unwrap()
        });
        (url, asked)
    }

    fn get(url: &str, max_body: u64) -> Result<Answer, Error> {
        let headers = vec![("If-None-Match", "\"a\"".to_owned())];
        let timeout = Duration::from_secs(5);
        smol::block_on(Get { url: url.to_owned(), headers, timeout, max_body }.send())
    }

    #[test]
    fn an_answer_is_an_answer_whatever_it_says() {
        let (url, asked) = server(b"HTTP/1.1 404 No\r\nETag: \"b\"\r\nContent-Length: 2\r\n\r\nno");
        let answer = get(&url, 10).unwrap();
        assert_eq!(
            (answer.status, answer.etag.as_deref(), &*answer.body),
            (404, Some("\"b\""), b"no".as_slice())
        );
        assert!(asked.join().unwrap().to_ascii_lowercase().contains("if-none-match: \"a\""));
    }

    #[test]
    fn a_body_has_its_limit() {
        let body = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n01234567890123456789";
        assert!(get(&server(body).0, 10).is_err());
        assert_eq!(get(&server(body).0, 20).unwrap().body.len(), 20);
        assert!(get(&server(body).0, 0).unwrap().body.is_empty());
    }

    #[test]
    fn no_server_is_an_error() {
        for url in ["http://127.0.0.1:1/", "ftp://127.0.0.1/", "/relative", "http://[::1", ""] {
            assert!(get(url, 10).is_err(), "{url}");
        }
    }
}
