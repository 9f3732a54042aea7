//! The file as written, and its way to a [`Config`].

mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kogge_certs::anchor::Anchor;
use kogge_certs::certificate::Certificate;
use kogge_daemon::config::{self, ConfigError};
use kogge_daemon::server::{ClientCertificates, tls_config};
use kogge_proto::id::{MemberId, SecurityServerId, ServiceId, SubsystemId};
use kogge_proto::limits;
use kogge_signer::PinSource;
use kogge_transport::TransportMode;

use self::tables::{
    RawAccess, RawClient, RawConfig, RawConsumer, RawMessageLog, RawProvider, RawRegistry, RawService,
};
use super::keeping::Keeping;
use super::{
    ClientConfig, Config, ConnectionPolicy, ConsumerConfig, ConsumerTls, MessageLogConfig, ProviderConfig,
    RegistryConfig, RsaPadding, SignatureConfig, SignatureMode, TokenConfig, defaults,
};
use crate::services::{AccessRight, AccessRights, PathPattern, RegisterUrl, Service};

pub(super) fn load(path: &Path) -> Result<Config, ConfigError> {
    let file = File(path);
    let raw: RawConfig = config::load(path)?;
    let anchor = file.anchor(&raw.anchor)?;
    let id: SecurityServerId = file.parse("id", &raw.id)?;
    if id.owner().instance() != anchor.instance() {
        return Err(file.refuse("id", format!("is not of the anchor's instance {}", anchor.instance())));
    }
    if raw.consumer.is_none() && raw.provider.is_none() {
        return Err(file.refuse("consumer", "neither [consumer] nor [provider] is there: nothing to do"));
    }
    let keeping = Keeping::load(&file, raw.message_log.keep_bodies, &raw.subsystems, &anchor)?;
    let signature = file.signature(&raw, &anchor)?;
    Ok(Config {
        data_dir: file.path(&raw.data_dir),
        token: TokenConfig { dir: file.path(&raw.token.dir), pin: file.pin(&raw.token.pin)? },
        registry: file.registry(&raw.registry)?,
        consumer: raw.consumer.map(|raw| file.consumer(raw)).transpose()?,
        provider: raw.provider.map(|raw| file.provider(&raw)).transpose()?,
        status: raw.status.map(|raw| raw.listen),
        transport: file.transport(&raw.transport.mode)?,
        message_log: file.message_log(&raw.message_log)?,
        timestamp_interval: raw
            .timestamping
            .interval_s
            .map(|seconds| file.seconds("timestamping.interval_s", seconds, DAY_S))
            .transpose()?,
        timestamp_xroad: raw.timestamping.xroad,
        signature,
        clients: file.clients(&raw.clients, &keeping, &anchor)?,
        services: file.services(raw.services, &keeping, &anchor)?,
        id,
        anchor,
    })
}

/// The configuration file: what errors name and paths are relative to.
pub(super) struct File<'a>(&'a Path);

impl File<'_> {
    pub(super) fn refuse(&self, key: impl Into<String>, reason: impl Into<String>) -> ConfigError {
        ConfigError::Value { path: self.0.to_owned(), key: key.into(), reason: reason.into() }
    }

    fn path(&self, path: &Path) -> PathBuf {
        config::resolve(self.0, path)
    }

    fn read(&self, key: &str, path: &Path) -> Result<String, ConfigError> {
        let path = self.path(path);
        std::fs::read_to_string(&path)
            .map_err(|error| self.refuse(key, format!("cannot read {}: {error}", path.display())))
    }

    pub(super) fn parse<T: std::str::FromStr>(&self, key: &str, text: &str) -> Result<T, ConfigError>
    where
        T::Err: std::fmt::Display,
    {
        text.parse().map_err(|error: T::Err| self.refuse(key, format!("{text:?}: {error}")))
    }

    fn seconds(&self, key: &str, seconds: u64, max: u64) -> Result<Duration, ConfigError> {
        if (1..=max).contains(&seconds) {
            Ok(Duration::from_secs(seconds))
        } else {
            Err(self.refuse(key, format!("must be between 1 and {max} seconds")))
        }
    }

    fn body_bytes(&self, key: &str, bytes: Option<u64>) -> Result<u64, ConfigError> {
        match bytes {
            None => Ok(defaults::BODY_BYTES_MAX),
            Some(bytes) if bytes <= limits::BODY_BYTES_MAX => Ok(bytes),
            Some(_) => Err(self.refuse(key, format!("must be at most {}", limits::BODY_BYTES_MAX))),
        }
    }

    fn exchanges(&self, key: &str, number: Option<usize>) -> Result<usize, ConfigError> {
        match number.unwrap_or(defaults::EXCHANGES_MAX) {
            number @ 1..=EXCHANGES_LIMIT => Ok(number),
            _ => Err(self.refuse(key, format!("must be between 1 and {EXCHANGES_LIMIT}"))),
        }
    }

    fn anchor(&self, path: &Path) -> Result<Anchor, ConfigError> {
        let text = self.read("anchor", path)?;
        Anchor::parse(&text).map_err(|error| self.refuse("anchor", error.to_string()))
    }

    fn pin(&self, text: &str) -> Result<PinSource, ConfigError> {
        match PinSource::parse(text) {
            Ok(PinSource::File(path)) => Ok(PinSource::File(self.path(&path))),
            Ok(other) => Ok(other),
            // The text may be the PIN itself, written in the wrong place: it must not be repeated.
            Err(_) => Err(self.refuse("token.pin", "must be file:PATH, env:NAME or prompt")),
        }
    }

    fn registry(&self, raw: &RawRegistry) -> Result<RegistryConfig, ConfigError> {
        Ok(RegistryConfig {
            interval: match raw.interval_s {
                None => defaults::REGISTRY_INTERVAL,
                Some(seconds) => self.seconds("registry.interval_s", seconds, HOUR_S)?,
            },
            tls_roots: self.roots("registry.tls_roots", raw.tls_roots.as_deref())?,
        })
    }

    fn roots(&self, key: &str, path: Option<&Path>) -> Result<Option<String>, ConfigError> {
        let Some(path) = path else { return Ok(None) };
        let pem = self.read(key, path)?;
        Certificate::from_pem(&pem).map_err(|error| self.refuse(key, error.to_string()))?;
        Ok(Some(pem))
    }

    fn consumer(&self, raw: RawConsumer) -> Result<ConsumerConfig, ConfigError> {
        let tls = match (raw.tls_listen, raw.tls_certificate, raw.tls_key) {
            (None, None, None) => None,
            (Some(listen), Some(certificate), Some(key)) => {
                let (certificate, key) = (self.path(&certificate), self.path(&key));
                // Read again when the server starts; here so that a check of the configuration finds what is wrong with them.
                tls_config(&certificate, &key, ClientCertificates::Requested)
                    .map_err(|error| self.refuse("consumer.tls_certificate", error.to_string()))?;
                Some(ConsumerTls { listen, certificate, key })
            }
            _ => {
                let reason = "goes together with tls_certificate and tls_key";
                return Err(self.refuse("consumer.tls_listen", reason));
            }
        };
        if raw.listen.is_none() && tls.is_none() {
            return Err(self.refuse("consumer.listen", "is missing, and tls_listen too"));
        }
        Ok(ConsumerConfig {
            listen: raw.listen,
            tls,
            body_bytes_max: self.body_bytes("consumer.body_bytes_max", raw.body_bytes_max)?,
            exchange_time_max: match raw.exchange_time_max_s {
                None => defaults::EXCHANGE_TIME_MAX,
                Some(seconds) => self.seconds(
                    "consumer.exchange_time_max_s",
                    seconds,
                    limits::EXCHANGE_TIME_MAX.as_secs(),
                )?,
            },
            exchanges_max: self.exchanges("consumer.exchanges_max", raw.exchanges_max)?,
        })
    }

    fn provider(&self, raw: &RawProvider) -> Result<ProviderConfig, ConfigError> {
        Ok(ProviderConfig {
            listen: raw.listen,
            exchanges_max: self.exchanges("provider.exchanges_max", raw.exchanges_max)?,
        })
    }

    fn transport(&self, mode: &str) -> Result<TransportMode, ConfigError> {
        match mode {
            "auto" => Ok(TransportMode::Auto),
            "quic" => Ok(TransportMode::Quic),
            "h2" => Ok(TransportMode::H2),
            _ => Err(self.refuse("transport.mode", "must be auto, quic or h2")),
        }
    }

    fn message_log(&self, raw: &RawMessageLog) -> Result<MessageLogConfig, ConfigError> {
        let mib = raw.segment_mib.unwrap_or(defaults::SEGMENT_MIB);
        if !(1..=SEGMENT_MIB_LIMIT).contains(&mib) {
            let reason = format!("must be between 1 and {SEGMENT_MIB_LIMIT}");
            return Err(self.refuse("message_log.segment_mib", reason));
        }
        Ok(MessageLogConfig {
            dir: self.path(&raw.dir),
            segment_bytes: mib * 1024 * 1024,
            encrypt_bodies: raw.encrypt_bodies.unwrap_or(defaults::ENCRYPT_BODIES),
        })
    }

    fn signature(&self, raw: &RawConfig, anchor: &Anchor) -> Result<SignatureConfig, ConfigError> {
        let mut members = BTreeMap::new();
        for (number, raw) in raw.members.iter().enumerate() {
            let key = |name: &str| format!("members[{number}].{name}");
            let member: MemberId = self.parse(&key("id"), &raw.id)?;
            self.same_instance(&key("id"), &member, anchor)?;
            let mode = self.signature_mode(key("signature"), &raw.signature)?;
            if members.insert(member, mode).is_some() {
                return Err(self.refuse(key("id"), format!("{} is there twice", raw.id)));
            }
        }
        let default =
            raw.signature.as_deref().map(|mode| self.signature_mode("signature", mode)).transpose()?;
        let rsa = match raw.rsa_signature.as_deref() {
            None => RsaPadding::default(),
            Some("pkcs1") => RsaPadding::Pkcs1,
            Some("pss") => RsaPadding::Pss,
            Some(_) => return Err(self.refuse("rsa_signature", "must be pkcs1 or pss")),
        };
        Ok(SignatureConfig { default: default.unwrap_or_default(), members, rsa })
    }

    fn signature_mode(&self, key: impl Into<String>, mode: &str) -> Result<SignatureMode, ConfigError> {
        match mode {
            "each" => Ok(SignatureMode::Each),
            "batch" => Ok(SignatureMode::Batch),
            _ => Err(self.refuse(key, "must be each or batch")),
        }
    }

    fn clients(
        &self,
        raw: &[RawClient],
        keeping: &Keeping,
        anchor: &Anchor,
    ) -> Result<Vec<ClientConfig>, ConfigError> {
        let mut seen = BTreeSet::new();
        let mut clients = Vec::with_capacity(raw.len());
        for (number, raw) in raw.iter().enumerate() {
            let key = |name: &str| format!("clients[{number}].{name}");
            let subsystem: SubsystemId = self.parse(&key("subsystem"), &raw.subsystem)?;
            self.same_instance(&key("subsystem"), subsystem.member(), anchor)?;
            if !seen.insert(subsystem.clone()) {
                return Err(self.refuse(key("subsystem"), format!("{subsystem} is there twice")));
            }
            let connection = self.connection(&key("connection"), &key("certificates"), raw)?;
            let retention = keeping.of(&subsystem, raw.keep_bodies);
            clients.push(ClientConfig { subsystem, connection, retention });
        }
        Ok(clients)
    }

    fn connection(
        &self,
        key: &str,
        certificates_key: &str,
        raw: &RawClient,
    ) -> Result<ConnectionPolicy, ConfigError> {
        if raw.connection != "mtls" && !raw.certificates.is_empty() {
            return Err(self.refuse(certificates_key, "goes together with connection = \"mtls\" only"));
        }
        match raw.connection.as_str() {
            "http" => Ok(ConnectionPolicy::Http),
            "https" => Ok(ConnectionPolicy::Https),
            "mtls" => {
                let mut certificates = Vec::new();
                for path in &raw.certificates {
                    let pem = self.read(certificates_key, path)?;
                    let found = Certificate::from_pem(&pem)
                        .map_err(|error| self.refuse(certificates_key, error.to_string()))?;
                    // Of a chain only the leaf may speak for the subsystem.
                    certificates.extend(found.into_iter().next());
                }
                if certificates.is_empty() {
                    return Err(
                        self.refuse(certificates_key, "names no certificate, so nobody could connect")
                    );
                }
                Ok(ConnectionPolicy::Mtls(certificates))
            }
            _ => Err(self.refuse(key, "must be http, https or mtls")),
        }
    }

    fn services(
        &self,
        raw: Vec<RawService>,
        keeping: &Keeping,
        anchor: &Anchor,
    ) -> Result<Vec<Service>, ConfigError> {
        let mut seen = BTreeSet::new();
        let mut services = Vec::with_capacity(raw.len());
        for (number, raw) in raw.into_iter().enumerate() {
            let service = self.service(number, raw, keeping, anchor)?;
            if !seen.insert(service.id.clone()) {
                let reason = format!("{} is there twice", service.id);
                return Err(self.refuse(format!("services[{number}].id"), reason));
            }
            services.push(service);
        }
        Ok(services)
    }

    fn service(
        &self,
        number: usize,
        raw: RawService,
        keeping: &Keeping,
        anchor: &Anchor,
    ) -> Result<Service, ConfigError> {
        let key = |name: &str| format!("services[{number}].{name}");
        let id: ServiceId = self.parse(&key("id"), &raw.id)?;
        self.same_instance(&key("id"), id.subsystem().member(), anchor)?;
        let url: RegisterUrl = self.parse(&key("url"), &raw.url)?;
        let tls_roots = self.roots(&key("tls_roots"), raw.tls_roots.as_deref())?;
        if url.is_https() != tls_roots.is_some() {
            return Err(self.refuse(key("tls_roots"), "goes together with a https:// url, and only with one"));
        }
        let rights = raw
            .access
            .iter()
            .enumerate()
            .map(|(access, raw)| self.access(&format!("services[{number}].access[{access}]"), raw, anchor))
            .collect::<Result<Vec<_>, _>>()?;
        let retention = keeping.of(id.subsystem(), raw.keep_bodies);
        Ok(Service {
            id,
            url,
            tls_roots,
            time_max: match raw.time_max_s {
                None => defaults::SERVICE_TIME_MAX,
                Some(seconds) => {
                    self.seconds(&key("time_max_s"), seconds, limits::EXCHANGE_TIME_MAX.as_secs())?
                }
            },
            body_bytes_max: self.body_bytes(&key("body_bytes_max"), raw.body_bytes_max)?,
            retention,
            purposes: raw.purposes.into_iter().collect(),
            access: AccessRights::new(rights),
        })
    }

    fn access(&self, key: &str, raw: &RawAccess, anchor: &Anchor) -> Result<AccessRight, ConfigError> {
        let client: SubsystemId = self.parse(&format!("{key}.client"), &raw.client)?;
        self.same_instance(&format!("{key}.client"), client.member(), anchor)?;
        let path: PathPattern = self.parse(&format!("{key}.path"), raw.path.as_deref().unwrap_or("/**"))?;
        AccessRight::new(client, raw.methods.as_deref(), path)
            .map_err(|error| self.refuse(format!("{key}.methods"), error.to_string()))
    }

    pub(super) fn same_instance(
        &self,
        key: &str,
        member: &MemberId,
        anchor: &Anchor,
    ) -> Result<(), ConfigError> {
        if member.instance() == anchor.instance() {
            Ok(())
        } else {
            Err(self.refuse(key, format!("is not of the anchor's instance {}", anchor.instance())))
        }
    }
}

/// One exchange holds a task and a few buffers; more than this needs a bigger machine, not a bigger number.
const EXCHANGES_LIMIT: usize = 65_536;

/// A segment is read as a whole by some tools.
const SEGMENT_MIB_LIMIT: u64 = 4096;

const HOUR_S: u64 = 3600;
const DAY_S: u64 = 86_400;
