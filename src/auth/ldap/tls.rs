//! LDAP over TLS. The server has to have a certificate that can be checked.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::tasks::unblock;
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use futures_rustls::pki_types::pem::PemObject;
use futures_rustls::pki_types::{CertificateDer, ServerName};
use futures_rustls::rustls::crypto::ring::default_provider;
use futures_rustls::rustls::{ClientConfig, RootCertStore};
use smol::net::TcpStream;

/// Where systems keep the certificates that they trust: Debian, Fedora, Alpine.
const SYSTEM: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Trusts what is signed with the certificates in a file, or with those that the system trusts.
async fn config(file: Option<PathBuf>) -> io::Result<Arc<ClientConfig>> {
    unblock(move || {
        let system = || SYSTEM.map(Path::new).into_iter().find(|path| path.exists()).map(Path::to_owned);
        let file = file.or_else(system).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "there are no certificates to trust, see ca_file")
        })?;
        let mut roots = RootCertStore::empty();
        let found = CertificateDer::pem_file_iter(&file).map_err(io::Error::other)?;
        roots.add_parsable_certificates(found.filter_map(Result::ok));
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
        Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
    })
    .await
}

/// Agrees with the server on encryption.
pub(super) async fn connect(
    host: &str,
    ca_file: Option<PathBuf>,
    socket: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(config(ca_file).await?).connect(name, socket).await
}
