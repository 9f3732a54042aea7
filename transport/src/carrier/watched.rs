//! A TLS connection that remembers when something was last read from it, and which alert ended it. HTTP/2 above turns errors
//! into text and would lose the alert.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stamp::Stamp;
use crate::tls::Alert;

/// What a [`Watched`] connection remembers; outlives it.
#[derive(Clone)]
pub(crate) struct Watch {
    /// When something was last read.
    pub(crate) heard: Stamp,
    alert: Arc<OnceLock<u8>>,
}

impl Watch {
    /// The alert that the peer ended the connection with.
    pub(crate) fn alert(&self) -> Option<Alert> {
        self.alert.get().map(|number| Alert::from_number(*number))
    }
}

pub(crate) struct Watched<S> {
    inner: S,
    watch: Watch,
}

impl<S> Watched<S> {
    pub(crate) fn new(inner: S) -> (Self, Watch) {
        let watch = Watch { heard: Stamp::now(), alert: Arc::new(OnceLock::new()) };
        (Self { inner, watch: watch.clone() }, watch)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        match &result {
            Ok(()) => self.watch.heard.touch(),
            Err(error) => {
                if let Some(number) = Alert::number_in(error) {
                    self.watch.alert.get_or_init(|| number);
                }
            }
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
