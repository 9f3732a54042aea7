//! Bytes that survive: atomic synced writes and the directory lock.
