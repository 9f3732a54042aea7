//! What an instance of so many members costs: `cargo run --profile profiling -p kogge-central-registry --example growth -- 10 1000 100000`.
//!
//! Prints one JSON line per size: bytes of the snapshot, CPU time of signing and verifying it, memory that stays, CPU time per look-up.
//! With `write DIR MEMBERS` it writes a snapshot with its anchor, with `verify DIR` it verifies one, with `look-up DIR TIMES` it then looks
//! things up as many exchanges do: for profilers that count instructions. With `grow CONFIG MEMBERS` it brings so many members into the
//! registry of that configuration file, which need not stand still meanwhile.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a measuring tool; what fails is to be seen at once")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kogge_central_registry::{CHANGES_MAX, Change, Config, Operator, decisions};
use kogge_certs::anchor::{Anchor, Environment};
use kogge_certs::key::SigningKey;
use kogge_certs::snapshot::{Draft, Policy, Population, VerifiedSnapshot, sign_delegation, sign_snapshot};
use kogge_proto::id::{SecurityServerId, ServiceId, SubsystemId};
use kogge_proto::time::UnixMillis;
use kogge_signer::{NewKeyKind, ephemeral};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match &words[..] {
        ["write", dir, members] => write(Path::new(dir), members.parse().unwrap()),
        ["verify", dir] => verify(Path::new(dir)),
        ["grow", config, members] => grow(Path::new(config), members.parse().unwrap()),
        ["look-up", dir, times] => look_up(&read(Path::new(dir)), times.parse().unwrap()),
        sizes => sizes.iter().for_each(|members| measure(members.parse().unwrap())),
    }
}

fn measure(members: usize) {
    let keys = Keys::new();
    let draft = draft("EE", members);
    let (bytes, signing) = timed(|| keys.sign(&draft));
    drop(draft);
    let bytes = Bytes::from(bytes);
    let length = bytes.len();
    let anchor = keys.anchor();
    let before = resident_kib();
    let (snapshot, verifying) = timed(|| VerifiedSnapshot::verify(bytes, &anchor, NOW).unwrap());
    let after = resident_kib();
    let rounds = 100_000;
    let (_, looking_up) = timed(|| look_up(&snapshot, rounds));
    println!(
        "{{\"members\":{members},\"bytes\":{length},\"sign_cpu_ms\":{:.1},\"verify_cpu_ms\":{:.2},\"resident_bytes_per_member\":{},\"look_ups_of_an_exchange_cpu_ns\":{:.0}}}",
        signing.as_secs_f64() * 1e3,
        verifying.as_secs_f64() * 1e3,
        after.saturating_sub(before) * 1024 / members as u64,
        looking_up.as_secs_f64() * 1e9 / f64::from(rounds)
    );
}

/// What both security servers ask in one exchange, for another client and service each time; for the same ten members in any instance.
fn look_up(snapshot: &VerifiedSnapshot, times: u32) {
    let chosen = |subsystem: &SubsystemId| subsystem.member().code() < "70000010";
    let services = snapshot.services().map(|service| service.id).filter(|id| chosen(id.subsystem()));
    let services: Vec<ServiceId> = services.collect();
    let pairs = snapshot.registrations().filter(|(subsystem, _)| chosen(subsystem));
    let pairs: Vec<(SubsystemId, SecurityServerId)> = pairs.collect();
    for round in 0..times as usize {
        let (client, server) = &pairs[round % pairs.len()];
        let service = &services[round % services.len()];
        // The consumer's server: may the client ask here, who provides, is there such a service?
        assert!(snapshot.is_provider(server, client));
        let providers = snapshot.providers(service.subsystem());
        let provider = providers.first().unwrap();
        assert!(snapshot.service_registered(service));
        // The provider's server: is the client there, do we provide, is there such a service?
        assert!(snapshot.is_provider(server, client));
        assert!(snapshot.is_provider(&provider.id, service.subsystem()));
        assert!(snapshot.service_registered(service));
    }
}

fn write(dir: &Path, members: usize) {
    let keys = Keys::new();
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("snapshot"), keys.sign(&draft("EE", members))).unwrap();
    std::fs::write(dir.join("anchor.toml"), keys.anchor().to_toml()).unwrap();
}

fn read(dir: &Path) -> VerifiedSnapshot {
    let anchor = Anchor::parse(&std::fs::read_to_string(dir.join("anchor.toml")).unwrap()).unwrap();
    VerifiedSnapshot::verify_archived(std::fs::read(dir.join("snapshot")).unwrap(), &anchor).unwrap()
}

fn verify(dir: &Path) {
    let anchor = Anchor::parse(&std::fs::read_to_string(dir.join("anchor.toml")).unwrap()).unwrap();
    let bytes = Bytes::from(std::fs::read(dir.join("snapshot")).unwrap());
    let before = resident_kib();
    let (snapshot, verifying) = timed(|| VerifiedSnapshot::verify_archived(bytes, &anchor).unwrap());
    let after = resident_kib();
    println!("verify_cpu_ms {:.1}, resident KiB {before} then {after}", verifying.as_secs_f64() * 1e3);
    black_box(snapshot);
}

fn grow(config: &Path, members: usize) {
    let mut operator = Operator::open(&Config::load(config).unwrap()).unwrap();
    let draft = draft(operator.state().instance(), members);
    let mut changes = decisions(&draft).peekable();
    while changes.peek().is_some() {
        let portion: Vec<_> = changes.by_ref().take(CHANGES_MAX).collect();
        let number = portion.len();
        let (applied, applying) = timed(|| operator.change_all(portion).unwrap());
        println!("{number} decisions up to {}: CPU {applying:.1?}", applied.sequence);
    }
    let last = draft.members.last().unwrap();
    let one = Change::RenameMember { member: last.id.clone(), name: "Renamed".to_owned() };
    let (_, applying) = timed(|| operator.change(one).unwrap());
    println!("one more: CPU {applying:.1?}, {} KiB resident", resident_kib());
}

struct Keys {
    root: Arc<dyn SigningKey>,
    online: Arc<dyn SigningKey>,
}

impl Keys {
    fn new() -> Self {
        let key = || ephemeral(NewKeyKind::EcdsaP256).unwrap();
        Self { root: key(), online: key() }
    }

    fn sign(&self, draft: &Draft) -> Vec<u8> {
        let online = [self.online.public_key().clone()];
        let delegation =
            sign_delegation("EE", 1, NOW.minus(DAY), NOW.plus(30 * DAY), &online, 1, &[&*self.root]).unwrap();
        sign_snapshot(draft, &delegation, &[&*self.online]).unwrap()
    }

    fn anchor(&self) -> Anchor {
        let urls = vec!["http://registry.example/".to_owned()];
        Anchor::new("EE", Environment::Test, urls, vec![self.root.public_key().clone()], 1).unwrap()
    }
}

fn draft(instance: &str, members: usize) -> Draft {
    let mut draft = Draft {
        instance: instance.to_owned(),
        environment: Environment::Test,
        version: 1,
        issued: NOW,
        expires: NOW.plus(DAY),
        policy: Policy {
            ocsp_freshness: Duration::from_secs(3600),
            timestamp_interval: Duration::from_secs(60),
            timestamp_failure: Duration::from_secs(14_400),
            clock_skew: Duration::from_secs(60),
        },
        members: vec![],
        subsystems: vec![],
        security_servers: vec![],
        registrations: Default::default(),
        cas: vec![],
        tsas: vec![],
        services: vec![],
    };
    Population::of(members).add_to(&mut draft).unwrap();
    draft
}

/// With the CPU time that it took, of all threads.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let before = cpu_time();
    let result = work();
    (result, cpu_time() - before)
}

/// From the scheduler's own account, in nanoseconds; this program has one thread.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn resident_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find(|line| line.starts_with("Pss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);
const DAY: Duration = Duration::from_secs(86_400);
