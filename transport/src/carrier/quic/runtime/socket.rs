//! A UDP socket that wakes nobody up in vain.

use std::fmt;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio_util::sync::ReusableBoxFuture;

/// Only what arrives is an event. A socket that is also watched for room to send has one whenever the kernel is done with a packet, that is,
/// after nearly every packet.
#[derive(Debug)]
pub(super) struct Socket {
    state: UdpSocketState,
    io: AsyncFd<UdpSocket>,
    /// The last packet found no room.
    full: AtomicBool,
}

impl Socket {
    pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
        // This makes it non-blocking, too.
        let state = UdpSocketState::new((&socket).into())?;
        for set in [UdpSocketState::set_recv_buffer_size, UdpSocketState::set_send_buffer_size] {
            // The kernel gives as much as it is allowed to; without any of it the socket works too.
            let _ = set(&state, (&socket).into(), BUFFER_BYTES);
        }
        let io = watch(socket, Interest::READABLE)?;
        Ok(Self { state, io, full: AtomicBool::new(false) })
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Room { socket: self, wait: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let result = self.state.send(self.io.get_ref().into(), transmit);
        if matches!(&result, Err(error) if error.kind() == ErrorKind::WouldBlock) {
            self.full.store(true, Ordering::Relaxed);
        }
        result
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut readable = ready!(self.io.poll_read_ready(context))?;
            let mut received = 0;
            let result = readable.try_io(|io| {
                received = self.state.recv(io.get_ref().into(), buffers, meta)?;
                // Fewer than there was room for: the socket is empty. To say so here saves the call that would only find that out. What arrives
                // from now on makes it readable again: tokio drops no event that came after this attempt had begun.
                if received < buffers.len() { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            // An error belongs to some packet sent earlier, and strangers can provoke it; the endpoint would end with it.
            if received > 0 || matches!(result, Ok(Ok(()))) {
                return Poll::Ready(Ok(received));
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }
}

/// One connection's wait for room to send.
struct Room {
    socket: Arc<Socket>,
    wait: Option<ReusableBoxFuture<'static, io::Result<()>>>,
}

impl UdpPoller for Room {
    fn poll_writable(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.socket.full.load(Ordering::Relaxed) && self.wait.is_none() {
            return Poll::Ready(Ok(()));
        }
        let socket = Arc::clone(&self.socket);
        let wait = self.wait.get_or_insert_with(|| ReusableBoxFuture::new(room(socket)));
        let result = ready!(wait.poll(context));
        self.wait = None;
        self.socket.full.store(false, Ordering::Relaxed);
        Poll::Ready(result)
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}

/// Waits for room in the socket; only for so long it is watched for that.
async fn room(socket: Arc<Socket>) -> io::Result<()> {
    let same = watch(socket.io.get_ref().try_clone()?, Interest::WRITABLE)?;
    same.writable().await.map(drop)
}

#[expect(
    deprecated,
    reason = "its successor is `unsafe` for the sake of types whose descriptor may change; that of a `UdpSocket` does not"
)]
fn watch(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    AsyncFd::with_interest(socket, interest)
}

/// For what arrives while the process does something else: a round trip's worth of several connections. The kernel's limits (`net.core.rmem_max`
/// and `wmem_max`) are usually lower.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use futures_util::future::poll_fn;

    use super::*;

    fn sockets() -> (Arc<Socket>, UdpSocket, SocketAddr) {
        let [ours, theirs] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let addr = ours.local_addr().unwrap();
        (Arc::new(Socket::new(ours).unwrap()), theirs, addr)
    }

    /// So many packets as one call receives into `room` buffers.
    async fn receive(socket: &Socket, room: usize) -> usize {
        let mut buffers = vec![vec![0; 2000]; room];
        let mut meta = vec![RecvMeta::default(); room];
        poll_fn(|context| {
            let mut buffers: Vec<_> = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
            socket.poll_recv(context, &mut buffers, &mut meta)
        })
        .await
        .unwrap()
    }

    #[tokio::test]
    async fn no_packet_waits_unseen_whether_a_call_was_filled_or_not() {
        let (ours, theirs, addr) = sockets();
        for (sent, calls) in [(1, vec![1]), (2, vec![2]), (3, vec![2, 1]), (4, vec![2, 2]), (1, vec![1])] {
            for _ in 0..sent {
                theirs.send_to(&[7; 100], addr).unwrap();
            }
            for received in calls {
                assert_eq!(receive(&ours, 2).await, received);
            }
        }
    }

    #[tokio::test]
    async fn an_empty_socket_waits_for_the_next_packet() {
        let (ours, theirs, addr) = sockets();
        for _ in 0..100 {
            let waiting = tokio::spawn({
                let ours = Arc::clone(&ours);
                async move { receive(&ours, 4).await }
            });
            tokio::task::yield_now().await;
            theirs.send_to(&[7; 100], addr).unwrap();
            assert_eq!(waiting.await.unwrap(), 1);
        }
    }

    #[tokio::test]
    async fn a_full_socket_is_waited_for() {
        let (ours, theirs, _) = sockets();
        let mut room = Arc::clone(&ours).create_io_poller();
        poll_fn(|context| room.as_mut().poll_writable(context)).await.unwrap();
        // As after a packet that found no room; this socket has some.
        ours.full.store(true, Ordering::Relaxed);
        poll_fn(|context| room.as_mut().poll_writable(context)).await.unwrap();
        assert!(!ours.full.load(Ordering::Relaxed));
        let transmit = Transmit {
            destination: theirs.local_addr().unwrap(),
            ecn: None,
            contents: &[7; 100],
            segment_size: None,
            src_ip: None,
        };
        ours.try_send(&transmit).unwrap();
        let mut buffer = [0; 200];
        assert_eq!(theirs.recv(&mut buffer).unwrap(), 100);
    }
}
