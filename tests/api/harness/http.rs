//! A blocking HTTP/1.1 client that sends exactly the bytes it is told to.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::PATIENCE;

/// How much of a body goes out together with its head, in bytes.
const SMALL: usize = 64 << 10;

/// One request. Only `Host` and `Content-Length` are added by themselves, where they are missing.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.into(), target: target.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    pub fn delete(target: &str) -> Self {
        Self::new("DELETE", target)
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("Content-Type", content_type)
    }

    #[must_use]
    pub fn json(self, value: &Value) -> Self {
        self.body("application/json", value.to_string())
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// The request line and the headers.
    pub fn head(&self, host: &str) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.has("host") {
            head += &format!("Host: {host}\r\n");
        }
        let has_body = !self.body.is_empty() || matches!(&*self.method, "POST" | "PUT");
        if has_body && !self.has("content-length") && !self.has("transfer-encoding") {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head + "\r\n"
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Status codes of interim responses (100) that came before.
    pub interim: Vec<u16>,
}

impl Response {
    /// The value of a header, if it is there once.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| &**value);
        assert!(found.next().is_none(), "more than one header {name}: {:?}", self.headers);
        value
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in the body of {self:.600?}\n{:.300}", self.text()))
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "status of the answer: {}", self.text());
        self
    }

    /// The `result` of a successful call.
    #[track_caller]
    pub fn result(&self) -> Value {
        assert_eq!(self.status, 200, "status of the answer: {}", self.text());
        let mut body = self.json();
        body.get_mut("result").unwrap_or_else(|| panic!("no result in {}", self.text())).take()
    }

    /// The message of a failed call; checks the shape of the error body (spec api.md §0.4).
    #[track_caller]
    pub fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "status of the answer: {}", self.text());
        let body = self.json();
        let error = &body["error"];
        assert_eq!(error["code"], status, "error code in {body}");
        assert!(error["traceback"].is_string(), "traceback in {body}");
        error["message"].as_str().unwrap_or_else(|| panic!("message in {body}")).to_owned()
    }
}

/// A connection that is kept open from request to request.
#[derive(Debug)]
pub struct Http {
    stream: TcpStream,
    host: String,
    unread: Vec<u8>,
}

impl Http {
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, host: address.to_string(), unread: Vec::new() })
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The bare socket and what was read beyond the last answer, for what comes after an upgrade.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.unread)
    }

    /// Sends a request and reads its answer.
    #[track_caller]
    pub fn send(&mut self, request: &Request) -> Response {
        self.try_send(request)
            .unwrap_or_else(|error| panic!("{} {}: {error}", request.method, request.target))
    }

    pub fn try_send(&mut self, request: &Request) -> io::Result<Response> {
        let mut bytes = request.head(&self.host).into_bytes();
        // a small body in the same packet, a large one without a copy
        let (with_head, alone) = request.body.split_at(request.body.len().min(SMALL));
        bytes.extend(with_head);
        // A server may answer and close before it has read a body that it refuses.
        let written = self.stream.write_all(&bytes).and_then(|()| self.stream.write_all(alone));
        self.read_response(request.method == "HEAD").map_err(|error| written.err().unwrap_or(error))
    }

    /// Sends a body in chunks of this size, up to where the server takes no more.
    pub fn write_chunked(&mut self, body: &[u8], size: usize) {
        let end: &[u8] = &[];
        for piece in body.chunks(size).chain([end]) {
            let head = format!("{:x}\r\n", piece.len());
            let sent = [head.as_bytes(), piece, b"\r\n"].into_iter().try_for_each(|part| self.write(part));
            if sent.is_err() {
                return;
            }
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads one answer. That to `HEAD` has no body whatever its headers say.
    pub fn read_response(&mut self, to_head: bool) -> io::Result<Response> {
        let mut interim = Vec::new();
        loop {
            let mut response = self.read_head()?;
            if response.status / 100 == 1 && response.status != 101 {
                interim.push(response.status);
                continue;
            }
            if !to_head && !matches!(response.status, 101 | 204 | 304) {
                response.body = self.read_body(&response)?;
            }
            response.interim = interim;
            return Ok(response);
        }
    }

    fn read_head(&mut self) -> io::Result<Response> {
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let line = self.read_line()?;
        let mut parts = line.splitn(3, ' ');
        let version = parts.next().unwrap_or_default();
        if !version.starts_with("HTTP/1.") {
            return Err(bad(&format!("no status line: {line:?}")));
        }
        let status = parts.next().and_then(|s| s.parse().ok()).ok_or_else(|| bad("no status code"))?;
        let reason = parts.next().unwrap_or_default().to_owned();
        let mut headers = Vec::new();
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                return Ok(Response { status, reason, headers, body: Vec::new(), interim: Vec::new() });
            }
            let (name, value) = line.split_once(':').ok_or_else(|| bad("header without a colon"))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    fn read_body(&mut self, response: &Response) -> io::Result<Vec<u8>> {
        if response.header("Transfer-Encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return self.read_chunks();
        }
        match response.header("Content-Length") {
            Some(length) => self.read_exactly(length.parse().map_err(io::Error::other)?),
            None => {
                let mut body = std::mem::take(&mut self.unread);
                self.stream.read_to_end(&mut body)?;
                Ok(body)
            }
        }
    }

    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = self.read_line()?;
            let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
            body.extend(self.read_exactly(size)?);
            self.read_line()?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.unread.drain(..=end).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return String::from_utf8(line).map_err(io::Error::other);
            }
            self.fill()?;
        }
    }

    fn read_exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < length {
            self.fill()?;
        }
        Ok(self.unread.drain(..length).collect())
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = vec![0; 64 * 1024];
        match self.stream.read(&mut chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.unread.extend(&chunk[..read]);
                Ok(())
            }
        }
    }

    /// Waits until the server closes the connection; whatever it still sends is returned.
    #[track_caller]
    pub fn read_to_close(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.unread);
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => rest,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => rest,
            Err(error) => panic!("the server did not close the connection: {error}"),
        }
    }
}
