//! One connection to an LDAP server (RFC 4511): simple binds and searches, one after the other.

use std::io;

use futures_lite::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::ber::{
    self, BOOLEAN, ENUMERATED, Elements, Head, INTEGER, OCTETS, SEQUENCE, SET, element, number,
};

/// The longest message that is read, in bytes: somebody may be in very many groups.
const MAX_MESSAGE: usize = 1 << 20;

/// How many entries may be found; two are one too many.
const MAX_ENTRIES: u32 = 2;

/// How long the server may search, in seconds.
const SEARCH_SECONDS: u32 = 10;

const BIND: u8 = 0x60;
const BIND_RESPONSE: u8 = 0x61;
const UNBIND: u8 = 0x42;
const SEARCH: u8 = 0x63;
const SEARCH_ENTRY: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;
const SIMPLE: u8 = 0x80;

/// All entries below one.
const WHOLE_SUBTREE: u32 = 2;
/// Follow aliases always.
const DEREFERENCE: u32 = 3;

/// The codes of RFC 4511 appendix A that matter here.
pub(super) const INVALID_CREDENTIALS: u32 = 49;
const SUCCESS: u32 = 0;
const SIZE_LIMIT: u32 = 4;

/// Why something failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server refused it, for this reason.
    Refused(u32, String),
    /// The connection broke.
    Broken(io::Error),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(code, text) => write!(f, "the server refused it with code {code} {text}"),
            Self::Broken(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Entry {
    /// Its distinguished name.
    pub(super) dn: String,
    /// All values of the attributes that were asked for.
    pub(super) values: Vec<String>,
}

/// A connection.
pub(super) struct Client<S> {
    stream: S,
    last_id: u32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, last_id: 0 }
    }

    /// Says who is there. No name and no password are nobody's.
    pub(super) async fn bind(&mut self, dn: &str, password: &str) -> Result<(), Failure> {
        let content =
            [number(INTEGER, 3), element(OCTETS, dn.as_bytes()), element(SIMPLE, password.as_bytes())];
        self.send(&element(BIND, &content.concat())).await?;
        loop {
            if let (BIND_RESPONSE, content) = self.receive().await? {
                return match result(&content)? {
                    (SUCCESS, _) => Ok(()),
                    (code, text) => Err(Failure::Refused(code, text)),
                };
            }
        }
    }

    /// The entries below `base` that a filter fits, one more than one at most, with the values of one attribute.
    pub(super) async fn search(
        &mut self,
        base: &str,
        filter: &[u8],
        attribute: &str,
    ) -> Result<Vec<Entry>, Failure> {
        let content = [
            element(OCTETS, base.as_bytes()),
            number(ENUMERATED, WHOLE_SUBTREE),
            number(ENUMERATED, DEREFERENCE),
            number(INTEGER, MAX_ENTRIES),
            number(INTEGER, SEARCH_SECONDS),
            element(BOOLEAN, &[0]),
            filter.to_vec(),
            element(SEQUENCE, &element(OCTETS, attribute.as_bytes())),
        ];
        self.send(&element(SEARCH, &content.concat())).await?;
        let mut found = Vec::new();
        loop {
            match self.receive().await? {
                (SEARCH_ENTRY, content) => {
                    found.push(entry(&content).ok_or_else(|| bad("an entry cannot be read"))?);
                    if found.len() > MAX_ENTRIES as usize {
                        return Ok(found);
                    }
                }
                (SEARCH_DONE, content) => {
                    return match result(&content)? {
                        (SUCCESS | SIZE_LIMIT, _) => Ok(found),
                        (code, text) => Err(Failure::Refused(code, text)),
                    };
                }
                // references to other servers are not followed
                _ => {}
            }
        }
    }

    /// Ends the connection in good order.
    pub(super) async fn unbind(mut self) {
        // the server closes it, which is no matter if it is lost
        let _ = self.send(&element(UNBIND, &[])).await;
        let _ = self.stream.close().await;
    }

    async fn send(&mut self, operation: &[u8]) -> io::Result<()> {
        self.last_id += 1;
        let message = [&number(INTEGER, self.last_id), operation].concat();
        self.stream.write_all(&element(SEQUENCE, &message)).await?;
        self.stream.flush().await
    }

    /// The next part of the answer to what was sent last.
    async fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        loop {
            let message = self.read().await?;
            let mut elements = Elements(&message);
            let id = elements.expect(INTEGER).and_then(ber::to_number);
            let (Some(id), Some((tag, content))) = (id, elements.next()) else {
                return Err(bad("a message cannot be read"));
            };
            match id {
                id if id == self.last_id => return Ok((tag, content.to_vec())),
                0 => return Err(bad("the server ends the connection")),
                _ => {}
            }
        }
    }

    /// The content of the next message.
    async fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut start = Vec::with_capacity(6);
        let length = loop {
            match ber::head(&start) {
                Head::Is(SEQUENCE, _, length) if length <= MAX_MESSAGE => break length,
                Head::Short => {
                    let mut byte = [0];
                    self.stream.read_exact(&mut byte).await?;
                    start.extend(byte);
                }
                _ => return Err(bad("what the server says is not LDAP, or too long")),
            }
        };
        // what is announced may never come
        let mut message = Vec::new();
        (&mut self.stream).take(length as u64).read_to_end(&mut message).await?;
        match message.len() == length {
            true => Ok(message),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Code and text of a result.
fn result(content: &[u8]) -> io::Result<(u32, String)> {
    let mut elements = Elements(content);
    let code = elements.expect(ENUMERATED).and_then(ber::to_number);
    let text = elements.nth(1).map(|(_, text)| String::from_utf8_lossy(text).into_owned());
    code.map(|code| (code, text.unwrap_or_default())).ok_or_else(|| bad("a result cannot be read"))
}

fn entry(content: &[u8]) -> Option<Entry> {
    let mut elements = Elements(content);
    let dn = String::from_utf8(elements.expect(OCTETS)?.to_vec()).ok()?;
    let mut values = Vec::new();
    for (_, attribute) in Elements(elements.expect(SEQUENCE)?) {
        let mut parts = Elements(attribute);
        parts.expect(OCTETS)?;
        let texts =
            Elements(parts.expect(SET)?).map(|(_, value)| String::from_utf8_lossy(value).into_owned());
        values.extend(texts);
    }
    Some(Entry { dn, values })
}

#[cfg(test)]
mod tests {
    use futures_lite::io::Cursor;
    use proptest::prelude::*;

    use super::*;

    /// A server that has said all this before it was asked.
    struct Said(Cursor<Vec<u8>>);

    impl AsyncRead for Said {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
            buffer: &mut [u8],
        ) -> std::task::Poll<io::Result<usize>> {
            std::pin::Pin::new(&mut self.0).poll_read(context, buffer)
        }
    }

    impl AsyncWrite for Said {
        fn poll_write(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &[u8],
        ) -> std::task::Poll<io::Result<usize>> {
            std::task::Poll::Ready(Ok(buffer.len()))
        }

        fn poll_flush(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn poll_close(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
    }

    fn searched(said: Vec<u8>) -> Result<Vec<Entry>, Failure> {
        smol::block_on(Client::new(Said(Cursor::new(said))).search("dc=x", &[], "memberOf"))
    }

    fn message(id: u32, tag: u8, content: &[Vec<u8>]) -> Vec<u8> {
        element(SEQUENCE, &[number(INTEGER, id), element(tag, &content.concat())].concat())
    }

    fn done(code: u32) -> Vec<u8> {
        message(1, SEARCH_DONE, &[number(ENUMERATED, code), element(OCTETS, b""), element(OCTETS, b"why")])
    }

    #[test]
    fn entries_are_read() {
        let values = element(SET, &[element(OCTETS, b"cn=g"), element(OCTETS, b"cn=h")].concat());
        let attribute = element(SEQUENCE, &[element(OCTETS, b"memberOf"), values].concat());
        let entry = message(1, SEARCH_ENTRY, &[element(OCTETS, b"uid=a"), element(SEQUENCE, &attribute)]);
        let reference = message(1, 0x73, &[element(OCTETS, b"ldap://elsewhere")]);
        let found = searched([entry.clone(), reference, done(0)].concat()).unwrap();
        assert_eq!(found, [Entry { dn: "uid=a".into(), values: vec!["cn=g".into(), "cn=h".into()] }]);
        assert_eq!(searched([entry.clone(), entry, done(SIZE_LIMIT)].concat()).unwrap().len(), 2);
        let refused = searched(done(50)).unwrap_err();
        assert!(matches!(refused, Failure::Refused(50, text) if text == "why"));
    }

    #[test]
    fn what_is_too_long_or_cut_off_is_an_error() {
        assert!(searched(vec![SEQUENCE, 0x84, 0x7f, 0xff, 0xff, 0xff]).is_err());
        assert!(searched(vec![SEQUENCE, 0x83, 0x0f, 0xff, 0xff, 1]).is_err());
        assert!(searched(b"HTTP/1.1 400 Bad Request\r\n".to_vec()).is_err());
        assert!(searched(Vec::new()).is_err());
        assert!(searched(message(0, 0x78, &[])).is_err(), "notice of disconnection");
    }

    proptest! {
        #[test]
        fn anything_is_an_error_or_entries(said: Vec<u8>, content: Vec<u8>) {
            let _ = searched(said);
            let _ = searched(message(1, SEARCH_ENTRY, &[content]));
        }
    }
}
