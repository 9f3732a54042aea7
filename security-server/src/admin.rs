//! What an operator on the same machine asks a running server to do, through a socket file that only the server's user can open: one line of JSON each way.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use kogge_message_log::{LogError, MessageLog};
use kogge_proto::id::SecurityServerId;
use kogge_signer::{SoftToken, TokenError};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::erasure::{self, EraseRequest, Erased, ErasureError};
use crate::log_key::OpenLogKeyError;
use crate::{clock, server};

/// The socket's name within the data directory.
pub(crate) const SOCKET: &str = "admin.sock";

/// Longest line.
pub(crate) const LINE_BYTES_MAX: u64 = 64 * 1024;

/// So long one side waits for the other's line: a log on a slow disk answers within that.
pub(crate) const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// What is asked for.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    Erase(EraseRequest),
}

/// What came of it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Erased(Erased),
    Refused(String),
}

/// What requests are carried out with.
#[derive(Clone)]
pub(crate) struct Office {
    pub(crate) server: SecurityServerId,
    pub(crate) log: MessageLog,
    pub(crate) token: SoftToken,
}

impl Office {
    /// Carries a request out. Blocks.
    pub(crate) fn answer(&self, line: &[u8]) -> Answer {
        match serde_json::from_slice(line) {
            Ok(Request::Erase(request)) => {
                match erasure::erase(&self.log, &self.token, &self.server, &request, clock::now()) {
                    Ok(erased) => Answer::Erased(erased),
                    Err(error) => Answer::Refused(error.to_string()),
                }
            }
            Err(error) => Answer::Refused(format!("the request is malformed: {error}")),
        }
    }
}

/// Why an operator's request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The server said no.
    #[error("{0}")]
    Refused(String),
    /// The server runs and does not answer.
    #[error("the security server does not answer at {path}: {source}", path = .path.display())]
    Unreachable {
        /// Its socket.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The server answered something else.
    #[error("the security server's answer is malformed: it may be of another version")]
    Malformed,
    /// Without a server: it cannot be done.
    #[error(transparent)]
    Erasure(#[from] ErasureError),
    /// Without a server: the token cannot be opened.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Without a server: the log key cannot be had.
    #[error(transparent)]
    LogKey(#[from] OpenLogKeyError),
    /// Without a server: the log cannot be opened.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Erases bodies: by the running server if there is one, or else in its log itself. Blocks.
///
/// # Errors
/// See [`AdminError`].
pub fn erase(config: &Config, request: EraseRequest) -> Result<Erased, AdminError> {
    let socket = config.data_dir.join(SOCKET);
    match UnixStream::connect(&socket) {
        Ok(stream) => match ask(&stream, &Request::Erase(request)) {
            Ok(Answer::Erased(erased)) => Ok(erased),
            Ok(Answer::Refused(reason)) => Err(AdminError::Refused(reason)),
            Err(source) if source.kind() == io::ErrorKind::InvalidData => Err(AdminError::Malformed),
            Err(source) => Err(AdminError::Unreachable { path: socket, source }),
        },
        Err(error) if is_nobody(&error) => {
            // If the server runs all the same, the log is locked.
            let token = SoftToken::open(&config.token.dir, &config.token.pin.read()?)?;
            let (log, _) = MessageLog::open(
                &config.message_log.dir,
                server::log_options(config.id.clone(), &config.message_log, &token)?,
            )?;
            let erased = erasure::erase(&log, &token, &config.id, &request, clock::now());
            log.close();
            Ok(erased?)
        }
        Err(source) => Err(AdminError::Unreachable { path: socket, source }),
    }
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn ask(mut stream: &UnixStream, request: &Request) -> io::Result<Answer> {
    stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    stream.set_write_timeout(Some(ANSWER_TIME_MAX))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(io::Read::take(stream, LINE_BYTES_MAX)).read_until(b'\n', &mut answer)?;
    Ok(serde_json::from_slice(&answer)?)
}
