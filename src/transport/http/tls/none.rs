//! What stands in for TLS in builds without it: there is none to be had.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use async_io::Async;

use super::{NAMES, TlsOptions};
use crate::api::Warnings;

/// Nothing.
pub enum Tls {}

impl Tls {
    /// Says that there is no TLS, where some is expected.
    pub async fn open(options: TlsOptions, warnings: Arc<Warnings>) -> Option<Arc<Self>> {
        if options.make
            || options.others.is_some()
            || NAMES.iter().any(|name| options.folder.join(name).exists())
        {
            warnings.add("There is no HTTPS: this build is without the feature 'tls'");
        }
        None
    }

    pub(in crate::transport::http) async fn accept(
        &self,
        _: Async<TcpStream>,
    ) -> io::Result<Async<TcpStream>> {
        match *self {}
    }
}
