//! The file's tables and keys, as they are written.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::super::keeping::RawSubsystem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) id: String,
    pub(super) anchor: PathBuf,
    pub(super) data_dir: PathBuf,
    pub(super) signature: Option<String>,
    pub(super) rsa_signature: Option<String>,
    pub(super) token: RawToken,
    #[serde(default)]
    pub(super) registry: RawRegistry,
    pub(super) consumer: Option<RawConsumer>,
    pub(super) provider: Option<RawProvider>,
    pub(super) status: Option<RawStatus>,
    #[serde(default)]
    pub(super) transport: RawTransport,
    pub(super) message_log: RawMessageLog,
    #[serde(default)]
    pub(super) timestamping: RawTimestamping,
    #[serde(default)]
    pub(super) members: Vec<RawMember>,
    #[serde(default)]
    pub(super) subsystems: Vec<RawSubsystem>,
    #[serde(default)]
    pub(super) clients: Vec<RawClient>,
    #[serde(default)]
    pub(super) services: Vec<RawService>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawToken {
    pub(super) dir: PathBuf,
    pub(super) pin: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRegistry {
    pub(super) interval_s: Option<u64>,
    pub(super) tls_roots: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConsumer {
    pub(super) listen: Option<SocketAddr>,
    pub(super) tls_listen: Option<SocketAddr>,
    pub(super) tls_certificate: Option<PathBuf>,
    pub(super) tls_key: Option<PathBuf>,
    pub(super) body_bytes_max: Option<u64>,
    pub(super) exchange_time_max_s: Option<u64>,
    pub(super) exchanges_max: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProvider {
    pub(super) listen: SocketAddr,
    pub(super) exchanges_max: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStatus {
    pub(super) listen: SocketAddr,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTransport {
    pub(super) mode: String,
}

impl Default for RawTransport {
    fn default() -> Self {
        Self { mode: "auto".to_owned() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMessageLog {
    pub(super) dir: PathBuf,
    pub(super) segment_mib: Option<u64>,
    pub(super) encrypt_bodies: Option<bool>,
    pub(super) keep_bodies: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTimestamping {
    pub(super) interval_s: Option<u64>,
    #[serde(default)]
    pub(super) xroad: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMember {
    pub(super) id: String,
    pub(super) signature: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClient {
    pub(super) subsystem: String,
    pub(super) connection: String,
    pub(super) keep_bodies: Option<bool>,
    #[serde(default)]
    pub(super) certificates: Vec<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawService {
    pub(super) id: String,
    pub(super) url: String,
    pub(super) tls_roots: Option<PathBuf>,
    pub(super) time_max_s: Option<u64>,
    pub(super) body_bytes_max: Option<u64>,
    pub(super) keep_bodies: Option<bool>,
    #[serde(default)]
    pub(super) purposes: Vec<String>,
    #[serde(default)]
    pub(super) access: Vec<RawAccess>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAccess {
    pub(super) client: String,
    pub(super) methods: Option<Vec<String>>,
    pub(super) path: Option<String>,
}
