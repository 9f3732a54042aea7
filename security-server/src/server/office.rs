//! Answers the operator's socket, one request after the other.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kogge_daemon::shutdown::Shutdown;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::admin::{ANSWER_TIME_MAX, Answer, LINE_BYTES_MAX, Office};

/// The operator's socket, bound.
pub(super) struct OperatorSocket {
    path: PathBuf,
    listener: UnixListener,
    office: Office,
}

impl OperatorSocket {
    /// Binds it. A file that a former run left is replaced: the log's lock, which is held by now, says that none runs.
    pub(super) fn bind(path: &Path, office: Office) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        // The directory is the owner's alone too.
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(Self { path: path.to_path_buf(), listener, office })
    }

    /// Answers until `shutdown`.
    pub(super) async fn run(self, shutdown: Shutdown) {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = shutdown.wait() => break,
            };
            let answered = match accepted {
                Ok((stream, _)) => match timeout(ANSWER_TIME_MAX, self.answer(stream)).await {
                    Ok(answered) => answered,
                    Err(_) => Err(io::ErrorKind::TimedOut.into()),
                },
                Err(error) => Err(error),
            };
            if let Err(error) = answered {
                tracing::warn!(%error, "an operator's request was not answered");
            }
        }
        // If it stays, the next start removes it.
        let _ = std::fs::remove_file(&self.path);
    }

    async fn answer(&self, mut stream: UnixStream) -> io::Result<()> {
        let (reading, mut writing) = stream.split();
        let mut line = Vec::new();
        BufReader::new(reading.take(LINE_BYTES_MAX)).read_until(b'\n', &mut line).await?;
        let office = self.office.clone();
        let answer = spawn_blocking(move || office.answer(&line)).await.map_err(io::Error::other)?;
        match &answer {
            Answer::Erased(erased) => {
                tracing::info!(records = ?erased.records, entry = erased.entry, "bodies erased");
            }
            Answer::Refused(reason) => tracing::warn!(%reason, "an operator's request was refused"),
        }
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        writing.write_all(&line).await
    }
}
