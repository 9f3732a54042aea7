//! HTTP/1.1 by hand, so that malformed requests can be made as well.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, bail};

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, chunked encoding undone.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of this name (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `type` of an error body.
    #[must_use]
    pub fn fault(&self) -> String {
        self.json()["type"].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends a request with `Content-Length` if there is a body, and reads the whole answer.
///
/// # Errors
/// The connection fails or ends inside the answer.
pub fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> anyhow::Result<Answer> {
    let rest = url.strip_prefix("http://").context("only http:// URLs")?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    raw(authority, &[head.as_bytes(), body].concat())
}

/// Sends exactly these bytes and reads the answer until the server closes.
///
/// # Errors
/// The connection fails or ends inside the answer.
pub fn raw(authority: &str, bytes: &[u8]) -> anyhow::Result<Answer> {
    let mut stream = TcpStream::connect(authority)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    let sent = stream.write_all(bytes);
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    match parse(&answer) {
        Ok(answer) => Ok(answer),
        Err(error) => {
            sent?;
            read?;
            Err(error)
        }
    }
}

fn parse(bytes: &[u8]) -> anyhow::Result<Answer> {
    let end =
        bytes.windows(4).position(|window| window == b"\r\n\r\n").context("no end of the answer's head")?;
    let head = std::str::from_utf8(&bytes[..end])?;
    let rest = &bytes[end + 4..];
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status line")?.parse()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer { status, headers, body: Vec::new() };
    if answer.header("transfer-encoding") == Some("chunked") {
        answer.body = unchunk(rest)?;
    } else if let Some(length) = answer.header("content-length") {
        let length: usize = length.parse()?;
        // HEAD and 304 announce a length that does not follow.
        if !rest.is_empty() && rest.len() != length {
            bail!("the answer has {} bytes of {length}", rest.len());
        }
        answer.body = rest.to_vec();
    } else {
        answer.body = rest.to_vec();
    }
    Ok(answer)
}

fn unchunk(mut bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let end = bytes.windows(2).position(|window| window == b"\r\n").context("the answer broke off")?;
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..end])?.trim(), 16)?;
        bytes = &bytes[end + 2..];
        if length == 0 {
            return Ok(out);
        }
        out.extend_from_slice(bytes.get(..length).context("the answer broke off")?);
        bytes = bytes.get(length + 2..).context("the answer broke off")?;
    }
}

const SILENCE_MAX: Duration = Duration::from_secs(90);
