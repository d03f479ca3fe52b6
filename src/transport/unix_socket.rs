//! JSON-RPC on a unix socket: frames of JSON that end in 0x03, both ways (spec api.md §0.1).
//!
//! The file's permissions say who may connect. Processes of the server's own user and of root may then do
//! everything, those of others what `[authorization] unix_socket_role` says, which is everything by default.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_io::Async;
use futures_lite::io::AsyncWriteExt;
use nix::sys::stat::{Mode, fchmod};

use super::Context;
use super::calls::Calls;
use super::stall::Unstalled;
use crate::api::outbox::Outgoing;
use crate::api::{Connection, Transport};
use crate::klippy::framing::{END, Frame, FrameReader, MAX_FRAME};
use crate::tasks::first_of;

/// How many clients may be connected. One more is closed at once.
pub const MAX_CLIENTS: usize = 32;

/// The socket's permissions: its user and group.
const MODE: u32 = 0o660;

/// How long to wait before accepting again when that failed for want of file descriptors or memory.
const ACCEPT_RETRY: Duration = Duration::from_millis(200);

/// What a client that sends too much at once is told.
const TOO_LONG: &str =
    r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: the message is too long"},"id":null}"#;

/// The listening socket. Its file goes when it does.
pub struct UnixSocket {
    listener: Async<UnixListener>,
    path: PathBuf,
}

impl UnixSocket {
    /// Listens at `path`. A socket that an earlier run left there is replaced, any other file is not.
    ///
    /// # Errors
    /// Those of making a socket there.
    pub fn bind(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::FileTypeExt;
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path)?,
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else is there")),
            Err(_) => {}
        }
        let listener = Async::new(listen(path)?)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Accepts clients until it is dropped.
    pub async fn run(self, context: Context) {
        let clients = std::sync::Arc::new(());
        loop {
            match self.listener.accept().await {
                Ok((socket, _)) if std::sync::Arc::strong_count(&clients) <= MAX_CLIENTS => {
                    let (context, counted) = (context.clone(), clients.clone());
                    context.spawner.clone().spawn(async move {
                        serve(socket, context).await;
                        drop(counted);
                    });
                }
                Ok(_) => {
                    log::warn!("More than {MAX_CLIENTS} clients on the unix socket; one was turned away")
                }
                Err(error) => {
                    log::error!("Cannot accept on {}: {error}", self.path.display());
                    smol::Timer::after(ACCEPT_RETRY).await;
                }
            }
        }
    }
}

/// A socket that never had other permissions than [`MODE`]: one that gets its name first and its permissions then
/// can be connected to in between.
fn listen(path: &Path) -> io::Result<UnixListener> {
    use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    // on Linux the name gets the permissions of the socket, less the umask
    fchmod(&socket, Mode::from_bits_truncate(MODE))?;
    bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
    listen(&socket, Backlog::MAXCONN)?;
    Ok(socket.into())
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn serve(socket: Async<UnixStream>, context: Context) {
    let identity = context.auth.by_uid(peer_uid(&socket));
    let connection = match context.connections.open(Transport::UnixSocket, None, identity) {
        Ok(connection) => connection,
        Err(error) => return log::info!("A client on the unix socket was turned away: {error}"),
    };
    let calls = Calls::new(context.clone(), connection.clone());
    let reading = read(&socket, &calls, &connection);
    let writing = write(&socket, &connection);
    if let Err(error) = first_of(reading, writing).await {
        log::debug!("A client on the unix socket was lost: {error}");
    }
    context.connections.remove(&connection);
}

/// The user of this machine whose process it is, where the kernel tells.
fn peer_uid(socket: &Async<UnixStream>) -> Option<u32> {
    use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
    getsockopt(socket.get_ref(), PeerCredentials).ok().map(|peer| peer.uid())
}

async fn read(socket: &Async<UnixStream>, calls: &Calls, connection: &Connection) -> io::Result<()> {
    let mut frames = FrameReader::new(socket, MAX_FRAME);
    while let Some(frame) = frames.next().await? {
        match frame {
            Frame::Whole(message) => calls.start(message),
            Frame::TooLong => connection.outbox.push(TOO_LONG.into()),
        }
    }
    Ok(())
}

async fn write(socket: &Async<UnixStream>, connection: &Connection) -> io::Result<()> {
    let mut socket = Unstalled::new(socket);
    while let Outgoing::Message(message) = connection.outbox.next().await {
        socket.write_all(message.as_bytes()).await?;
        socket.write_all(&[END]).await?;
    }
    Ok(())
}
