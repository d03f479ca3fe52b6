//! The start of encrypted connections, with rustls. A pair that has changed is taken without a restart, as programs
//! that renew certificates expect.

use std::io;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_io::Async;
use futures_lite::FutureExt;
use futures_rustls::TlsAcceptor;
use futures_rustls::rustls::ServerConfig;
use futures_rustls::server::TlsStream;
use smol::Timer;

use super::pair::{Files, Stamp};
use super::{HANDSHAKE_TIMEOUT, TlsOptions};
use crate::api::Warnings;
use crate::sync::lock;
use crate::tasks::unblock;

/// How often, at most, the files are looked at. They are only when a client comes.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Under what the warning of a bad pair is kept.
const WARNING: &str = "tls";

/// What connections are encrypted with.
pub struct Tls {
    files: Files,
    current: Mutex<Current>,
    warnings: Arc<Warnings>,
}

struct Current {
    config: Arc<ServerConfig>,
    stamp: Stamp,
    checked: Instant,
}

impl Tls {
    /// Reads the pair, and makes one before if that is wanted and there is none. None when there is nothing to read;
    /// a warning says why when it cannot be used.
    pub async fn open(options: TlsOptions, warnings: Arc<Warnings>) -> Option<Arc<Self>> {
        let opened = unblock(move || {
            let Some(files) = Files::find(&options)? else { return Ok(None) };
            let stamp = files.stamp();
            Ok(Some((files.read()?, files, stamp)))
        });
        match opened.await {
            Ok(Some((config, files, stamp))) => {
                let current = Mutex::new(Current { config, stamp, checked: Instant::now() });
                Some(Arc::new(Self { files, current, warnings }))
            }
            Ok(None) => None,
            Err(reason) => {
                let reason: String = reason;
                warnings.add(format!("There is no HTTPS: {reason}"));
                None
            }
        }
    }

    /// Agrees with a client on encryption.
    ///
    /// # Errors
    /// Those of the socket, and what does not speak TLS as it is spoken today, or not in time.
    pub(in crate::transport::http) async fn accept(
        &self,
        socket: Async<TcpStream>,
    ) -> io::Result<TlsStream<Async<TcpStream>>> {
        let config = self.config().await;
        let late = async {
            Timer::after(HANDSHAKE_TIMEOUT).await;
            Err(io::ErrorKind::TimedOut.into())
        };
        async { TlsAcceptor::from(config).accept(socket).await }.or(late).await
    }

    /// The pair as it is now, or the last one that could be used.
    async fn config(&self) -> Arc<ServerConfig> {
        let (config, stamp) = {
            let mut current = lock(&self.current);
            if current.checked.elapsed() < CHECK_INTERVAL {
                return current.config.clone();
            }
            current.checked = Instant::now();
            (current.config.clone(), current.stamp.clone())
        };
        let files = self.files.clone();
        let changed = unblock(move || {
            let now = files.stamp();
            (now != stamp).then(|| (now, files.read()))
        });
        let Some((stamp, read)) = changed.await else { return config };
        let mut current = lock(&self.current);
        current.stamp = stamp;
        match read {
            Ok(config) => {
                log::info!(
                    "The certificate {} has changed and is used from now on",
                    self.files.cert.display()
                );
                self.warnings.clear(WARNING);
                current.config = config;
            }
            Err(reason) => self
                .warnings
                .set(WARNING, format!("The new certificate cannot be used, the last one still is: {reason}")),
        }
        current.config.clone()
    }
}
