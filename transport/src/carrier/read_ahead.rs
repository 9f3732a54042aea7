//! A TCP connection that is read in large pieces. rustls asks for 4 KiB at a time, which would be five system calls for one full record.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

pub(crate) struct ReadAhead<S> {
    inner: S,
    /// Read, but not yet asked for.
    ahead: BytesMut,
}

impl<S> ReadAhead<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, ahead: BytesMut::new() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { inner, ahead } = &mut *self;
        if ahead.is_empty() {
            ahead.reserve(AHEAD_BYTES);
            let read = poll_read_buf(Pin::new(inner), cx, ahead);
            if !matches!(read, Poll::Ready(Ok(1..))) {
                // An idle connection holds no memory.
                *ahead = BytesMut::new();
            }
            ready!(read)?;
        }
        let length = ahead.len().min(buf.remaining());
        buf.put_slice(&ahead[..length]);
        ahead.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
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

/// Most bytes that are read at once: four full TLS records. Held only while there is something to read.
const AHEAD_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn everything_arrives_in_order_and_the_memory_goes() {
        let (mut near, far) = duplex(10_000);
        let mut far = ReadAhead::new(far);
        let sent: Vec<u8> = (0..300_000_u32).map(|n| (n * 7 % 251) as u8).collect();
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            near.write_all(&sent).await.unwrap();
            near
        });
        let mut got = Vec::new();
        let mut piece = [0; 777];
        while got.len() < expected.len() {
            let read = far.read(&mut piece).await.unwrap();
            got.extend_from_slice(&piece[..read]);
        }
        assert!(got == expected);
        drop(writing.await.unwrap());
        assert_eq!(far.read(&mut piece).await.unwrap(), 0, "the end is the end");
        assert_eq!(far.ahead.capacity(), 0);
    }
}
