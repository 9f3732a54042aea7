//! A TCP connection that is not closed before the peer has read what was sent last.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::admission::Admitted;

/// Closing a socket with unread bytes resets the connection, and what is still on its way to the peer is lost: the end of an
/// answer, or the alert that says why it was refused. So after our last byte, whatever the peer still says is read and ignored,
/// for a short time. The connection counts as live until then.
pub(super) struct Lingering {
    /// Taken only when dropped.
    open: Option<(TcpStream, Admitted)>,
    tasks: TaskTracker,
}

impl Lingering {
    /// The task that outlives the connection will be one of `tasks`.
    pub(super) fn new(stream: TcpStream, admitted: Admitted, tasks: TaskTracker) -> Self {
        Self { open: Some((stream, admitted)), tasks }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        match &mut self.open {
            Some((stream, _)) => Ok(Pin::new(stream)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if let (Some((stream, admitted)), Ok(runtime)) = (self.open.take(), Handle::try_current()) {
            let lingering = async move {
                // Whatever the end of it: the connection is over.
                let _ = timeout(LINGER_TIME_MAX, drain(stream)).await;
                drop(admitted);
            };
            self.tasks.spawn_on(lingering, &runtime);
        }
    }
}

async fn drain(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut rest = [0; 1024];
    for _ in 0..LINGER_READS_MAX {
        if stream.read(&mut rest).await? == 0 {
            break;
        }
    }
    Ok(())
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}

/// For how long a closed connection is read from: a few round trips around the world.
const LINGER_TIME_MAX: Duration = Duration::from_millis(800);

/// And how often, so that a peer that goes on sending is cut off sooner.
const LINGER_READS_MAX: usize = 1024;
