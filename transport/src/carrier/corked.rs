//! A connection that HTTP/2 writes into frame by frame, and that leaves in as few TLS records and system calls as possible.
//!
//! The HTTP/2 layer flushes after each DATA frame of more than 256 bytes. Here a flush does nothing; what was written leaves when whoever
//! drives the connection has nothing more to do for the moment ([`Cork::poll_release`]), or when a record's worth has come together.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The connection as HTTP/2 has it.
pub(crate) struct Corked<S>(Cork<S>);

/// The same connection as its driver has it.
pub(crate) struct Cork<S>(Arc<Mutex<State<S>>>);

struct State<S> {
    inner: S,
    /// Written, but not yet given to `inner`.
    held: BytesMut,
}

impl<S> Cork<S> {
    pub(crate) fn new(inner: S) -> (Corked<S>, Self) {
        let state = Arc::new(Mutex::new(State { inner, held: BytesMut::new() }));
        (Corked(Self(Arc::clone(&state))), Self(state))
    }

    /// Never waits: the two handles are used by one task.
    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncWrite + Unpin> Cork<S> {
    /// Sends what was held back.
    pub(crate) fn poll_release(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_release(cx)
    }
}

impl<S: AsyncWrite + Unpin> State<S> {
    fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.held))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.advance(written);
        }
        // An idle connection holds no memory.
        self.held = BytesMut::new();
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    /// Takes all of `bufs` if they fit beside what is held; else everything leaves at once, in order and without a copy of `bufs`.
    fn poll_write(&mut self, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let length = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        if self.held.len() + length <= HELD_BYTES_MAX {
            bufs.iter().for_each(|buf| self.held.extend_from_slice(buf));
            return Poll::Ready(Ok(length));
        }
        loop {
            let mut all = Vec::with_capacity(1 + bufs.len());
            all.push(io::IoSlice::new(&self.held));
            all.extend(bufs.iter().copied());
            let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, &all))?;
            drop(all);
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_held = written.min(self.held.len());
            self.held.advance(of_held);
            // Something of `bufs` must have been taken before that can be said.
            if written > of_held {
                return Poll::Ready(Ok(written - of_held));
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Corked<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.lock().inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Corked<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().poll_write(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().poll_write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Leaves it to [`Cork::poll_release`].
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        ready!(state.poll_release(cx))?;
        Pin::new(&mut state.inner).poll_shutdown(cx)
    }
}

/// Most bytes that are held back: one full TLS record (RFC 8446 section 5.1). More would cost memory and save nothing.
const HELD_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn small_writes_leave_together_and_only_when_released() {
        let (near, mut far) = duplex(1024);
        let (mut corked, cork) = Cork::new(near);
        corked.write_all(b"head ").await.unwrap();
        corked.write_all(b"and body").await.unwrap();
        corked.flush().await.unwrap();
        let mut got = [0; 64];
        let nothing = poll_fn(|cx| {
            let mut buf = ReadBuf::new(&mut got);
            Poll::Ready(Pin::new(&mut far).poll_read(cx, &mut buf).is_pending())
        });
        assert!(nothing.await);
        poll_fn(|cx| cork.poll_release(cx)).await.unwrap();
        assert_eq!(far.read(&mut got).await.unwrap(), 13);
        assert_eq!(&got[..13], b"head and body");
    }

    #[tokio::test]
    async fn nothing_is_lost_doubled_or_reordered_through_a_narrow_pipe() {
        let (near, mut far) = duplex(100);
        let (mut corked, cork) = Cork::new(near);
        let sent: Vec<u8> = (0..200_000_u32).map(|n| (n * 7 % 251) as u8).collect();
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            let (mut rest, mut size) = (&sent[..], 1);
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(size.min(rest.len()));
                corked.write_all(piece).await.unwrap();
                (rest, size) = (later, (size * 5 + 3) % 40_000);
            }
            poll_fn(|cx| cork.poll_release(cx)).await.unwrap();
        });
        let mut got = Vec::new();
        let mut piece = [0; 64];
        while got.len() < expected.len() {
            let read = far.read(&mut piece).await.unwrap();
            got.extend_from_slice(&piece[..read]);
        }
        assert!(got == expected);
        writing.await.unwrap();
    }

    #[tokio::test]
    async fn what_is_held_leaves_before_the_end() {
        let (near, mut far) = duplex(1024);
        let (mut corked, _cork) = Cork::new(near);
        corked.write_all(b"goodbye").await.unwrap();
        corked.shutdown().await.unwrap();
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"goodbye");
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_is_an_error() {
        let (near, far) = duplex(16);
        drop(far);
        let (mut corked, cork) = Cork::new(near);
        corked.write_all(b"to nobody").await.unwrap();
        let error = poll_fn(|cx| cork.poll_release(cx)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
