//! What an instance is made of.

use kogge_signer::NewKeyKind;

/// What to set up. The default is what `kogge demo` shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    /// What carries the tunnel.
    pub(crate) transport: Transport,
    /// An HTTP service to use as the register instead of the built-in one.
    pub(crate) register: Option<String>,
    /// What both members sign messages with.
    pub(crate) signing_key: NewKeyKind,
    /// How both members sign, `each` or `batch`; the servers' default if there is none.
    pub(crate) signature: Option<&'static str>,
    /// More client subsystems on the consumer's server: `c001`, `c002` …
    pub(crate) clients: u32,
    /// More services on the provider's server: `s001`, `s002` …; each may be called by some of the clients.
    pub(crate) services: u32,
    /// Members that are in the registry and take no part, each with a server, a subsystem and a service.
    pub(crate) bystanders: u32,
    /// Longest time of an exchange and of the register in seconds; the servers' default if there is none.
    pub(crate) time_max_s: Option<u32>,
    /// Whether the logs get digests of bodies only, where clients and services are those beside the demo's own.
    pub(crate) digests_only: bool,
    /// Seconds between two looks at the registry; one if there is none, so that changes are seen at once.
    pub(crate) registry_interval_s: Option<u32>,
}

/// What carries the tunnel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Transport {
    /// QUIC where it works, HTTP/2 where UDP does not pass.
    #[default]
    Auto,
    /// QUIC only.
    Quic,
    /// HTTP/2 over TCP only.
    H2,
}

impl Transport {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Quic => "quic",
            Self::H2 => "h2",
        }
    }
}
