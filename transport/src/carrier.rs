//! What the two carriers have in common: halves of a stream, and why they end.

pub(crate) mod corked;
pub(crate) mod http2;
pub(crate) mod quic;
pub(crate) mod read_ahead;
pub(crate) mod watched;

use bytes::Bytes;

use crate::Carrier;
use crate::error::{ProtocolError, Refusal};

/// The sending half of one exchange's stream.
pub(crate) enum Sending {
    Quic(quic::Sending),
    H2(http2::Sending),
}

/// The receiving half of one exchange's stream.
pub(crate) enum Receiving {
    Quic(quic::Receiving),
    H2(http2::Receiving),
}

/// Why a stream ended before its time, in words that both carriers share.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The peer has as many streams as it can take, or is going away. It has processed nothing.
    NotTaken(&'static str),
    /// The peer's registration or ours is no longer accepted. It has processed nothing.
    Refused(Refusal),
    /// The peer gave the exchange up.
    GivenUp,
    /// The connection is gone.
    Lost(String),
    /// The peer broke the rules.
    Protocol(ProtocolError),
}

impl From<ProtocolError> for Ending {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl Sending {
    pub(crate) fn carrier(&self) -> Carrier {
        match self {
            Self::Quic(_) => Carrier::Quic,
            Self::H2(_) => Carrier::H2,
        }
    }

    /// Hands some of `bytes` to the carrier, at least one; waits while the peer does not take more. If they are the `last`, the
    /// stream comes to a clean end with them.
    pub(crate) async fn write_some(&mut self, bytes: &mut Bytes, last: bool) -> Result<(), Ending> {
        match self {
            Self::Quic(sending) => {
                sending.write_some(bytes).await?;
                if last && bytes.is_empty() { sending.finish() } else { Ok(()) }
            }
            Self::H2(sending) => sending.write_some(bytes, last).await,
        }
    }

    /// A clean end.
    pub(crate) fn finish(&mut self) -> Result<(), Ending> {
        match self {
            Self::Quic(sending) => sending.finish(),
            Self::H2(sending) => sending.finish(),
        }
    }

    /// After a clean end: completes when the peer has everything. `None` if the carrier sees to that by itself when a connection is
    /// closed in order.
    pub(crate) fn delivered(&self) -> Option<impl Future<Output = ()> + Send + 'static> {
        match self {
            Self::Quic(sending) => Some(sending.delivered()),
            Self::H2(_) => None,
        }
    }

    /// An end that the peer sees as an error.
    pub(crate) fn reset(&mut self) {
        match self {
            Self::Quic(sending) => sending.reset(quic::GIVEN_UP),
            Self::H2(sending) => sending.reset(h2::Reason::CANCEL),
        }
    }

    /// An end by which the peer knows that nothing was processed.
    pub(crate) fn turn_away(&mut self) {
        match self {
            Self::Quic(sending) => sending.reset(quic::NOT_TAKEN),
            Self::H2(sending) => sending.reset(h2::Reason::REFUSED_STREAM),
        }
    }

    /// Waits until the peer wants nothing more, or the connection is lost.
    pub(crate) async fn unwanted(&mut self) {
        match self {
            Self::Quic(sending) => sending.unwanted().await,
            Self::H2(sending) => sending.unwanted().await,
        }
    }
}

impl Receiving {
    /// The next bytes; `None` at the peer's clean end.
    pub(crate) async fn read(&mut self) -> Result<Option<Bytes>, Ending> {
        match self {
            Self::Quic(receiving) => receiving.read().await,
            Self::H2(receiving) => receiving.read().await,
        }
    }

    /// Tells the peer that nothing more is wanted.
    pub(crate) fn stop(&mut self, turned_away: bool) {
        // HTTP/2 resets both directions at once, by the sending half.
        if let Self::Quic(receiving) = self {
            receiving.stop(if turned_away { quic::NOT_TAKEN } else { quic::GIVEN_UP });
        }
    }

    /// Why the peer did not take the exchange, if it has said so already. Never waits.
    pub(crate) fn refusal_so_far(&mut self) -> Option<Ending> {
        match self {
            // On QUIC the code that stopped our sending has said it.
            Self::Quic(_) => None,
            Self::H2(receiving) => receiving.refusal_so_far(),
        }
    }
}
