//! XML-RPC, as far as supervisord's interface needs it: texts out, structs of plain values in.

use std::collections::BTreeMap;
use std::io;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, future};
use smol::net::TcpStream;
use smol::net::unix::UnixStream;

use super::super::super::Host;
use super::super::{ACTION_LIMIT, ServiceError};
use super::settings::{Address, Settings};

/// The most that is read of an answer: a process takes about 1.5 kB.
const MAX_ANSWER: u64 = 1024 * 1024;

/// The members of a struct; nested values are not told apart.
pub(super) type Members = BTreeMap<String, String>;

/// A struct of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Struct(Members);

impl Struct {
    /// The text of a member.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Calls a method with texts, and gives the structs in its answer.
///
/// # Errors
/// Where there is nobody, the credentials are wrong, or the answer is a fault.
pub(super) async fn call(
    host: &Host,
    settings: &Settings,
    method: &str,
    arguments: &[&str],
) -> Result<Vec<Struct>, ServiceError> {
    let request = request(settings, method, arguments);
    let answered = async {
        match &settings.address {
            Address::Unix(path) => exchange(UnixStream::connect(host.path(path)).await?, &request).await,
            Address::Tcp(address) => exchange(TcpStream::connect(address.as_str()).await?, &request).await,
        }
    };
    let late = async {
        smol::Timer::after(ACTION_LIMIT).await;
        Err(io::ErrorKind::TimedOut.into())
    };
    match future::or(answered, late).await {
        Ok(answer) => parse(&answer),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            Err(ServiceError::TimedOut("supervisord took too long".into()))
        }
        Err(error) => Err(ServiceError::Unavailable(format!("supervisord cannot be reached: {error}"))),
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// HTTP 1.0: the answer ends with the connection, and comes in one piece.
fn request(settings: &Settings, method: &str, arguments: &[&str]) -> String {
    let parameter = |text: &&str| format!("<param><value><string>{}</string></value></param>", escape(text));
    let parameters: String = arguments.iter().map(parameter).collect();
    let body = format!(
        "<?xml version=\"1.0\"?><methodCall><methodName>{method}</methodName><params>{parameters}</params></methodCall>"
    );
    let authorization = settings.credentials.as_ref().map_or_else(String::new, |(user, password)| {
        format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("{user}:{password}")))
    });
    format!(
        "POST /RPC2 HTTP/1.0\r\nHost: localhost\r\nContent-Type: text/xml\r\n{authorization}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn parse(answer: &str) -> Result<Vec<Struct>, ServiceError> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    match status {
        "200" => {}
        "401" => return Err(ServiceError::Denied("supervisord wants other credentials".into())),
        _ => return Err(ServiceError::Unavailable(format!("supervisord answers with status {status:?}"))),
    }
    let structs: Vec<Struct> = between(body, "<struct>", "</struct>").map(parse_struct).collect();
    if body.contains("<fault>") {
        let reason = structs.first().and_then(|fault| fault.get("faultString"));
        return Err(ServiceError::Failed(reason.unwrap_or("supervisord tells of an error").to_owned()));
    }
    Ok(structs)
}

fn parse_struct(text: &str) -> Struct {
    let member = |member: &str| {
        let name = between(member, "<name>", "</name>").next()?;
        let value = between(member, "<value>", "</value>").next()?;
        // with or without the name of a type around it
        let value =
            value.strip_prefix('<').and_then(|typed| typed.split_once('>')).map_or(value, |(_, rest)| rest);
        let value = value.split('<').next().unwrap_or_default();
        Some((unescape(name), unescape(value)))
    };
    Struct(between(text, "<member>", "</member>").filter_map(member).collect())
}

/// What stands between two words, again and again.
fn between<'a>(text: &'a str, start: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(start)?;
        let (inner, tail) = after.split_once(end)?;
        rest = tail;
        Some(inner)
    })
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn other_answers() {
        assert!(matches!(parse("HTTP/1.0 401 Unauthorized\r\n\r\n"), Err(ServiceError::Denied(_))));
        assert!(matches!(parse("HTTP/1.0 500 Oops\r\n\r\n"), Err(ServiceError::Unavailable(_))));
        assert!(matches!(parse(""), Err(ServiceError::Unavailable(_))));
        assert_eq!(parse("HTTP/1.0 200 OK\r\n\r\n<methodResponse/>").unwrap(), []);
        assert_eq!(unescape("&amp;lt; &lt;"), "&lt; <");
    }

    proptest! {
        #[test]
        fn any_text(text: String) {
            let _ = parse(&text);
            parse_struct(&text);
        }

        #[test]
        fn any_tags(tags in "(</?(struct|member|name|value|int)>|x|&lt;){0,30}") {
            let _ = parse(&format!("HTTP/1.0 200 OK\r\n\r\n{tags}"));
        }

        #[test]
        fn texts_come_back(text: String) {
            prop_assert_eq!(unescape(&escape(&text)), text);
        }
    }
}
