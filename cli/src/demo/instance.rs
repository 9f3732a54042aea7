//! Sets up an instance as its operators would, by the same library calls as their commands, and starts every part.
//!
//! Order: trust services (everybody needs certificates), registry (everybody needs the anchor), then both agencies with their servers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use kogge_central_registry::{Change, InitOptions, Operator};
use kogge_certs::anchor::Environment;
use kogge_certs::certificate::Certificate;
use kogge_certs::profile::{self, Profile, Subject};
use kogge_certs::snapshot::Policy;
use kogge_certs::trust::{ApprovedCa, ApprovedTsa};
use kogge_durable::{create_dir, write_atomic};
use kogge_proto::id::{MemberId, SecurityServerId, ServiceId, SubsystemId};
use kogge_security_server::clock::now;
use kogge_signer::{KeyUse, NewKeyKind, Pin, PinSource, SoftToken, import_chain};
use serde_json::json;

use super::exchanges::EXAMPLE;
use super::layout::{Layout, Ports};
use super::processes::Processes;
use super::{Shape, crowd, program, say};

/// A running instance, as far as the rest of the demo needs to know it.
pub(crate) struct Instance {
    /// Base URL of the consumer's security server.
    pub(crate) consumer: String,
    pub(super) client: &'static str,
    pub(super) service: &'static str,
    pub(crate) anchor: PathBuf,
    pub(super) transport: &'static str,
    /// The consumer's, then the provider's.
    pub(crate) servers: Vec<Server>,
    /// Client and service of each pair that may make exchanges beside those of the demo.
    pub(crate) pairs: Vec<(String, String)>,
    endpoints: serde_json::Value,
}

/// One of its security servers.
pub(crate) struct Server {
    pub(crate) role: &'static str,
    pub(super) config: PathBuf,
    pub(crate) log_dir: PathBuf,
    /// Where `/ready` and `/metrics` are.
    pub(crate) status: SocketAddr,
    id: &'static str,
    pub(crate) pid: u32,
}

/// One of the two agencies.
struct Agency {
    role: &'static str,
    name: &'static str,
    member: &'static str,
    server: &'static str,
    subsystem: &'static str,
    subsystem_name: &'static str,
}

const CONSUMER: Agency = Agency {
    role: "consumer",
    name: "City of Hansehafen, Residents' Office",
    member: "DEMO/GOV/1001",
    server: "DEMO/GOV/1001/SS1",
    subsystem: "DEMO/GOV/1001/portal",
    subsystem_name: "Citizens' portal",
};
const PROVIDER: Agency = Agency {
    role: "provider",
    name: "State Population Register",
    member: "DEMO/GOV/2002",
    server: "DEMO/GOV/2002/SS1",
    subsystem: "DEMO/GOV/2002/population",
    subsystem_name: "Population register",
};
const SERVICE: &str = "DEMO/GOV/2002/population/persons";

impl Instance {
    /// Sets everything up and starts it; returns when both security servers say that they are ready.
    ///
    /// # Errors
    /// A part cannot be set up or does not start.
    pub(crate) async fn start(
        shape: &Shape,
        layout: &Layout,
        ports: &Ports,
        processes: &mut Processes,
    ) -> anyhow::Result<Self> {
        let pin = write_pin(layout)?;
        say("trust services: making a CA, an OCSP responder and a timestamping authority");
        let trust = TrustServices::set_up(layout, ports)?;
        let trust_pid = processes.start("trust services", trust.run(), layout.log_of("trust-services"))?;
        say("central registry: making keys, the journal and the anchor");
        let registry_config = set_up_registry(layout, ports)?;
        say("two agencies: making keys, getting certificates, registering members, servers and a service");
        {
            let mut operator = Operator::open(&kogge_central_registry::Config::load(&registry_config)?)?;
            trust.approve(&mut operator)?;
            for (agency, address) in [(&CONSUMER, ports.consumer_peer), (&PROVIDER, ports.provider)] {
                enrol(agency, shape.signing_key, &address.to_string(), &pin, &trust, layout, &mut operator)?;
            }
            let title = "Residents: name, address, civil status".to_owned();
            operator.change(Change::AddService { service: ServiceId::parse(SERVICE)?, title })?;
            crowd::register(shape, CONSUMER.server, PROVIDER.subsystem, &mut operator)?;
        }
        let run =
            ["central-registry".into(), "run".into(), "--config".into(), registry_config.into_os_string()];
        let registry_pid = processes.start("central registry", run, layout.log_of("central-registry"))?;
        let register_pid = start_register(layout, ports, processes)?;
        let anchor = layout.path("anchor.toml");
        write_atomic(&anchor, &std::fs::read(layout.path("registry/anchor.toml"))?, false)?;
        let register_url =
            shape.register.clone().unwrap_or_else(|| format!("http://{}/persons", ports.register));
        processes.wait_ready("trust services", &format!("http://{}/health", ports.trust_services)).await?;
        processes.wait_ready("central registry", &format!("http://{}/snapshot", ports.registry)).await?;
        say("security servers: starting both");
        let mut servers = Vec::new();
        for agency in [&PROVIDER, &CONSUMER] {
            servers.push(start_server(agency, shape, &register_url, layout, ports, processes)?);
        }
        processes.wait_ready("provider", &format!("http://{}/ready", ports.provider_status)).await?;
        processes.wait_ready("consumer", &format!("http://{}/ready", ports.consumer_status)).await?;
        servers.reverse();
        let mut instance = Self {
            consumer: format!("http://{}", ports.consumer),
            client: CONSUMER.subsystem,
            service: SERVICE,
            anchor,
            transport: shape.transport.word(),
            servers,
            pairs: pairs(shape),
            endpoints: serde_json::Value::Null,
        };
        instance.endpoints = instance.describe(ports, &register_url, [registry_pid, trust_pid, register_pid]);
        write_atomic(
            &layout.path("endpoints.json"),
            format!("{:#}\n", instance.endpoints).as_bytes(),
            false,
        )?;
        Ok(instance)
    }

    /// What runs where, for a person.
    pub(super) fn introduce(&self, layout: &Layout) {
        println!("\nRunning, each as a process of its own:");
        for (what, url, pid) in [
            ("central registry", "registry", "registry_pid"),
            ("trust services", "trust_services", "trust_services_pid"),
            ("population register", "register", "register_pid"),
        ] {
            let url = self.endpoints[url].as_str().unwrap_or_default();
            println!("  {what:<28} {url}  (process {})", self.endpoints[pid]);
        }
        for server in &self.servers {
            let what = format!("{}'s security server", server.role);
            println!("  {what:<28} {}  (process {})", server.id, server.pid);
        }
        println!("\nAsk for yourself:\n  {}", self.curl());
        println!("\nThe evidence lies in");
        for server in &self.servers {
            println!("  {}", server.log_dir.display());
        }
        let consumer = &self.servers[0];
        let kogge = program();
        println!(
            "List it with\n  {kogge} log list --config {}\ncheck it with\n  {kogge} verify {} --anchor {}",
            consumer.config.display(),
            consumer.log_dir.display(),
            self.anchor.display()
        );
        println!(
            "All that another program needs to know stands in {}",
            layout.path("endpoints.json").display()
        );
    }

    fn curl(&self) -> String {
        format!("curl -H 'X-Road-Client: {}' '{}/r1/{}{EXAMPLE}'", self.client, self.consumer, self.service)
    }

    fn describe(
        &self,
        ports: &Ports,
        register: &str,
        [registry_pid, trust_pid, register_pid]: [u32; 3],
    ) -> serde_json::Value {
        let servers: Vec<_> = self
            .servers
            .iter()
            .map(|server| {
                json!({
                    "role": server.role, "id": server.id, "pid": server.pid,
                    "config": server.config, "log_dir": server.log_dir,
                })
            })
            .collect();
        json!({
            "consumer": self.consumer,
            "client": self.client,
            "service": self.service,
            "anchor": self.anchor,
            "registry": format!("http://{}", ports.registry),
            "trust_services": format!("http://{}", ports.trust_services),
            "tsa": format!("http://{}/tsa", ports.trust_services),
            "ocsp": format!("http://{}/ocsp", ports.trust_services),
            "register": register,
            "security_servers": servers,
            "registry_pid": registry_pid,
            "trust_services_pid": trust_pid,
            "register_pid": register_pid,
            "curl": self.curl(),
        })
    }
}

/// One PIN for all the demo's tokens, in a file that only the owner may read.
fn write_pin(layout: &Layout) -> anyhow::Result<Pin> {
    let random = uuid::Uuid::new_v4().simple().to_string();
    write_atomic(&layout.path("pin"), format!("{random}\n").as_bytes(), true)?;
    Ok(PinSource::File(layout.path("pin")).read()?)
}

/// The development trust services as the demo sets them up.
struct TrustServices {
    config_file: PathBuf,
    config: kogge_trust_services::Config,
    base: String,
    dir: PathBuf,
}

impl TrustServices {
    fn set_up(layout: &Layout, ports: &Ports) -> anyhow::Result<Self> {
        let config_file = layout.path("trust-services.toml");
        let text = format!(
            "dir = \"trust-services\"\nenvironment = \"test\"\nlisten = \"{}\"\n\n[token]\npin = \"file:pin\"\n",
            ports.trust_services
        );
        write_atomic(&config_file, text.as_bytes(), false)?;
        let config = kogge_trust_services::Config::load(&config_file)?;
        kogge_trust_services::init(&config, now())?;
        let dir = layout.path("trust-services");
        Ok(Self { config_file, config, base: format!("http://{}", ports.trust_services), dir })
    }

    fn run(&self) -> [std::ffi::OsString; 4] {
        ["trust-services".into(), "run".into(), "--config".into(), self.config_file.clone().into_os_string()]
    }

    fn certificate(&self, file: &str) -> anyhow::Result<Certificate> {
        let pem = std::fs::read_to_string(self.dir.join(file))?;
        let mut chain = Certificate::from_pem(&pem)?;
        anyhow::ensure!(!chain.is_empty(), "{file} holds no certificate");
        Ok(chain.swap_remove(0))
    }

    fn approve(&self, operator: &mut Operator) -> anyhow::Result<()> {
        operator.change(Change::ApproveCa(ApprovedCa {
            name: "Demo CA".to_owned(),
            certificate: self.certificate("ca.pem")?,
            intermediates: Vec::new(),
            ocsp_urls: vec![format!("{}/ocsp", self.base)],
            ocsp_responders: Vec::new(),
        }))?;
        operator.change(Change::ApproveTsa(ApprovedTsa {
            name: "Demo TSA".to_owned(),
            url: format!("{}/tsa", self.base),
            certificate: self.certificate("tsa.pem")?,
            policies: vec![self.config.tsa_policy().to_owned()],
        }))?;
        Ok(())
    }

    fn issue(&self, request: &[u8], profile: Profile, subject: &Subject) -> anyhow::Result<Certificate> {
        Ok(kogge_trust_services::issue(&self.config, request, profile, subject, CERTIFICATE_LIFETIME, now())?)
    }
}

fn set_up_registry(layout: &Layout, ports: &Ports) -> anyhow::Result<PathBuf> {
    let config_file = registry_config(layout);
    let text = format!(
        "dir = \"registry\"\nlisten = \"{0}\"\npublic_url = \"http://{0}\"\n\n[token]\npin = \"file:pin\"\n",
        ports.registry
    );
    write_atomic(&config_file, text.as_bytes(), false)?;
    let policy = Policy {
        ocsp_freshness: Duration::from_secs(3600),
        // X-Road's is a minute; nobody wants to wait that long for a demo's evidence.
        timestamp_interval: Duration::from_secs(2),
        timestamp_failure: Duration::from_secs(14_400),
        clock_skew: Duration::from_secs(60),
    };
    let options = InitOptions { instance: "DEMO".to_owned(), environment: Environment::Test, policy };
    kogge_central_registry::init(&kogge_central_registry::Config::load(&config_file)?, &options)?;
    Ok(config_file)
}

/// Keys, certificates and registrations of one agency, its server and its subsystem.
fn enrol(
    agency: &Agency,
    signing_key: NewKeyKind,
    address: &str,
    pin: &Pin,
    trust: &TrustServices,
    layout: &Layout,
    operator: &mut Operator,
) -> anyhow::Result<()> {
    let server = SecurityServerId::parse(agency.server)?;
    let member: MemberId = server.owner().clone();
    let subsystem = SubsystemId::parse(agency.subsystem)?;
    let name = agency.name.to_owned();
    let token_dir = layout.path(agency.role).join("token");
    create_dir(&layout.path(agency.role), true)?;
    let token = SoftToken::create(&token_dir, pin)?;
    let signing = Subject::Signing { member: member.clone(), name: name.clone(), server: server.clone() };
    let authentication = Subject::Authentication { server: server.clone(), name: name.clone() };
    let certify = |kind, key_use, label: &str, profile, subject: &Subject| -> anyhow::Result<Certificate> {
        let id = token.generate(kind, key_use, label)?;
        let request = profile::request(&*token.key(&id)?, subject)?;
        let certificate = trust.issue(&request, profile, subject)?;
        import_chain(&token_dir, std::slice::from_ref(&certificate))?;
        Ok(certificate)
    };
    certify(signing_key, KeyUse::Signing, "signing", Profile::Signing, &signing)?;
    let (use_, profile) = (KeyUse::Authentication, Profile::Authentication);
    let auth = certify(NewKeyKind::EcdsaP256, use_, "authentication", profile, &authentication)?;
    operator.change(Change::AddMember { member, name })?;
    operator.change(Change::AddSubsystem {
        subsystem: subsystem.clone(),
        name: agency.subsystem_name.to_owned(),
    })?;
    operator
        .change(Change::AddSecurityServer { server: server.clone(), addresses: vec![address.to_owned()] })?;
    operator.change(Change::RegisterAuthCertificate { server: server.clone(), sha256: auth.sha256() })?;
    operator.change(Change::RegisterClient { server, subsystem })?;
    Ok(())
}

fn start_register(layout: &Layout, ports: &Ports, processes: &mut Processes) -> anyhow::Result<u32> {
    create_dir(&layout.path("register"), false)?;
    let calls = layout.path("register").join("calls.log").into_os_string();
    let listen = ports.register.to_string().into();
    let args = ["demo-register".into(), "--listen".into(), listen, "--calls".into(), calls];
    processes.start("population register", args, layout.log_of("register"))
}

fn start_server(
    agency: &Agency,
    shape: &Shape,
    register: &str,
    layout: &Layout,
    ports: &Ports,
    processes: &mut Processes,
) -> anyhow::Result<Server> {
    let role = agency.role;
    let consumer = role == CONSUMER.role;
    let (status, peer) = if consumer {
        (ports.consumer_status, ports.consumer_peer)
    } else {
        (ports.provider_status, ports.provider)
    };
    let mut text = format!(
        "id = \"{id}\"\nanchor = \"anchor.toml\"\ndata_dir = \"{role}/data\"\n\n\
         [token]\ndir = \"{role}/token\"\npin = \"file:pin\"\n\n[registry]\ninterval_s = {interval}\n\n[status]\nlisten = \"{status}\"\n\n\
         [provider]\nlisten = \"{peer}\"\n\n\
         [transport]\nmode = \"{transport}\"\n\n[message_log]\ndir = \"{role}/log\"\n\n\
         [timestamping]\nxroad = true\n\n",
        id = agency.server,
        interval = shape.registry_interval_s.unwrap_or(1),
        transport = shape.transport.word(),
    );
    if let Some(word) = shape.signature {
        text.push_str(&format!("[[members]]\nid = \"{}\"\nsignature = \"{word}\"\n\n", agency.member));
    }
    text.push_str(&if consumer { clients_text(shape, ports) } else { services_text(shape, register) });
    let config = layout.path(&format!("{role}.toml"));
    write_atomic(&config, text.as_bytes(), false)?;
    let run = ["security-server".into(), "run".into(), "--config".into(), config.clone().into_os_string()];
    let name = if consumer { "consumer" } else { "provider" };
    let pid = processes.start(name, run, layout.log_of(role))?;
    let log_dir = layout.path(role).join("log");
    Ok(Server { role: agency.role, config, log_dir, status, id: agency.server, pid })
}

fn clients_text(shape: &Shape, ports: &Ports) -> String {
    let time =
        shape.time_max_s.map(|seconds| format!("exchange_time_max_s = {seconds}\n")).unwrap_or_default();
    let mut text = format!("[consumer]\nlisten = \"{}\"\n{time}\n", ports.consumer);
    for client in [CONSUMER.subsystem.to_owned()].into_iter().chain(crowd::clients(shape, CONSUMER.member)) {
        text.push_str(&format!(
            "[[clients]]\nsubsystem = \"{client}\"\nconnection = \"http\"\n{}",
            keeping(shape)
        ));
    }
    text
}

fn keeping(shape: &Shape) -> &'static str {
    if shape.digests_only { "keep_bodies = false\n" } else { "" }
}

fn services_text(shape: &Shape, register: &str) -> String {
    let access = |client: &str| {
        format!(
            "[[services.access]]\nclient = \"{client}\"\nmethods = [\"GET\", \"POST\"]\npath = \"/**\"\n\n"
        )
    };
    let mut text =
        format!("[[services]]\nid = \"{SERVICE}\"\nurl = \"{register}\"\n\n{}", access(CONSUMER.subsystem));
    let time = shape.time_max_s.map(|seconds| format!("time_max_s = {seconds}\n")).unwrap_or_default();
    let clients = crowd::clients(shape, CONSUMER.member);
    for (number, service) in crowd::services(shape, PROVIDER.subsystem).iter().enumerate() {
        text.push_str(&format!(
            "[[services]]\nid = \"{service}\"\nurl = \"{register}\"\n{time}{}\n",
            keeping(shape)
        ));
        text.extend(crowd::clients_of(number, &clients).map(|client| access(client)));
    }
    text
}

/// Every pair of a further client and a further service that it may call, services in turn.
fn pairs(shape: &Shape) -> Vec<(String, String)> {
    let clients = crowd::clients(shape, CONSUMER.member);
    let services = crowd::services(shape, PROVIDER.subsystem);
    let pair = |turn: usize, number: usize, service: &String| {
        Some((crowd::clients_of(number, &clients).nth(turn)?.clone(), service.clone()))
    };
    let rounds = 0..clients.len();
    let all = rounds.flat_map(|turn| services.iter().enumerate().filter_map(move |(n, s)| pair(turn, n, s)));
    all.collect()
}

/// The registry's configuration, for whoever decides something while it runs.
pub(crate) fn registry_config(layout: &Layout) -> PathBuf {
    layout.path("central-registry.toml")
}

/// A demo does not last longer.
const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(90 * 86_400);
