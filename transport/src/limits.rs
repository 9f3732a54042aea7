//! Limits of one listener and of one set of tunnels, each with its reason.

use std::time::Duration;

/// Limits of a [`crate::Listener`].
#[derive(Clone, Debug)]
pub struct ListenerLimits {
    /// Most live connections over both carriers, handshakes included; one more is refused. A peer needs one or two.
    pub connections_max: usize,
    /// Most live connections from one IP address, so that one host cannot take all of them.
    pub connections_per_address_max: usize,
    /// Most concurrent streams of one connection.
    pub streams_per_connection_max: u32,
    /// Most concurrent streams of the whole listener; one more is refused.
    pub streams_max: usize,
    /// A handshake that takes longer is cut off: it holds memory for a stranger.
    pub handshake_time_max: Duration,
    /// A frame must arrive, or be taken by the peer, within this time.
    pub frame_time_max: Duration,
    /// A connection with an exchange on it is closed if nothing was heard on it for this long.
    pub idle_time_max: Duration,
    /// A connection without an exchange is closed after this time. The dialler does so sooner; this is for one that has vanished.
    pub unused_time_max: Duration,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            connections_max: 2048,
            connections_per_address_max: 256,
            streams_per_connection_max: 256,
            streams_max: 4096,
            handshake_time_max: Duration::from_secs(10),
            frame_time_max: Duration::from_secs(30),
            idle_time_max: IDLE_TIME_MAX,
            unused_time_max: UNUSED_TIME_MAX + IDLE_TIME_MAX * 2,
        }
    }
}

/// Limits of a [`crate::Tunnels`].
#[derive(Clone, Debug)]
pub struct TunnelLimits {
    /// Most connections to one address by one carrier.
    pub connections_per_address_max: usize,
    /// Streams on one connection before another connection is dialled; below the listener's limit.
    pub streams_per_connection_max: usize,
    /// Longest time for reaching one address, handshake included, however late the deadline.
    pub dial_time_max: Duration,
    /// How long QUIC is ahead of HTTP/2 in [`crate::TransportMode::Auto`].
    pub quic_head_start: Duration,
    /// How long an address is remembered as one that QUIC does not reach.
    pub quic_failure_memory: Duration,
    /// A frame that the peer does not take for this long ends the stream.
    pub frame_time_max: Duration,
}

impl Default for TunnelLimits {
    fn default() -> Self {
        Self {
            connections_per_address_max: 2,
            streams_per_connection_max: 128,
            dial_time_max: Duration::from_secs(5),
            quic_head_start: Duration::from_millis(400),
            quic_failure_memory: Duration::from_secs(300),
            frame_time_max: Duration::from_secs(30),
        }
    }
}

/// Silence after which a connection with an exchange on it counts as lost; several keep-alives fit into it.
pub(crate) const IDLE_TIME_MAX: Duration = Duration::from_secs(12);

/// While there is an exchange, its dialler says something at least this often, so that silence means loss. Without one nothing is said: a
/// thousand idle connections shall cost nothing, and [`PROBE_AFTER`] finds out what became of them.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(4);

/// What a peer may send on one HTTP/2 stream before we have read it: two frames.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 512 * 1024;

/// The same on a QUIC stream: enough to go on for a round trip while a lost packet is sent again, which TCP's buffers do below HTTP/2. A connection's
/// streams share [`CONNECTION_WINDOW_BYTES`] all the same.
pub(crate) const QUIC_STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// What a peer may send on one connection before we have read it, and what we hold for it until it acknowledges: enough for
/// 100 MB/s over 20 ms, little enough for a thousand connections.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// QUIC packets that the receiver may leave without an acknowledgement of their own, for 25 ms (draft-ietf-quic-ack-frequency): more than a message
/// with its certificates has, few for a body. After every second packet, as without this, each message would cost both sides a packet
/// and a wake-up more. Packets out of order are told at once all the same.
pub(crate) const PACKETS_UNACKNOWLEDGED_MAX: u32 = 10;

/// Largest HTTP/2 frame: a body chunk fits into few of them, and a stream cannot hold up the others for long.
pub(crate) const HTTP2_FRAME_BYTES: u32 = 32 * 1024;

/// Most bytes of HTTP/2 header fields; an exchange has five.
pub(crate) const HEADERS_BYTES_MAX: u32 = 4 * 1024;

/// A pooled connection that was silent for longer than this must answer a probe before an exchange is entrusted to it: a peer that was
/// killed and came back does not say so by itself.
pub(crate) const PROBE_AFTER: Duration = Duration::from_secs(1);

/// Longest wait for the answer to a probe; a new dial comes after it.
pub(crate) const PROBE_TIME_MAX: Duration = Duration::from_millis(1500);

/// A connection on which no exchange was begun for this long is closed.
pub(crate) const UNUSED_TIME_MAX: Duration = Duration::from_secs(600);
