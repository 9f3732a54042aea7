//! Every limit of the wire, each with its reason. Limits of one process (connections, queues) live with their owner.

use std::time::Duration;

/// Longest code within an identifier, in bytes of UTF-8: what X-Road's databases hold.
pub const IDENTIFIER_BYTES_MAX: usize = 255;

/// Longest REST message part (request line and headers) in bytes: twice what common HTTP servers accept.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Most headers in one REST message; hyper refuses more than 100 by itself.
pub const HEADERS_MAX: usize = 100;

/// Longest tunnel frame in bytes. A head holds a message, certificates and OCSP responses; a chunk is smaller.
pub const FRAME_BYTES_MAX: usize = 256 * 1024;

/// Size of a body chunk in the tunnel: large enough to amortise a TLS record, small enough to share a connection.
pub const BODY_CHUNK_BYTES: usize = 64 * 1024;

/// A body up to this many bytes is held in memory and stored inside its log record; a larger one is spooled to disk.
pub const INLINE_BODY_BYTES_MAX: u64 = 256 * 1024;

/// Largest body that a security server accepts unless configured lower.
pub const BODY_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Most certificates and OCSP responses that travel with one message.
pub const MATERIAL_ITEMS_MAX: usize = 8;

/// Largest single certificate or OCSP response.
pub const MATERIAL_ITEM_BYTES_MAX: usize = 16 * 1024;

/// Longest certification path below the approved CA: leaf and at most three intermediates.
pub const PATH_DEPTH_MAX: usize = 4;

/// Most messages under one signature. A message's share in a P-256 signature and its check is then below 2 µs, and its way to the
/// root has at most [`SIGNATURE_BATCH_DEPTH_MAX`] steps of 32 bytes.
pub const SIGNATURE_BATCH_MAX: usize = 64;

/// Most steps from a message to the root of its signature batch: the depth of a binary tree of [`SIGNATURE_BATCH_MAX`] leaves.
pub const SIGNATURE_BATCH_DEPTH_MAX: usize = SIGNATURE_BATCH_MAX.ilog2() as usize;

/// Largest registry snapshot that is fetched or read: room for 100,000 members.
pub const SNAPSHOT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Largest answer of an OCSP responder or TSA.
pub const TRUST_RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// Most records in one timestamp batch, as in X-Road.
pub const BATCH_LEAVES_MAX: usize = 10_000;

/// Longest time that one exchange may take, whatever the client asks for.
pub const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(300);
