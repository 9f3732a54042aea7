//! The configuration file: as written (`raw`) and as used ([`Config`]). Whatever can be checked is checked before a port is bound.
//!
//! There is no key that weakens a verification.

mod keeping;
mod raw;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kogge_certs::anchor::Anchor;
use kogge_certs::certificate::Certificate;
pub use kogge_daemon::config::ConfigError;
use kogge_proto::id::{MemberId, SecurityServerId, SubsystemId};
use kogge_signer::PinSource;
use kogge_transport::TransportMode;

use crate::body::Retention;
use crate::services::Service;

/// A valid configuration with all defaults filled in and all paths absolute or relative to the working directory.
#[derive(Clone, Debug)]
pub struct Config {
    /// This security server.
    pub id: SecurityServerId,
    /// Whose registry is believed.
    pub anchor: Anchor,
    /// Where the registry snapshot and OCSP responses are kept over a restart.
    pub data_dir: PathBuf,
    /// Where the private keys are.
    pub token: TokenConfig,
    /// How the registry is asked.
    pub registry: RegistryConfig,
    /// The side of the information systems that ask; absent if this server only provides.
    pub consumer: Option<ConsumerConfig>,
    /// The side of the peers; absent if this server only consumes.
    pub provider: Option<ProviderConfig>,
    /// Where `/live`, `/ready` and `/metrics` are answered.
    pub status: Option<SocketAddr>,
    /// What carries exchanges to peers.
    pub transport: TransportMode,
    /// The message log.
    pub message_log: MessageLogConfig,
    /// How often a batch is stamped; `None` follows the registry's policy.
    pub timestamp_interval: Option<Duration>,
    /// Whether each batch is stamped in X-Road's form as well.
    pub timestamp_xroad: bool,
    /// How messages are signed.
    pub signature: SignatureConfig,
    /// The subsystems that may ask through this server.
    pub clients: Vec<ClientConfig>,
    /// The services that this server provides.
    pub services: Vec<Service>,
}

/// Where the private keys are, and where their PIN comes from.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    /// Directory of the software token.
    pub dir: PathBuf,
    /// Where the PIN comes from.
    pub pin: PinSource,
}

/// How the registry is asked.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// Time between two questions while all is well.
    pub interval: Duration,
    /// PEM of the roots that a `https` registry's certificate must lead to; the snapshot's own signatures are checked anyway.
    pub tls_roots: Option<String>,
}

/// The side of the information systems that ask.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// Address of the HTTP listener.
    pub listen: Option<SocketAddr>,
    /// The HTTPS listener.
    pub tls: Option<ConsumerTls>,
    /// Largest request and response body.
    pub body_bytes_max: u64,
    /// Longest time for one exchange, from the first byte of the request to the last byte of the answer in this server's log.
    pub exchange_time_max: Duration,
    /// Most exchanges at once; one more is refused with 503.
    pub exchanges_max: usize,
}

/// The HTTPS listener for information systems.
#[derive(Clone, Debug)]
pub struct ConsumerTls {
    /// Its address.
    pub listen: SocketAddr,
    /// PEM file of its certificate chain.
    pub certificate: PathBuf,
    /// PEM file of its private key.
    pub key: PathBuf,
}

/// The side of the peers.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// QUIC on UDP and HTTP/2 on TCP.
    pub listen: SocketAddr,
    /// Most exchanges at once; one more is refused.
    pub exchanges_max: usize,
}

/// The message log.
#[derive(Clone, Debug)]
pub struct MessageLogConfig {
    /// Its directory.
    pub dir: PathBuf,
    /// Size of a segment in bytes.
    pub segment_bytes: u64,
    /// Whether bodies are encrypted, each with a key of its own, so that it can be erased.
    pub encrypt_bodies: bool,
}

/// How messages are signed: by a default, and otherwise for some members.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SignatureConfig {
    /// Of members that are not named.
    pub default: SignatureMode,
    /// Of the others.
    pub members: BTreeMap<MemberId, SignatureMode>,
    /// In which form RSA keys sign.
    pub rsa: RsaPadding,
}

/// The two forms of RSA signatures. A key of another kind has one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RsaPadding {
    /// PKCS#1 v1.5, which every verifier knows.
    #[default]
    Pkcs1,
    /// PSS with SHA-512. Servers of peers must know it too.
    Pss,
}

/// What a signature is about.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SignatureMode {
    /// One message.
    #[default]
    Each,
    /// The messages of a member that wait together for the same peer.
    Batch,
}

impl SignatureConfig {
    /// How the messages of a member are signed.
    #[must_use]
    pub fn of(&self, member: &MemberId) -> SignatureMode {
        self.members.get(member).copied().unwrap_or(self.default)
    }
}

/// A subsystem that may ask through this server.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Which.
    pub subsystem: SubsystemId,
    /// How its information system must connect.
    pub connection: ConnectionPolicy,
    /// Whether the log gets the bodies of its requests and of their responses.
    pub retention: Retention,
}

/// How an information system must connect to speak for a subsystem.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ConnectionPolicy {
    /// Plain HTTP or HTTPS: the network itself is trusted.
    Http,
    /// HTTPS.
    Https,
    /// HTTPS with exactly one of these client certificates.
    Mtls(Vec<Certificate>),
}

impl Config {
    /// Reads, checks and completes the configuration at `path`.
    ///
    /// # Errors
    /// The file or one that it names cannot be read, or a value cannot be used; the error names the key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        raw::load(path)
    }
}

/// What the keys of the file mean when they are absent, each with its reason.
pub mod defaults {
    use std::time::Duration;

    /// Largest body: what a register of documents needs; the wire allows four times as much.
    pub const BODY_BYTES_MAX: u64 = 1024 * 1024 * 1024;
    /// What cannot be erased must not be collected: leaving bodies as they are is a decision that has to be written down.
    pub const ENCRYPT_BODIES: bool = true;
    /// A log without bodies proves less: leaving them out is a decision that has to be written down.
    pub const KEEP_BODIES: bool = true;
    /// Longest exchange: twice what a register may take.
    pub const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(60);
    /// Most exchanges at once per side: with bodies of up to 256 KiB in memory this stays below 300 MiB.
    pub const EXCHANGES_MAX: usize = 512;
    /// Longest time that a register may take: half an exchange.
    pub const SERVICE_TIME_MAX: Duration = Duration::from_secs(30);
    /// Time between two questions to the registry. "Not modified" costs it next to nothing.
    pub const REGISTRY_INTERVAL: Duration = Duration::from_secs(10);
    /// Size of a log segment: large enough that a new one is rare, small enough to archive and scan.
    pub const SEGMENT_MIB: u64 = 64;
}

#[cfg(test)]
mod tests;
