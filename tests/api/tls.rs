//! HTTPS on `ssl_port`, with a client that checks certificates.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use futures_rustls::pki_types::pem::PemObject;
use futures_rustls::pki_types::{CertificateDer, ServerName};
use futures_rustls::rustls::crypto::ring::default_provider;
use futures_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

use crate::harness::{PATIENCE, Perigee, Setup, eventually};

const PORT: u16 = 7130;

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Connects, trusting this certificate alone.
fn connect(server: &Perigee, name: &str, trusted: &Path) -> io::Result<Stream> {
    let mut roots = RootCertStore::empty();
    let cert = CertificateDer::from_pem_file(trusted).map_err(io::Error::other)?;
    roots.add(cert).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let socket = TcpStream::connect(SocketAddr::new(server.address.ip(), PORT))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut stream =
        StreamOwned::new(ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?, socket);
    stream.flush()?;
    Ok(stream)
}

fn get(server: &Perigee, name: &str, trusted: &Path, target: &str) -> io::Result<String> {
    let mut stream = connect(server, name, trusted)?;
    write!(stream, "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Writes a certificate, signed by itself, and its key, with the names that the server expects.
pub fn write_pair(folder: &Path, name: &str) {
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("moonraker.key"), key.serialize_pem()).unwrap();
    std::fs::write(folder.join("moonraker.cert"), cert.pem()).unwrap();
}

#[test]
fn a_certificate_is_made_at_the_first_start() {
    let server = Setup::new().option("ssl_auto: True").start();
    let cert = server.data("certs/moonraker.cert");
    let host = nix::unistd::gethostname().unwrap().to_string_lossy().to_ascii_lowercase();
    for name in ["localhost", "127.0.0.1", &format!("{host}.local")] {
        let answer = get(&server, name, &cert, "/server/info").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("klippy_state"), "{answer}");
    }
    let wrong = get(&server, "elsewhere.test", &cert, "/server/info").unwrap_err();
    assert!(wrong.to_string().contains("certificate"), "{wrong}");
    let mode = server.data("certs/moonraker.key").metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    // neither is to be had by the API
    server.get("/server/files/certs/moonraker.key").error(404);
}

#[test]
fn websockets_work_over_tls() {
    let server = Setup::new().option("ssl_auto: True").start();
    let stream = connect(&server, "localhost", &server.data("certs/moonraker.cert")).unwrap();
    let request = "wss://localhost/websocket".into_client_request().unwrap();
    let (mut socket, _): (WebSocket<Stream>, _) = tungstenite::client(request, stream).unwrap();
    let big = "x".repeat(1 << 20);
    for (id, value) in [json!(1), json!(big)].iter().enumerate() {
        let params = json!({"namespace": "a", "key": "b", "value": value});
        let call =
            json!({"jsonrpc": "2.0", "method": "server.database.post_item", "params": params, "id": id});
        socket.send(Message::text(call.to_string())).unwrap();
        let answer = loop {
            if let Message::Text(text) = socket.read().unwrap() {
                let answer: Value = serde_json::from_str(&text).unwrap();
                if answer["id"] == id {
                    break answer;
                }
            }
        };
        assert_eq!(answer["result"]["value"], *value);
    }
    socket.close(None).unwrap();
}

#[test]
fn a_new_pair_is_taken_without_a_restart() {
    let setup = Setup::new();
    let certs = setup.data().join("certs");
    write_pair(&certs, "one.test");
    let server = setup.start();
    let cert = certs.join("moonraker.cert");
    get(&server, "one.test", &cert, "/server/info").unwrap();
    let first = server.dir().join("first.cert");
    std::fs::copy(&cert, &first).unwrap();

    // half of a change: the old pair is used, and people are told
    let key = std::fs::read(certs.join("moonraker.key")).unwrap();
    std::fs::write(certs.join("moonraker.key"), "garbage").unwrap();
    eventually("a warning", || {
        get(&server, "one.test", &first, "/server/info").unwrap();
        server.info()["warnings"].to_string().contains("moonraker.key").then_some(())
    });
    std::fs::write(certs.join("moonraker.key"), key).unwrap();
    write_pair(&certs, "two.test");
    eventually("the new pair", || get(&server, "two.test", &cert, "/server/info").ok());
    get(&server, "one.test", &first, "/server/info").unwrap_err();
    assert!(!server.info()["warnings"].to_string().contains("moonraker.key"));
}

#[test]
fn a_bad_pair_is_a_warning() {
    let setup = Setup::new();
    let certs = setup.data().join("certs");
    write_pair(&certs, "one.test");
    let other = setup.dir.join("other");
    write_pair(&other, "one.test");
    std::fs::copy(other.join("moonraker.key"), certs.join("moonraker.key")).unwrap();
    let server = setup.start();
    let warnings = server.info()["warnings"].to_string();
    assert!(warnings.contains("There is no HTTPS") && warnings.contains("is not the key of"), "{warnings}");
    TcpStream::connect(SocketAddr::new(server.address.ip(), PORT)).unwrap_err();
}

#[test]
fn a_pair_elsewhere_and_another_port() {
    let setup = Setup::new();
    let folder = setup.dir.join("letsencrypt");
    write_pair(&folder, "one.test");
    let options = format!(
        "ssl_certificate_path: {0}/moonraker.cert\nssl_key_path: {0}/moonraker.key",
        folder.display()
    );
    let server = setup.option(&options).start();
    get(&server, "one.test", &folder.join("moonraker.cert"), "/server/info").unwrap();

    let setup = Setup::new();
    let port = setup.address.port();
    let server = setup.option(&format!("ssl_auto: True\nssl_port: {port}")).start();
    assert!(server.info()["warnings"].to_string().contains("ssl_port"));
    let nowhere = Setup::new().option("ssl_key_path: /nonexistent");
    nowhere.write_config();
    assert!(!nowhere.spawn().wait_for_exit().success());
}

/// What does not speak TLS costs nothing and stops nobody.
#[test]
fn noise_on_the_port_is_ignored() {
    let server = Setup::new().option("ssl_auto: True").start();
    let address = SocketAddr::new(server.address.ip(), PORT);
    let silent: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut plain = TcpStream::connect(address).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"));
    get(&server, "localhost", &server.data("certs/moonraker.cert"), "/server/info").unwrap();
    drop(silent);
}
