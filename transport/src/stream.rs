//! One exchange's stream of frames, the same on both carriers.

use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kogge_proto::wire::tunnel::Frame;
use tokio::time::{Instant, timeout_at};

use crate::carrier::{Ending, Receiving, Sending};
use crate::error::TransportError;
use crate::frames::{self, Decoder};
use crate::stamp::Stamp;
use crate::tunnels::Health;
use crate::undelivered::Undelivered;
use crate::{Carrier, PeerIdentity};

/// One exchange with a peer: frames both ways.
///
/// Dropped before [`PeerStream::finish`], it resets the stream: the peer sees an error, never a clean end.
pub struct PeerStream {
    sender: FrameSender,
    receiver: FrameReceiver,
}

/// The sending half of a [`PeerStream`].
pub struct FrameSender {
    half: Sending,
    /// Frames that leave with the next ones.
    held: BytesMut,
    exchange: Arc<Exchange>,
    deadline: Instant,
    end: End,
}

/// How far our sending has come.
enum End {
    /// More may follow.
    Open,
    /// A clean end.
    Finished,
    /// The peer was told that it went wrong.
    Broken,
}

/// The receiving half of a [`PeerStream`].
pub struct FrameReceiver {
    half: Receiving,
    exchange: Arc<Exchange>,
    deadline: Instant,
    decoder: Decoder,
    ended: bool,
}

/// What both halves know.
pub(crate) struct Exchange {
    pub(crate) peer: PeerIdentity,
    /// A frame that the peer does not take for this long ends the stream.
    pub(crate) send_time_max: Duration,
    /// A frame that does not arrive for this long ends the stream; on the dialling side only the deadline does, since the peer
    /// waits for a register.
    pub(crate) receive_time_max: Option<Duration>,
    pub(crate) side: Side,
    /// Counts the stream as open until both halves are gone.
    pub(crate) _held: Box<dyn Any + Send + Sync>,
}

/// Which side of the stream we are.
pub(crate) enum Side {
    /// We opened it. Before the first byte is sent the peer cannot have acted.
    Dialled {
        /// When the first byte was handed to the carrier.
        first_sent: OnceLock<Instant>,
        /// When something was last heard on the connection.
        heard: Stamp,
        /// Learns how long the first answer took, once.
        health: Arc<Health>,
        /// Whether it has learnt it.
        answered: OnceLock<()>,
    },
    /// The peer opened it.
    Accepted {
        /// Takes the answer when its last byte was handed to the carrier.
        undelivered: Arc<Undelivered>,
    },
}

impl PeerStream {
    pub(crate) fn new(sending: Sending, receiving: Receiving, exchange: Exchange, deadline: Instant) -> Self {
        let exchange = Arc::new(exchange);
        let sender = FrameSender {
            half: sending,
            held: BytesMut::new(),
            exchange: Arc::clone(&exchange),
            deadline,
            end: End::Open,
        };
        let decoder = Decoder::default();
        let receiver = FrameReceiver { half: receiving, exchange, deadline, decoder, ended: false };
        Self { sender, receiver }
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &PeerIdentity {
        &self.sender.exchange.peer
    }

    /// What carries the stream.
    #[must_use]
    pub fn carrier(&self) -> Carrier {
        self.sender.half.carrier()
    }

    /// Every wait on this stream ends at `deadline`; until then the one given to `open`, or the longest time that an
    /// exchange may take.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.sender.deadline = deadline;
        self.receiver.deadline = deadline;
    }

    /// The next frame; `None` after the peer has finished.
    ///
    /// # Errors
    /// See [`TransportError`]. After an error the stream is of no more use.
    pub async fn recv(&mut self) -> Result<Option<Frame>, TransportError> {
        self.receiver.recv().await
    }

    /// Sends one frame; waits while the peer does not take more.
    ///
    /// # Errors
    /// See [`TransportError`]. The peer may have answered and lost interest in the rest: [`PeerStream::recv`] still works.
    pub async fn send(&mut self, frame: Frame) -> Result<(), TransportError> {
        let result = self.sender.send(frame).await;
        self.explained(result)
    }

    /// As [`PeerStream::send`], but the frame may be kept back and leave with the frames after it, at the latest with
    /// [`PeerStream::finish`]: one packet for a message and its short body.
    ///
    /// # Errors
    /// As [`PeerStream::send`].
    pub async fn queue(&mut self, frame: Frame) -> Result<(), TransportError> {
        let result = self.sender.queue(frame).await;
        self.explained(result)
    }

    /// No more frames will be sent; receiving goes on.
    ///
    /// # Errors
    /// As [`PeerStream::send`].
    pub async fn finish(&mut self) -> Result<(), TransportError> {
        let result = self.sender.finish().await;
        self.explained(result)
    }

    /// A peer that does not take an exchange says so on the receiving half, while the sending half only breaks.
    fn explained(&mut self, result: Result<(), TransportError>) -> Result<(), TransportError> {
        match result {
            Err(error @ (TransportError::BrokenAfterSend { .. } | TransportError::Unreachable { .. })) => {
                Err(self.receiver.refusal_so_far().unwrap_or(error))
            }
            result => result,
        }
    }

    /// Gives the exchange up in both directions; the peer sees an error.
    pub fn reset(mut self) {
        self.sender.half.reset();
        self.sender.end = End::Broken;
        self.receiver.half.stop(false);
    }

    /// Ends a stream that nobody here has looked at; the peer may try elsewhere.
    pub(crate) fn turn_away(mut self) {
        self.sender.half.turn_away();
        self.sender.end = End::Broken;
        self.receiver.half.stop(true);
    }

    /// Sends and receives independently, for instance from two tasks. If sending fails, the receiving half knows best why.
    #[must_use]
    pub fn split(self) -> (FrameSender, FrameReceiver) {
        (self.sender, self.receiver)
    }

    /// Waits until the peer has given the exchange up, or the connection is lost. Never returns while the peer still waits
    /// for frames.
    pub async fn abandoned(&mut self) {
        self.sender.half.unwanted().await;
    }
}

impl FrameSender {
    /// As [`PeerStream::send`].
    ///
    /// # Errors
    /// As [`PeerStream::send`].
    pub async fn send(&mut self, frame: Frame) -> Result<(), TransportError> {
        self.queue(frame).await?;
        self.release(false).await
    }

    /// As [`PeerStream::queue`].
    ///
    /// # Errors
    /// As [`PeerStream::send`].
    pub async fn queue(&mut self, frame: Frame) -> Result<(), TransportError> {
        let apart = frames::encode(frame, &mut self.held)?;
        if apart.is_some() || self.held.len() >= HELD_BYTES_MAX {
            self.release(false).await?;
        }
        match apart {
            Some(bytes) => self.write(bytes, false).await,
            None => Ok(()),
        }
    }

    /// As [`PeerStream::finish`].
    ///
    /// # Errors
    /// As [`PeerStream::send`].
    pub async fn finish(&mut self) -> Result<(), TransportError> {
        if self.held.is_empty() {
            self.half.finish().map_err(|ending| self.exchange.error(ending))?;
        } else {
            self.release(true).await?;
        }
        self.end = End::Finished;
        Ok(())
    }

    /// Hands what was kept back to the carrier.
    async fn release(&mut self, last: bool) -> Result<(), TransportError> {
        let held = std::mem::take(&mut self.held).freeze();
        self.write(held, last).await
    }

    async fn write(&mut self, mut bytes: Bytes, last: bool) -> Result<(), TransportError> {
        let until = self.deadline.min(Instant::now() + self.exchange.send_time_max);
        while !bytes.is_empty() {
            match timeout_at(until, self.half.write_some(&mut bytes, last)).await {
                Ok(Ok(())) => self.exchange.note_sent(),
                Ok(Err(ending)) => return Err(self.exchange.error(ending)),
                Err(_) => return Err(TransportError::Timeout { sent: self.exchange.has_sent() }),
            }
        }
        Ok(())
    }

    /// An answer may still be on its way. An orderly shutdown does not close the connection under it.
    fn note_undelivered(&self) {
        if let (Side::Accepted { undelivered }, Some(delivered)) =
            (&self.exchange.side, self.half.delivered())
        {
            undelivered.add(delivered);
        }
    }
}

impl Drop for FrameSender {
    fn drop(&mut self) {
        match self.end {
            // QUIC streams would otherwise end cleanly.
            End::Open => self.half.reset(),
            End::Finished => self.note_undelivered(),
            End::Broken => {}
        }
    }
}

impl FrameReceiver {
    /// As [`PeerStream::recv`].
    ///
    /// # Errors
    /// As [`PeerStream::recv`].
    pub async fn recv(&mut self) -> Result<Option<Frame>, TransportError> {
        let patience = self.exchange.receive_time_max.map(|time| Instant::now() + time);
        let until = patience.map_or(self.deadline, |patience| patience.min(self.deadline));
        match timeout_at(until, self.next_frame()).await {
            Ok(Ok(frame)) => {
                self.exchange.note_received();
                Ok(frame)
            }
            Ok(Err(ending)) => Err(self.exchange.error(ending)),
            Err(_) => Err(TransportError::Timeout { sent: self.exchange.has_sent() }),
        }
    }

    async fn next_frame(&mut self) -> Result<Option<Frame>, Ending> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(Some(frame));
            }
            if self.ended {
                return Ok(None);
            }
            match self.half.read().await? {
                Some(bytes) => self.decoder.push(&bytes),
                None => {
                    self.ended = true;
                    self.decoder.finish()?;
                }
            }
        }
    }

    fn refusal_so_far(&mut self) -> Option<TransportError> {
        self.half.refusal_so_far().map(|ending| self.exchange.error(ending))
    }
}

impl Exchange {
    fn note_sent(&self) {
        if let Side::Dialled { first_sent, .. } = &self.side {
            first_sent.get_or_init(Instant::now);
        }
    }

    fn note_received(&self) {
        let Side::Dialled { first_sent, heard, health, answered } = &self.side else { return };
        heard.touch();
        if let Some(sent) = first_sent.get()
            && answered.set(()).is_ok()
        {
            health.took(sent.elapsed());
        }
    }

    fn has_sent(&self) -> bool {
        match &self.side {
            Side::Dialled { first_sent, .. } => first_sent.get().is_some(),
            Side::Accepted { .. } => true,
        }
    }

    fn error(&self, ending: Ending) -> TransportError {
        let error = match ending {
            Ending::NotTaken(reason) => self.unreachable(reason.to_owned()),
            Ending::Refused(refusal) => refusal.into(),
            Ending::Protocol(error) => error.into(),
            Ending::GivenUp => self.broken("the peer gave the exchange up".to_owned()),
            Ending::Lost(reason) => self.broken(reason),
        };
        // Whoever tries again should try elsewhere first.
        if let Side::Dialled { health, .. } = &self.side
            && error.may_fail_over()
        {
            health.failed(Instant::now());
        }
        error
    }

    fn broken(&self, reason: String) -> TransportError {
        if self.has_sent() { TransportError::BrokenAfterSend { reason } } else { self.unreachable(reason) }
    }

    fn unreachable(&self, reason: String) -> TransportError {
        TransportError::Unreachable { server: self.peer.server().clone(), reason }
    }
}

/// Most bytes that are kept back before they leave by themselves: one full TLS record.
const HELD_BYTES_MAX: usize = 16 * 1024;
