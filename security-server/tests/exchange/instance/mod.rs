//! A whole instance in one process: trust services, registry, two security servers, a register. Everything speaks the real protocols
//! over real sockets.

pub(crate) mod http;
pub(crate) mod register;
pub(crate) mod trust_services;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::{Request, Response, StatusCode};
use kogge_certs::anchor::{Anchor, Environment};
use kogge_certs::certificate::Certificate;
use kogge_certs::key::SigningKey;
use kogge_certs::profile::{Profile, Subject};
use kogge_certs::snapshot::{
    Draft, Member, Policy, SecurityServer as Registered, Service, SignedDelegation, Subsystem,
    sign_delegation, sign_snapshot,
};
use kogge_certs::trust::{ApprovedCa, ApprovedTsa};
use kogge_daemon::server::{Bound, ServerLimits, full};
use kogge_daemon::shutdown::Shutdown;
use kogge_evidence::signature::Credential;
use kogge_message_log::{Filter, Found, Reader};
use kogge_proto::id::{MemberId, SecurityServerId, SubsystemId};
use kogge_proto::time::UnixMillis;
use kogge_security_server::{Config, SecurityServer, ServerError, clock};
use kogge_signer::{KeyUse, NewKeyKind, Pin, SoftToken, ephemeral, import_chain};
use kogge_transport::LocalIdentity;
use tokio::task::JoinHandle;

use self::register::Register;
use self::trust_services::TrustServices;

pub(crate) const PORTAL: &str = "DEMO/GOV/1001/portal";
pub(crate) const PERSONS: &str = "DEMO/GOV/2002/population/persons";
const PIN: &str = "a-long-pin-1234";

/// The instance. Servers are started one by one with [`Instance::start`].
pub(crate) struct Instance {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) trust: TrustServices,
    pub(crate) register: Register,
    pub(crate) registry: Registry,
    pub(crate) transport: &'static str,
}

/// A registry that serves whatever draft it is given, signed.
pub(crate) struct Registry {
    pub(crate) anchor: Anchor,
    draft: Mutex<Draft>,
    delegation: SignedDelegation,
    online_key: Arc<dyn SigningKey>,
    served: Arc<Mutex<Option<Vec<u8>>>>,
    _end: EndOnDrop,
}

/// Ends what serves in the background.
#[derive(Clone)]
pub(crate) struct EndOnDrop(Arc<Shutdown>);

impl EndOnDrop {
    pub(crate) fn new() -> (Self, Shutdown) {
        let shutdown = Shutdown::new();
        (Self(Arc::new(shutdown.clone())), shutdown)
    }
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        if Arc::strong_count(&self.0) == 1 {
            self.0.ask();
        }
    }
}

/// A running security server.
pub(crate) struct Running {
    pub(crate) consumer: String,
    pub(crate) consumer_tls: Option<std::net::SocketAddr>,
    pub(crate) status: String,
    pub(crate) provider: Option<std::net::SocketAddr>,
    pub(crate) log_dir: PathBuf,
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

/// A member's server as the tests set it up.
pub(crate) struct Agency {
    pub(crate) member: MemberId,
    pub(crate) server: SecurityServerId,
    pub(crate) subsystem: SubsystemId,
}

impl Agency {
    pub(crate) fn consumer() -> Self {
        Self::new("1001", "portal")
    }

    pub(crate) fn provider() -> Self {
        Self::new("2002", "population")
    }

    fn new(code: &str, subsystem: &str) -> Self {
        let member = MemberId::new("DEMO", "GOV", code).unwrap();
        Self {
            server: SecurityServerId::new(member.clone(), "SS1").unwrap(),
            subsystem: SubsystemId::new(member.clone(), subsystem).unwrap(),
            member,
        }
    }

    fn registered(&self) -> BTreeSet<SubsystemId> {
        let secret =
            (self.member.code() == "1001").then(|| SubsystemId::new(self.member.clone(), "secret").unwrap());
        secret.into_iter().chain([self.subsystem.clone()]).collect()
    }

    pub(crate) fn dir(&self, instance: &Instance) -> PathBuf {
        instance.dir.path().join(self.member.code())
    }
}

impl Instance {
    /// Trust services, registry and register are up; nothing is published yet.
    pub(crate) async fn new(transport: &'static str) -> Self {
        let trust = TrustServices::start().await;
        let registry = Registry::start(&trust).await;
        let register = Register::start().await;
        Self { dir: tempfile::tempdir().unwrap(), trust, register, registry, transport }
    }

    /// The usual two servers, started, registered and ready.
    pub(crate) async fn with_two_servers(transport: &'static str) -> (Self, Running, Running) {
        let instance = Self::new(transport).await;
        for agency in [Agency::consumer(), Agency::provider()] {
            instance.prepare(&agency);
        }
        instance.start_two_servers().await
    }

    /// Starts and registers the usual two servers, once they are prepared.
    pub(crate) async fn start_two_servers(self) -> (Self, Running, Running) {
        let instance = self;
        let provider = instance.start(&Agency::provider()).await;
        let consumer = instance.start(&Agency::consumer()).await;
        instance.registry.publish(|draft| {
            for (agency, running) in [(Agency::provider(), &provider), (Agency::consumer(), &consumer)] {
                let server = draft.security_servers.iter_mut().find(|server| server.id == agency.server);
                server.unwrap().addresses = vec![running.provider.unwrap().to_string()];
            }
        });
        provider.ready().await;
        consumer.ready().await;
        (instance, consumer, provider)
    }

    /// Keys, certificates and configuration of an agency's server, and its registration (in the draft, not published).
    pub(crate) fn prepare(&self, agency: &Agency) {
        let dir = agency.dir(self);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("anchor.toml"), self.registry.anchor.to_toml()).unwrap();
        kogge_durable::write_atomic(&dir.join("pin"), PIN.as_bytes(), true).unwrap();
        let token = SoftToken::create(&dir.join("token"), &Pin::new(PIN)).unwrap();
        let name = format!("Agency {}", agency.member.code());
        let authentication = Subject::Authentication { server: agency.server.clone(), name: name.clone() };
        let signing = Subject::Signing { member: agency.member.clone(), name, server: agency.server.clone() };
        let auth = self.certify(&token, KeyUse::Authentication, Profile::Authentication, &authentication);
        self.certify(&token, KeyUse::Signing, Profile::Signing, &signing);
        std::fs::write(dir.join("security-server.toml"), self.config(agency)).unwrap();
        self.registry.edit(|draft| {
            draft.security_servers.push(Registered {
                id: agency.server.clone(),
                addresses: vec!["127.0.0.1:9".to_owned()],
                auth_certificates: vec![auth.sha256()],
                suspended: false,
            });
            for subsystem in agency.registered() {
                draft.registrations.entry(subsystem).or_default().insert(agency.server.clone());
            }
        });
    }

    /// What an agency's server signs and authenticates with, for tests that play its part.
    pub(crate) fn keys(&self, agency: &Agency) -> (LocalIdentity, Credential) {
        let token = SoftToken::open(&agency.dir(self).join("token"), &Pin::new(PIN)).unwrap();
        let entry = |key_use| {
            let entry = token.entries().unwrap().into_iter().find(|entry| entry.key_use == key_use).unwrap();
            (entry.chains[0][0].clone(), token.key(&entry.id).unwrap())
        };
        let (certificate, key) = entry(KeyUse::Authentication);
        let ocsp = self.trust.ocsp(&certificate);
        let identity = LocalIdentity { certificate, issuers: Vec::new(), key, ocsp };
        let (certificate, key) = entry(KeyUse::Signing);
        let ocsp = self.trust.ocsp(&certificate).into();
        (identity, Credential { certificate, issuers: Vec::new(), ocsp, key })
    }

    /// Changes an agency's configuration file.
    pub(crate) fn reconfigure(&self, agency: &Agency, edit: impl FnOnce(String) -> String) {
        let path = agency.dir(self).join("security-server.toml");
        std::fs::write(&path, edit(std::fs::read_to_string(&path).unwrap())).unwrap();
    }

    /// A second certificate for an agency's server, as when keys are rotated.
    pub(crate) fn certify_again(&self, agency: &Agency, key_use: KeyUse) -> Certificate {
        let token = SoftToken::open(&agency.dir(self).join("token"), &Pin::new(PIN)).unwrap();
        let (server, name) = (agency.server.clone(), "Agency".to_owned());
        match key_use {
            KeyUse::Signing => {
                let subject = Subject::Signing { member: agency.member.clone(), name, server };
                self.certify(&token, key_use, Profile::Signing, &subject)
            }
            _ => {
                let subject = Subject::Authentication { server, name };
                self.certify(&token, key_use, Profile::Authentication, &subject)
            }
        }
    }

    /// Most exchanges at once of each side of a server.
    pub(crate) fn exchanges_max(&self) -> usize {
        8
    }

    /// A new key in the token with a certificate of the instance's CA.
    pub(crate) fn certify(
        &self,
        token: &SoftToken,
        key_use: KeyUse,
        profile: Profile,
        subject: &Subject,
    ) -> Certificate {
        let id = token.generate(NewKeyKind::EcdsaP256, key_use, "test").unwrap();
        let key = token.key(&id).unwrap();
        let certificate = self.trust.issue(key.public_key(), profile, subject);
        let dir = token_dir(self, subject);
        import_chain(&dir, std::slice::from_ref(&certificate)).unwrap();
        certificate
    }

    fn config(&self, agency: &Agency) -> String {
        let (server, subsystem, member, transport) =
            (&agency.server, &agency.subsystem, &agency.member, self.transport);
        let exchanges_max = self.exchanges_max();
        let common = format!(
            r#"
id = "{server}"
anchor = "anchor.toml"
data_dir = "data"
[token]
dir = "token"
pin = "file:pin"
[registry]
interval_s = 1
[consumer]
listen = "127.0.0.1:0"
body_bytes_max = 8388608
exchange_time_max_s = 20
exchanges_max = {exchanges_max}
[provider]
listen = "127.0.0.1:0"
[status]
listen = "127.0.0.1:0"
[transport]
mode = "{transport}"
[message_log]
dir = "log"
segment_mib = 8
[timestamping]
interval_s = 1
xroad = true
[[clients]]
subsystem = "{subsystem}"
connection = "http"
[[clients]]
subsystem = "{member}/secret"
connection = "https"
"#
        );
        if agency.member.code() == "2002" { common + &self.services() } else { common }
    }

    fn services(&self) -> String {
        let register = &self.register.url;
        format!(
            r#"
[[services]]
id = "{PERSONS}"
url = "{register}/persons"
body_bytes_max = 8388608
[[services.access]]
client = "{PORTAL}"
path = "/**"
[[services]]
id = "DEMO/GOV/2002/population/narrow"
url = "{register}/persons"
time_max_s = 1
body_bytes_max = 1000
purposes = ["benefits"]
[[services.access]]
client = "{PORTAL}"
methods = ["GET", "POST"]
path = "/open/**"
[[services]]
id = "DEMO/GOV/2002/population/down"
url = "http://127.0.0.1:1/"
[[services.access]]
client = "{PORTAL}"
"#
        )
    }

    /// Binds an agency's server, as its files are now.
    pub(crate) async fn try_start(&self, agency: &Agency) -> Result<SecurityServer, ServerError> {
        SecurityServer::start(Config::load(&agency.dir(self).join("security-server.toml"))?).await
    }

    /// Starts an agency's server, as its files are now.
    pub(crate) async fn start(&self, agency: &Agency) -> Running {
        let log_dir = agency.dir(self).join("log");
        let server = self.try_start(agency).await.unwrap();
        let addrs = server.consumer_addrs();
        let consumer = format!("http://{}", addrs[0]);
        let consumer_tls = addrs.get(1).copied();
        let status = format!("http://{}", server.status_addr().unwrap());
        let provider = server.provider_addr();
        let shutdown = Shutdown::new();
        let task = tokio::spawn(server.serve(shutdown.clone()));
        Running { consumer, consumer_tls, status, provider, log_dir, shutdown, task }
    }
}

fn token_dir(instance: &Instance, subject: &Subject) -> PathBuf {
    let code = match subject {
        Subject::Signing { server, .. } | Subject::Authentication { server, .. } => server.owner().code(),
        _ => panic!("no server's subject"),
    };
    instance.dir.path().join(code).join("token")
}

impl Running {
    /// Waits until the server says that it is ready.
    pub(crate) async fn ready(&self) {
        self.status_is("ready", |status| status["ready"] == true).await;
    }

    /// Waits until `/ready` says what is expected.
    pub(crate) async fn status_is(
        &self,
        what: &str,
        expected: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let mut last = serde_json::Value::Null;
        for _ in 0..600 {
            last = http::get(&format!("{}/ready", self.status)).await.json();
            if expected(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("never {what}: {last:#}");
    }

    /// All message records of the server's log.
    pub(crate) fn records(&self) -> Vec<Found> {
        records(&self.log_dir)
    }

    /// Asks the server to stop, and waits for it.
    pub(crate) async fn stop(self) {
        self.shutdown.ask();
        self.task.await.unwrap();
    }
}

pub(crate) fn records(log_dir: &Path) -> Vec<Found> {
    let mut found = Vec::new();
    let collect = &mut |record| {
        found.push(record);
        true
    };
    Reader::open(log_dir).unwrap().list(&Filter::default(), collect).unwrap();
    found
}

impl Registry {
    async fn start(trust: &TrustServices) -> Self {
        let (end, shutdown) = EndOnDrop::new();
        let served: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
        let bound = Bound::bind("127.0.0.1:0".parse().unwrap(), None, ServerLimits::default()).await.unwrap();
        let url = format!("http://{}", bound.local_addr());
        let answer = Arc::clone(&served);
        let handler = move |request: Request<hyper::body::Incoming>, _| {
            let snapshot = answer.lock().unwrap().clone();
            async move {
                let mut response = Response::new(full(snapshot.clone().unwrap_or_default()));
                if snapshot.is_none() || request.uri().path() != "/snapshot" {
                    *response.status_mut() = StatusCode::NOT_FOUND;
                }
                response
            }
        };
        tokio::spawn(bound.serve(handler, shutdown));

        let root_key = ephemeral(NewKeyKind::EcdsaP256).unwrap();
        let online_key = ephemeral(NewKeyKind::EcdsaP256).unwrap();
        let root = vec![root_key.public_key().clone()];
        let anchor = Anchor::new("DEMO", Environment::Test, vec![url], root, 1).unwrap();
        let issued = clock::now().minus(Duration::from_secs(3600));
        let expires = clock::now().plus(Duration::from_secs(7 * 24 * 3600));
        let online = [online_key.public_key().clone()];
        let delegation =
            sign_delegation("DEMO", 1, issued, expires, &online, 1, &[root_key.as_ref()]).unwrap();
        let draft = Mutex::new(draft(trust));
        Self { anchor, draft, delegation, online_key, served, _end: end }
    }

    /// Changes the draft without publishing it.
    pub(crate) fn edit(&self, edit: impl FnOnce(&mut Draft)) {
        edit(&mut self.draft.lock().unwrap());
    }

    /// Changes the draft and publishes it as the next version.
    pub(crate) fn publish(&self, edit: impl FnOnce(&mut Draft)) {
        let mut draft = self.draft.lock().unwrap();
        draft.version += 1;
        draft.issued = clock::now();
        draft.expires = clock::now().plus(Duration::from_secs(3600));
        edit(&mut draft);
        let signed = sign_snapshot(&draft, &self.delegation, &[self.online_key.as_ref()]).unwrap();
        *self.served.lock().unwrap() = Some(signed);
    }

    /// What is served now.
    pub(crate) fn snapshot(&self) -> Vec<u8> {
        self.served.lock().unwrap().clone().unwrap()
    }

    /// Serves these bytes instead; `None` serves nothing.
    pub(crate) fn serve(&self, bytes: Option<Vec<u8>>) {
        *self.served.lock().unwrap() = bytes;
    }
}

fn draft(trust: &TrustServices) -> Draft {
    let member = |code: &str| Member {
        id: MemberId::new("DEMO", "GOV", code).unwrap(),
        name: format!("Agency {code}"),
        suspended: false,
    };
    let subsystem = |id: &str| Subsystem { id: id.parse().unwrap(), name: String::new() };
    let service = |id: &str| Service { id: id.parse().unwrap(), title: String::new() };
    Draft {
        instance: "DEMO".to_owned(),
        environment: Environment::Test,
        version: 0,
        issued: UnixMillis(0),
        expires: UnixMillis(0),
        policy: Policy {
            ocsp_freshness: Duration::from_secs(3600),
            timestamp_interval: Duration::from_secs(60),
            timestamp_failure: Duration::from_secs(14_400),
            clock_skew: Duration::from_secs(10),
        },
        members: vec![member("1001"), member("2002")],
        subsystems: [PORTAL, "DEMO/GOV/1001/secret", "DEMO/GOV/1001/elsewhere", "DEMO/GOV/2002/population"]
            .map(subsystem)
            .to_vec(),
        security_servers: Vec::new(),
        registrations: Default::default(),
        cas: vec![ApprovedCa {
            name: "Test CA".to_owned(),
            certificate: trust.ca.clone(),
            intermediates: Vec::new(),
            ocsp_urls: vec![format!("{}/ocsp", trust.url)],
            ocsp_responders: Vec::new(),
        }],
        tsas: vec![ApprovedTsa {
            name: "Test TSA".to_owned(),
            url: format!("{}/tsa", trust.url),
            certificate: trust.tsa.clone(),
            policies: vec![trust_services::TSA_POLICY.to_owned()],
        }],
        services: [
            PERSONS,
            "DEMO/GOV/2002/population/tls",
            "DEMO/GOV/2002/population/tls-other",
            "DEMO/GOV/2002/population/narrow",
            "DEMO/GOV/2002/population/down",
            "DEMO/GOV/2002/population/unconfigured",
        ]
        .map(service)
        .to_vec(),
    }
}
