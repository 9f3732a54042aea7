//! The secret behind QUIC's stateless resets (RFC 9000 section 10.3). It outlives the process, so that after a crash peers learn at
//! once that their connections are gone.

use std::path::Path;

use kogge_durable::DurableError;
use uuid::Uuid;

/// Reads the key, or makes a new one if there is none or it is damaged: then peers wait for their idle timeout once.
pub(super) fn load_or_create(path: &Path) -> Result<[u8; 32], DurableError> {
    if let Some(key) = std::fs::read(path).ok().and_then(|bytes| bytes.try_into().ok()) {
        return Ok(key);
    }
    let mut key = [0; 32];
    // Two UUIDs have 244 random bits from the operating system.
    for (half, random) in key.chunks_exact_mut(16).zip([Uuid::new_v4(), Uuid::new_v4()]) {
        half.copy_from_slice(random.as_bytes());
    }
    kogge_durable::write_atomic(path, &key, true)?;
    Ok(key)
}
