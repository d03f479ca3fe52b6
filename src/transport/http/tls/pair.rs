//! The files of a certificate and its key: reading them, and making a pair for those who have none.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use futures_rustls::pki_types::pem::{self, PemObject};
use futures_rustls::pki_types::{CertificateDer, PrivateKeyDer};
use futures_rustls::rustls::crypto::ring::default_provider;
use futures_rustls::rustls::server::ServerSessionMemoryCache;
use futures_rustls::rustls::{Error, ServerConfig};
use rcgen::{CertificateParams, DnType, KeyPair};

use super::{NAMES, TlsOptions};
use crate::atomic_file;

/// The largest file that is read, in bytes: a chain of certificates has a few thousand.
const MAX_FILE: u64 = 256 * 1024;

/// How many clients that come again need not agree on everything anew.
const SESSIONS: usize = 32;

/// Permissions of a key.
const KEY_MODE: u32 = 0o600;

/// Permissions of a certificate, which is for everybody.
const CERT_MODE: u32 = 0o644;

/// Where a pair is.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) cert: PathBuf,
    key: PathBuf,
}

/// By what a change of the files is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp([Option<(SystemTime, u64, u64)>; 2]);

impl Files {
    /// The files to use; none when there are none, and none are wanted. Makes them if that is asked for.
    ///
    /// # Errors
    /// What is missing, or why they cannot be made.
    pub(super) fn find(options: &TlsOptions) -> Result<Option<Self>, String> {
        let [cert, key] = NAMES.map(|name| options.folder.join(name));
        let own = Self { cert, key };
        if let Some((cert, key)) = &options.others
            && !(own.cert.exists() && own.key.exists())
        {
            return Ok(Some(Self { cert: cert.clone(), key: key.clone() }));
        }
        match (own.cert.exists(), own.key.exists()) {
            (true, true) => Ok(Some(own)),
            (false, _) if options.make => {
                let made = own.make(&options.folder);
                made.map_err(|reason| format!("no certificate can be made: {reason}"))?;
                Ok(Some(own))
            }
            (true, false) => Err(format!("{} is missing", own.key.display())),
            (false, true) => Err(format!("{} is missing", own.cert.display())),
            (false, false) => Ok(None),
        }
    }

    pub(super) fn stamp(&self) -> Stamp {
        use std::os::unix::fs::MetadataExt;
        Stamp([&self.cert, &self.key].map(|path| {
            let found = path.metadata().ok()?;
            Some((found.modified().ok()?, found.len(), found.ino()))
        }))
    }

    /// Reads the pair.
    ///
    /// # Errors
    /// Which file is wrong, and how.
    pub(super) fn read(&self) -> Result<Arc<ServerConfig>, String> {
        let said = |path: &Path, what: &str| format!("{}: {what}", path.display());
        let text = |path: &Path| read_small(path).map_err(|error| said(path, &error.to_string()));
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text(&self.cert)?).collect();
        let chain = chain.map_err(|error| said(&self.cert, &pem_error(&error)))?;
        if chain.is_empty() {
            return Err(said(&self.cert, "there is no certificate in it"));
        }
        let key = PrivateKeyDer::from_pem_slice(&text(&self.key)?);
        let key = key.map_err(|error| said(&self.key, &pem_error(&error)))?;
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
        let config = builder.with_no_client_auth().with_single_cert(chain, key);
        let mut config = config.map_err(|error| match error {
            Error::InconsistentKeys(_) => {
                format!("{} is not the key of {}", self.key.display(), self.cert.display())
            }
            other => format!("{} and {}: {other}", self.cert.display(), self.key.display()),
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        Ok(Arc::new(config))
    }

    /// Makes a certificate that this machine signs itself, for the names that it has by itself. It does not expire:
    /// many boards do not know the time when they start. A key that is there already is kept.
    fn make(&self, folder: &Path) -> Result<(), String> {
        let host = nix::unistd::gethostname().map_err(|error| error.to_string())?;
        let host = host.to_string_lossy().to_ascii_lowercase();
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let key = match std::fs::read_to_string(&self.key) {
            Ok(text) => KeyPair::from_pem(&text).map_err(|error| error.to_string())?,
            Err(_) => {
                let key = KeyPair::generate().map_err(|error| error.to_string())?;
                let written = atomic_file::write(&self.key, key.serialize_pem().as_bytes(), KEY_MODE);
                written.map_err(|error| error.to_string())?;
                key
            }
        };
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        if !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        {
            names.extend([format!("{host}.local"), host.clone()]);
        }
        let mut params = CertificateParams::new(names).map_err(|error| error.to_string())?;
        params.distinguished_name.push(DnType::CommonName, host);
        let cert = params.self_signed(&key).map_err(|error| error.to_string())?;
        atomic_file::write(&self.cert, cert.pem().as_bytes(), CERT_MODE)
            .map_err(|error| error.to_string())?;
        log::info!("Made the certificate {}", self.cert.display());
        Ok(())
    }
}

fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

fn pem_error(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "there is none in it".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn made() -> (tempfile::TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        let options = TlsOptions { folder: folder.path().join("certs"), others: None, make: true };
        let files = Files::find(&options).unwrap().unwrap();
        (folder, files)
    }

    #[test]
    fn a_pair_is_made_once() {
        let (folder, files) = made();
        files.read().unwrap();
        assert_eq!(files.key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let stamp = files.stamp();
        let options = TlsOptions { folder: folder.path().join("certs"), others: None, make: true };
        assert_eq!(Files::find(&options).unwrap().unwrap().stamp(), stamp);
        // a key is never replaced
        let key = std::fs::read(&files.key).unwrap();
        std::fs::remove_file(&files.cert).unwrap();
        Files::find(&options).unwrap().unwrap().read().unwrap();
        assert_eq!(std::fs::read(&files.key).unwrap(), key);
    }

    #[test]
    fn nothing_is_made_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let options = TlsOptions { folder: folder.path().to_owned(), others: None, make: false };
        assert!(Files::find(&options).unwrap().is_none());
        std::fs::write(folder.path().join(NAMES[0]), "x").unwrap();
        assert!(Files::find(&options).unwrap_err().contains("moonraker.key is missing"));
    }

    #[test]
    fn what_is_wrong_with_a_pair_is_said() {
        let ((_one, files), (_other, others)) = (made(), made());
        let error = |files: &Files| files.read().unwrap_err();
        let mixed = Files { cert: files.cert.clone(), key: others.key.clone() };
        assert!(error(&mixed).contains("is not the key of"), "{}", error(&mixed));
        let swapped = Files { cert: files.key.clone(), key: files.cert.clone() };
        assert!(error(&swapped).contains("no certificate"), "{}", error(&swapped));
        std::fs::write(&files.key, "garbage").unwrap();
        assert!(error(&files).contains("moonraker.key"), "{}", error(&files));
        std::fs::write(&files.key, vec![b'x'; MAX_FILE as usize + 1]).unwrap();
        assert!(error(&files).contains("too large"), "{}", error(&files));
        std::fs::remove_file(&files.key).unwrap();
        assert!(error(&files).contains("No such file"), "{}", error(&files));
    }
}
