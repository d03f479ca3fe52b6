//! Looking whether a camera answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::Duration;

use serde::Serialize;

use super::Camera;
use crate::http_client::Get;
use crate::tasks::unblock;

/// How long the camera may take for a picture (spec behaviour.md §11).
const TIMEOUT: Duration = Duration::from_secs(1);
/// State of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// The answer of the test endpoint.
#[derive(Serialize)]
pub(super) struct Outcome {
    name: String,
    snapshot_reachable: bool,
    snapshot_url: String,
    stream_url: String,
}

/// Asks a camera for a picture, from here.
pub(super) async fn test(camera: &Camera) -> Outcome {
    let (snapshot, stream) = (camera.snapshot_url.clone(), camera.stream_url.clone());
    let (snapshot_url, stream_url) = unblock(move || (whole(&snapshot), whole(&stream))).await;
    let mut snapshot_reachable = false;
    if snapshot_url.starts_with("http") {
        let get = Get { url: snapshot_url.clone(), headers: Vec::new(), timeout: TIMEOUT, max_body: 0 };
        snapshot_reachable = match get.send().await {
            Ok(answer) => (200..400).contains(&answer.status),
            Err(error) => {
                log::debug!("webcam: '{}' does not answer: {error}", camera.name);
                false
            }
        };
    }
    Outcome { name: camera.name.clone(), snapshot_reachable, snapshot_url, stream_url }
}

/// An address that can be asked from this machine: a path becomes one on the printer's web server, and a server
/// of our own that listens everywhere is asked on the loopback. Empty for an empty one. Blocking.
fn whole(url: &str) -> String {
    if url.is_empty() {
        return String::new();
    }
    let url = match url.split_once("://") {
        Some((scheme, _)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => url.to_owned(),
        _ => format!("http://{}/{}", shown(own_address()), url.trim_start_matches('/')),
    };
    on_loopback(&url).unwrap_or(url)
}

fn shown(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// The address of this machine towards the rest of the world; loopback without a network.
fn own_address() -> IpAddr {
    // connecting a datagram socket sends nothing, it only looks up the route
    let routed = |from: SocketAddr, to: SocketAddr| {
        let socket = UdpSocket::bind(from)?;
        socket.connect(to)?;
        socket.local_addr()
    };
    let v4 = routed((Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv4Addr::new(192, 0, 2, 1), 9).into());
    let v6 =
        routed((Ipv6Addr::UNSPECIFIED, 0).into(), (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into());
    v4.or(v6).map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

/// The same on the loopback, where the address is one of ours and something listens on all of them.
fn on_loopback(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let default = match scheme.to_ascii_lowercase().as_str() {
        "http" => 80,
        "https" => 443,
        "rtsp" => 554,
        _ => return None,
    };
    let has_port = authority.rfind(':').is_some_and(|at| !authority[at..].contains(']'));
    let named = if has_port { authority.to_owned() } else { format!("{authority}:{default}") };
    // user names stay where they are
    let (user, host) = named.rsplit_once('@').map_or(("", named.as_str()), |(user, host)| (user, host));
    let address = host.to_socket_addrs().ok()?.next()?;
    let is_ours = !address.ip().is_loopback() && UdpSocket::bind((address.ip(), 0)).is_ok();
    let loopback: IpAddr = match is_ours.then(|| listens_everywhere(address.port())).flatten()? {
        Family::V4 => Ipv4Addr::LOCALHOST.into(),
        Family::V6 => Ipv6Addr::LOCALHOST.into(),
    };
    let user = if user.is_empty() { String::new() } else { format!("{user}@") };
    Some(format!("{scheme}://{user}{}:{}{path}", shown(loopback), address.port()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

/// Whether something listens on a port at the wildcard address.
fn listens_everywhere(port: u16) -> Option<Family> {
    let listens = |file: &str| std::fs::read_to_string(file).is_ok_and(|table| is_listening(&table, port));
    match (listens("/proc/net/tcp"), listens("/proc/net/tcp6")) {
        (true, _) => Some(Family::V4),
        (false, true) => Some(Family::V6),
        (false, false) => None,
    }
}

/// Looks in a table of the kernel's (`/proc/net/tcp`, proc(5)).
fn is_listening(table: &str, port: u16) -> bool {
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = fields.next().and_then(|local| local.split_once(':'));
        let state = fields.nth(1);
        local.is_some_and(|(address, number)| {
            address.bytes().all(|digit| digit == b'0') && u16::from_str_radix(number, 16) == Ok(port)
        }) && state == Some(LISTENING)
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn paths_are_put_on_this_machine() {
        assert_eq!(whole(""), "");
        for path in ["/webcam/?a=b", "webcam/?a=b"] {
            let url = whole(path);
            assert!(url.starts_with("http://") && url.ends_with("/webcam/?a=b"), "{url}");
        }
        for url in
            ["http://192.0.2.1:8080/x", "rtsp://user:pw@192.0.2.1/h264", "webrtc://a/b", "http://127.0.0.1/x"]
        {
            assert_eq!(whole(url), url);
        }
    }

    #[test]
    fn a_server_of_ours_is_asked_on_the_loopback() {
        let own = own_address();
        if own.is_loopback() {
            return; // a machine without a network
        }
        let everywhere = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = everywhere.local_addr().unwrap().port();
        let url = format!("http://{}:{port}/x", shown(own));
        assert_eq!(whole(&url), format!("http://127.0.0.1:{port}/x"));
        drop(everywhere);
        assert_eq!(whole(&url), url);
    }

    #[test]
    fn the_kernels_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
            0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:0\n\
            1: 0100007F:1BD5 00000000:0000 0A 00000000:00000000 00:0\n\
            2: 00000000:0050 00000000:0000 01 00000000:00000000 00:0\n garbage\n";
        assert!(is_listening(table, 8080));
        assert!(!is_listening(table, 7125) && !is_listening(table, 80) && !is_listening("", 1));
    }
}
