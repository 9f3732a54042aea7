//! From a configuration to a server that has bound everything.

use std::path::Path;
use std::sync::Arc;

use kogge_daemon::server::{Bound, ClientCertificates, ServerLimits, tls_config};
use kogge_message_log::{MessageLog, Options};
use kogge_proto::id::{MemberId, SecurityServerId};
use kogge_signer::SoftToken;
use kogge_transport::{Identity, Listener, ListenerLimits, PeerTrust, TunnelLimits, Tunnels};
use tokio::task::spawn_blocking;
use tokio_util::task::TaskTracker;

use super::office::OperatorSocket;
use super::status::Status;
use super::{Background, ConsumerSide, ProviderSide, SecurityServer, ServerError, reset_key};
use crate::admin::{Office, SOCKET};
use crate::body::Retention;
use crate::clock;
use crate::completeness::Completeness;
use crate::config::{
    ClientConfig, Config, ConsumerConfig, MessageLogConfig, ProviderConfig, SignatureMode, TokenConfig,
};
use crate::consumer::Consumer;
use crate::consumer::authenticate::Clients;
use crate::consumer::receive::Intakes;
use crate::exchange::Intake;
use crate::gate::{Conditions, Gate};
use crate::log_key::{self, OpenLogKeyError};
use crate::logging::Logging;
use crate::metrics::{Metrics, Watches};
use crate::provider::Provider;
use crate::provider::backend::Backend;
use crate::provider::verify::REPLAY_WINDOW;
use crate::registry::{Cache, Fetcher, Registry};
use crate::report::{Reporter, Side};
use crate::services::Services;
use crate::signing::Signing;
use crate::trust::{ClockCheck, Forms, Leaves, OcspKeeper, OcspStore, OwnKeys, Timestamper, Verdicts};

/// What both sides and everything around them are made of.
struct Parts {
    server: SecurityServerId,
    conditions: Arc<Conditions>,
    signing: Arc<Signing>,
    verdicts: Arc<Verdicts>,
    tunnels: Arc<Tunnels>,
    leaves: Arc<Leaves>,
    metrics: Arc<Metrics>,
    reporter: Arc<Reporter>,
}

impl Parts {
    fn logging(&self, side: Side) -> Logging {
        let watches = Watches::new(Arc::clone(&self.metrics), side);
        Logging::new(self.conditions.log.clone(), Arc::clone(&self.leaves), watches)
    }
}

pub(super) async fn start(config: Config) -> Result<SecurityServer, ServerError> {
    let (parts, background) = open(&config).await?;
    let members = signing_members(&config);
    let services = Arc::new(Services::new(config.services));
    let consumer = match &config.consumer {
        Some(side) => Some(consumer_side(&parts, side, config.clients).await?),
        None => None,
    };
    let provider = match &config.provider {
        Some(side) => Some(provider_side(&parts, side, services, &config.data_dir)?),
        None => None,
    };
    let status = match config.status {
        Some(listen) => {
            let bound = Bound::bind(listen, None, ServerLimits::default()).await?;
            let status = Status {
                server: config.id,
                conditions: Arc::clone(&parts.conditions),
                members,
                timestamper: Arc::clone(&background.timestamper),
                metrics: parts.metrics,
                consumer: consumer.as_ref().map(|side| Arc::clone(&side.consumer)),
                provider: provider.as_ref().map(|side| Arc::clone(&side.provider)),
                listener: provider.as_ref().map(|side| Arc::clone(&side.listener)),
            };
            Some((bound, Arc::new(status)))
        }
        None => None,
    };
    let (registry, log) = (Arc::clone(&parts.conditions.registry), parts.conditions.log.clone());
    let server =
        SecurityServer { consumer, provider, status, registry, tunnels: parts.tunnels, log, background };
    let [consumer, provider, status] = [
        server.consumer_addrs(),
        server.provider_addr().into_iter().collect(),
        server.status_addr().into_iter().collect(),
    ];
    tracing::info!(server = %parts.server, ?consumer, ?provider, ?status, "listening");
    Ok(server)
}

/// Opens token, log and caches; nothing is bound yet.
async fn open(config: &Config) -> Result<(Parts, Background), ServerError> {
    let ocsp_dir = config.data_dir.join("ocsp");
    kogge_durable::create_dir(&ocsp_dir, true)?;
    let clock_check = Arc::new(ClockCheck::default());
    let (token, log, completeness, registry) = open_what_takes_time(config, &clock_check).await?;
    let store = OcspStore::new(&ocsp_dir);
    let (snapshot, rsa) = (registry.latest(), config.signature.rsa);
    let (holdings, local) =
        OcspKeeper::first(&config.id, &token, rsa, snapshot.as_deref(), &store, clock::now())?;
    let identity = Arc::new(Identity::new(local.ok_or(ServerError::NoAuthenticationCertificate)?)?);
    let keys = Arc::new(OwnKeys::new(holdings));
    let metrics = Arc::new(Metrics::new());
    let leaves = Arc::new(Leaves::default());
    let trust = Arc::clone(&registry) as Arc<dyn PeerTrust>;
    let tunnels = Tunnels::new(Arc::clone(&identity), trust, config.transport, TunnelLimits::default());
    let timestamper = Timestamper::new(
        log.clone(),
        Arc::clone(&registry),
        Arc::clone(&clock_check),
        config.timestamp_interval,
        Forms { xroad: config.timestamp_xroad },
        (Arc::clone(&leaves), completeness),
    );
    let office = Office { server: config.id.clone(), log: log.clone(), token: token.clone() };
    let operators = OperatorSocket::bind(&config.data_dir.join(SOCKET), office)
        .inspect_err(|error| tracing::warn!(%error, "operators cannot ask this server for anything"))
        .ok();
    let background = Background {
        operators,
        fetcher: Fetcher::new(Arc::clone(&registry), config.registry.clone()),
        ocsp_keeper: OcspKeeper {
            server: config.id.clone(),
            token,
            rsa,
            keys: Arc::clone(&keys),
            identity: Arc::clone(&identity),
            registry: Arc::clone(&registry),
            store,
        },
        timestamper: Arc::new(timestamper),
    };
    let parts = Parts {
        server: config.id.clone(),
        signing: Arc::new(Signing::new(Arc::clone(&keys), batching_members(config), &metrics)),
        verdicts: Arc::new(Verdicts::new()),
        conditions: Arc::new(Conditions { registry, clock_check, keys, identity, log }),
        tunnels: Arc::new(tunnels),
        leaves,
        reporter: Arc::new(Reporter::new(Arc::clone(&metrics))),
        metrics,
    };
    Ok((parts, background))
}

/// Opening the token derives a key with Argon2id, opening the log reads a segment, and beside that, opening the registry's cache hashes and walks over the
/// snapshot: on threads of their own.
async fn open_what_takes_time(
    config: &Config,
    clock_check: &Arc<ClockCheck>,
) -> Result<(SoftToken, MessageLog, Arc<Completeness>, Arc<Registry>), ServerError> {
    // Not waited for: whoever needs random numbers earlier waits for the same.
    spawn_blocking(seed_random_numbers);
    // The log's key lies in the token.
    let token_and_log = spawn_blocking({
        let (server, token, log) = (config.id.clone(), config.token.clone(), config.message_log.clone());
        move || {
            let token = open_token(&token)?;
            let completeness_of = (server.clone(), log.dir.clone());
            let log = open_log(server, &log, &token)?;
            let (server, dir) = completeness_of;
            let completeness = Completeness::open(&server, log.clone(), &token, &dir)?;
            Ok::<_, ServerError>((token, log, Arc::new(completeness)))
        }
    });
    let registry = spawn_blocking({
        let (anchor, cache) = (config.anchor.clone(), Cache::new(&config.data_dir));
        let clock_check = Arc::clone(clock_check);
        move || Registry::open(anchor, cache, clock_check)
    });
    // All are waited for, whatever the first one says: a log that is still being opened would stay locked behind the error.
    let (token_and_log, registry) = tokio::join!(token_and_log, registry);
    let (token, log, completeness) = token_and_log.map_err(|_| ServerError::Stopped)??;
    Ok((token, log, completeness, Arc::new(registry.map_err(|_| ServerError::Stopped)?)))
}

/// aws-lc gathers jitter of the processor before its first random number, for 10 to 15 ms of CPU. Without this the first handshake would do that.
fn seed_random_numbers() {
    if rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(&mut [0]).is_err() {
        // Every handshake will say so too.
        tracing::error!("the system gives no random numbers");
    }
}

fn open_token(config: &TokenConfig) -> Result<SoftToken, ServerError> {
    let pin = config.pin.read()?;
    Ok(SoftToken::open(&config.dir, &pin)?)
}

fn open_log(
    server: SecurityServerId,
    config: &MessageLogConfig,
    token: &SoftToken,
) -> Result<MessageLog, ServerError> {
    kogge_durable::create_dir(&config.dir, true)?;
    let (log, recovery) = MessageLog::open(&config.dir, log_options(server, config, token)?)?;
    tracing::info!(entries = recovery.entries, "message log open");
    if recovery.torn_bytes > 0 {
        tracing::warn!(bytes = recovery.torn_bytes, "a torn tail of the message log was set aside");
    }
    if let Some(reason) = &recovery.index_rebuilt {
        tracing::warn!(%reason, "the message log's index was rebuilt");
    }
    Ok(log)
}

/// How this server keeps its log.
pub(crate) fn log_options(
    server: SecurityServerId,
    config: &MessageLogConfig,
    token: &SoftToken,
) -> Result<Options, OpenLogKeyError> {
    Ok(Options {
        server,
        segment_bytes: config.segment_bytes,
        index_cache_bytes: INDEX_CACHE_BYTES,
        replay_window: REPLAY_WINDOW,
        log_key: if config.encrypt_bodies { Some(log_key::make(token)?) } else { None },
        clock: clock::now,
    })
}

/// The members for which this server must be able to sign.
fn signing_members(config: &Config) -> Vec<MemberId> {
    let clients = config.clients.iter().filter(|_| config.consumer.is_some());
    let services = config.services.iter().filter(|_| config.provider.is_some());
    let mut members: Vec<MemberId> = clients
        .map(|client| client.subsystem.member().clone())
        .chain(services.map(|service| service.id.subsystem().member().clone()))
        .collect();
    members.sort();
    members.dedup();
    members
}

fn batching_members(config: &Config) -> impl Iterator<Item = MemberId> {
    signing_members(config).into_iter().filter(|member| config.signature.of(member) == SignatureMode::Batch)
}

async fn consumer_side(
    parts: &Parts,
    config: &ConsumerConfig,
    clients: Vec<ClientConfig>,
) -> Result<ConsumerSide, ServerError> {
    let limits = || ServerLimits {
        connections_max: CONNECTIONS_MAX.max(2 * config.exchanges_max),
        ..ServerLimits::default()
    };
    let mut listeners = Vec::new();
    if let Some(listen) = config.listen {
        listeners.push(Bound::bind(listen, None, limits()).await?);
    }
    if let Some(tls) = &config.tls {
        let tls_config = tls_config(&tls.certificate, &tls.key, ClientCertificates::Requested)?;
        listeners.push(Bound::bind(tls.listen, Some(tls_config), limits()).await?);
    }
    let intake = Intake {
        spool: parts.conditions.log.spool_dir(),
        body_bytes_max: config.body_bytes_max,
        retention: Retention::Kept,
    };
    let consumer = Arc::new(Consumer {
        server: parts.server.clone(),
        gate: Gate::new(Arc::clone(&parts.conditions), config.exchanges_max),
        intakes: Intakes::new(intake, &clients),
        clients: Clients::new(clients),
        signing: Arc::clone(&parts.signing),
        logging: parts.logging(Side::Consumer),
        watches: Watches::new(Arc::clone(&parts.metrics), Side::Consumer),
        tunnels: Arc::clone(&parts.tunnels),
        keys: Arc::clone(&parts.conditions.keys),
        verdicts: Arc::clone(&parts.verdicts),
        exchange_time_max: config.exchange_time_max,
        reporter: Arc::clone(&parts.reporter),
        running: TaskTracker::new(),
    });
    Ok(ConsumerSide { listeners, consumer })
}

fn provider_side(
    parts: &Parts,
    config: &ProviderConfig,
    services: Arc<Services>,
    data_dir: &Path,
) -> Result<ProviderSide, ServerError> {
    let reset_key = reset_key::load_or_create(&data_dir.join("quic-reset.key"))?;
    let trust = Arc::clone(&parts.conditions.registry) as Arc<dyn PeerTrust>;
    let listener = Listener::bind_with_reset_key(
        config.listen,
        Arc::clone(&parts.conditions.identity),
        trust,
        ListenerLimits::default(),
        Some(&reset_key),
    )?;
    let log = parts.conditions.log.clone();
    let spool = log.spool_dir();
    let provider = Provider {
        server: parts.server.clone(),
        gate: Gate::new(Arc::clone(&parts.conditions), config.exchanges_max),
        backend: Backend::new(Arc::clone(&services), Arc::clone(&spool))?,
        signing: Arc::clone(&parts.signing),
        logging: parts.logging(Side::Provider),
        watches: Watches::new(Arc::clone(&parts.metrics), Side::Provider),
        log,
        keys: Arc::clone(&parts.conditions.keys),
        verdicts: Arc::clone(&parts.verdicts),
        intake: Intake { spool, body_bytes_max: services.body_bytes_max(), retention: Retention::Kept },
        services,
        reporter: Arc::clone(&parts.reporter),
    };
    Ok(ProviderSide { listener: Arc::new(listener), provider: Arc::new(provider) })
}

/// sled's page cache: the index of a month of a busy server is read rarely, so a small one does.
const INDEX_CACHE_BYTES: u64 = 8 * 1024 * 1024;

/// Most connections of information systems: some keep theirs open between exchanges.
const CONNECTIONS_MAX: usize = 1024;
