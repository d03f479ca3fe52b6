//! The addresses and ports where clients are accepted.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_io::Async;

use super::StartError;
use super::settings::{self, ServerOptions};
use crate::api::Warnings;
use crate::config::Paths;
use crate::tasks::unblock;
use crate::transport::http::{self, Listener, Tls, TlsOptions};

/// How long the port is tried for when another process still holds it: a restart by a service manager may
/// overlap with the end of the former process.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(3);

/// How often it is tried within that time.
const LISTEN_RETRY: Duration = Duration::from_millis(100);

/// Listens for HTTP, and for HTTPS where there is a certificate.
///
/// # Errors
/// A port for HTTP that is taken. That there is no HTTPS is a warning.
pub(super) async fn all(
    options: &ServerOptions,
    paths: &Paths,
    warnings: &Arc<Warnings>,
) -> Result<Vec<Listener>, StartError> {
    let failed = |port, error| StartError::Listen(format!("{} port {port}", options.host), error);
    let plain = listen(&options.host, options.port, "http").await;
    let plain = plain.map_err(|error| failed(options.port, error))?;
    let mut listeners: Vec<Listener> =
        plain.into_iter().map(|socket| Listener { socket, tls: None }).collect();
    let Some(port) = options.ssl_port else { return Ok(listeners) };
    let files = TlsOptions {
        folder: paths.data_path.join("certs"),
        others: options.ssl_files.clone(),
        make: options.ssl_auto,
    };
    if let Some(tls) = Tls::open(files, warnings.clone()).await {
        match listen(&options.host, port, "https").await {
            Ok(secure) => {
                listeners.extend(secure.into_iter().map(|socket| Listener { socket, tls: Some(tls.clone()) }))
            }
            Err(error) => warnings.add(format!("There is no HTTPS: {}", failed(port, error))),
        }
    }
    Ok(listeners)
}

async fn listen(host: &str, port: u16, scheme: &str) -> io::Result<Vec<Async<TcpListener>>> {
    let name = host.to_owned();
    let addresses = unblock(move || settings::addresses(&name, port)).await?;
    let begun = Instant::now();
    let mut listeners = Vec::new();
    for address in addresses {
        listeners.push(loop {
            match http::listen(address) {
                Ok(listener) => break listener,
                Err(taken)
                    if taken.kind() == io::ErrorKind::AddrInUse && begun.elapsed() < LISTEN_TIMEOUT =>
                {
                    smol::Timer::after(LISTEN_RETRY).await;
                }
                Err(other) => return Err(other),
            }
        });
        log::info!("Listening on {scheme}://{address}");
    }
    Ok(listeners)
}
