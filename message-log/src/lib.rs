//! What happened, in order: durable segments, hash chain, index, recovery.
