//! The tunnel between security servers: one contract over two carriers, QUIC and HTTP/2 over TCP.
//!
//! **One exchange is one stream.** The consumer's side opens it with [`Tunnels::open`], the provider's side receives it
//! from [`Listener::accept`]; both hold a [`PeerStream`] and pass [`Frame`]s, each preceded by its length. A stream that is
//! dropped before [`PeerStream::finish`] is reset, so that the peer never takes half a message for a whole one.
//!
//! **Who is at the other end** is settled before the first frame: [`PeerIdentity`] exists only for a registered security
//! server whose authentication certificate leads to an approved CA. It is settled again, against the snapshot of that
//! moment, for each new stream of a connection. There is no session resumption and no early data: a resumed session
//! would never ask the certificate verifier.
//!
//! **Every wait has a deadline**, and what it means for the exchange is in [`TransportError`]: only before the first byte
//! may another address be tried.
//!
//! A new connection counts as accepted only when the listener has said so in its own words (HTTP/2 `SETTINGS`, or a
//! greeting on a QUIC stream): in TLS 1.3 a client's handshake ends before the server has judged the client's certificate.
//!
//! Deliberately absent: what is inside a frame, who may call which service, retries after the first byte.
#![forbid(unsafe_code)]

mod activity;
mod carrier;
mod dial_error;
mod error;
mod frames;
mod identity;
mod limits;
mod listener;
mod peer;
mod stamp;
mod stream;
mod tls;
mod tunnels;
mod undelivered;
mod verify;

pub use error::{BindError, IdentityError, ProtocolError, Refusal, TransportError};
pub use identity::{Identity, LocalIdentity};
pub use kogge_proto::wire::tunnel::{Fault, Frame, Head, frame};
pub use limits::{ListenerLimits, TunnelLimits};
pub use listener::{Listener, RefusedPeer};
pub use peer::{PeerIdentity, PeerTrust};
pub use stream::{FrameReceiver, FrameSender, PeerStream};
pub use tunnels::Tunnels;

/// Which carriers a [`Tunnels`] may use.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TransportMode {
    /// QUIC where it works, HTTP/2 where UDP does not pass; remembered per address.
    #[default]
    Auto,
    /// QUIC only.
    Quic,
    /// HTTP/2 over TCP only.
    H2,
}

/// What carries a stream.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Carrier {
    /// QUIC: one bidirectional stream per exchange.
    Quic,
    /// HTTP/2 over TLS over TCP: one `POST /exchange` per exchange.
    H2,
}

impl std::fmt::Display for Carrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Quic => "quic",
            Self::H2 => "h2",
        })
    }
}
