//! Large bodies: how fast one goes through a chain, and whether the servers' memory grows with it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use kogge_proto::digest::{Sha256, Sha256Hasher};
use serde_json::{Value, json};

use crate::account::pss_kib;
use crate::audit::{Answered, AuditResult};
use crate::chain::{Chain, ChainKind};
use crate::goals::Spread;
use crate::load::head_of;
use crate::{BenchError, Stop};

/// What is to be fetched.
#[derive(Clone, Debug)]
pub struct LargePlan {
    /// Length of the body.
    pub bytes: u64,
    /// SHA-256 of the body.
    pub sha256: Sha256,
    /// How many are fetched at once.
    pub parallel: usize,
    /// How often each chain is measured.
    pub pairs: usize,
}

/// What was found, per chain in the order of the runs.
#[derive(Debug)]
pub struct LargeRuns {
    plan: LargePlan,
    runs: Vec<LargeRun>,
}

#[derive(Debug)]
struct LargeRun {
    chain: String,
    kind: ChainKind,
    pair: usize,
    mb_s: f64,
    /// Of both servers together: before, and the most while bodies passed.
    pss_kib: [u64; 2],
}

impl LargeRuns {
    /// Fetches the body at the path of each chain, forwards and backwards in turn. Every body is hashed and must be the right one.
    ///
    /// # Errors
    /// A body does not arrive whole, or somebody asked to stop.
    pub fn run(
        plan: &LargePlan,
        chains: &[(Chain, crate::Pair)],
        answered: &mut Answered,
        stop: &Stop,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, BenchError> {
        let mut runs = Vec::new();
        for pair in 0..plan.pairs {
            let mut order: Vec<_> = chains.iter().collect();
            if pair % 2 == 1 {
                order.reverse();
            }
            for (chain, request) in order {
                if stop.asked() {
                    return Err(BenchError::Interrupted);
                }
                let run = fetch_all(plan, chain, request, pair, answered)?;
                let [before, most] = run.pss_kib;
                progress(&format!(
                    "{:<9} {:>7.1} MB/s, memory {before} KiB and {most} KiB at most",
                    run.chain, run.mb_s
                ));
                runs.push(run);
            }
        }
        Ok(Self { plan: plan.clone(), runs })
    }

    /// For people.
    #[must_use]
    pub fn table(&self, audit: Option<&AuditResult>) -> String {
        let mut out = String::new();
        if let Some(ratio) = self.ratio() {
            out.push_str(&format!(
                "B1  MB/s, share of the better floor's: {:.3} ({:.3} to {:.3}), at least 0.65 with the digest in the log, 0.45 with the body\n",
                ratio.median, ratio.min, ratio.max
            ));
        }
        if let Some(growth) = self.growth() {
            let bound = if self.plan.parallel == 1 { 4 } else { 32 };
            out.push_str(&format!(
                "B3  growth of both servers' memory in MiB: {:.1} ({:.1} to {:.1}), at most {bound}\n",
                growth.median, growth.min, growth.max
            ));
        }
        if let Some(audit) = audit {
            let word = if audit.holds() { "answered = logged = verified" } else { "THE RUNS ARE VOID" };
            out.push_str(&format!(
                "{word}: {} answered, {} logged, {} verified\n",
                audit.answered, audit.logged, audit.verified
            ));
        }
        out
    }

    /// For programs.
    #[must_use]
    pub fn json(&self, audit: Option<&AuditResult>) -> Value {
        let run = |run: &LargeRun| json!({"chain": run.chain, "pair": run.pair, "mb_s": run.mb_s, "pss_kib": run.pss_kib});
        let spread = |spread: Option<Spread>| {
            spread.map(|spread| json!({"median": spread.median, "min": spread.min, "max": spread.max}))
        };
        json!({
            "bytes": self.plan.bytes,
            "parallel": self.plan.parallel,
            "runs": self.runs.iter().map(run).collect::<Vec<_>>(),
            "ratio_to_floor": spread(self.ratio()),
            "memory_growth_mib": spread(self.growth()),
            "audit": audit.map(crate::report::audit_json),
        })
    }

    fn ratio(&self) -> Option<Spread> {
        let ratio = |run: &LargeRun| {
            let same =
                self.runs.iter().filter(|other| other.pair == run.pair && other.kind == ChainKind::Floor);
            Some(run.mb_s / same.map(|floor| floor.mb_s).max_by(f64::total_cmp)?)
        };
        Spread::of(self.product().filter_map(ratio).collect())
    }

    fn growth(&self) -> Option<Spread> {
        let growth = |run: &LargeRun| {
            let [before, most] = run.pss_kib;
            most.saturating_sub(before) as f64 / 1024.0
        };
        Spread::of(self.product().map(growth).collect())
    }

    fn product(&self) -> impl Iterator<Item = &LargeRun> {
        self.runs.iter().filter(|run| run.kind == ChainKind::Product)
    }
}

fn fetch_all(
    plan: &LargePlan,
    chain: &Chain,
    request: &crate::Pair,
    pair: usize,
    answered: &mut Answered,
) -> Result<LargeRun, BenchError> {
    let first = answered.next();
    let issued = first..first + plan.parallel as u64;
    let memory = || chain.servers().map(|part| pss_kib(part.pid)).sum::<u64>();
    let (before, start) = (memory(), Instant::now());
    let (results, most) = thread::scope(|scope| {
        let fetch = |number| scope.spawn(move || fetch(plan, chain, request, number));
        let fetching: Vec<_> = issued.clone().map(fetch).collect();
        let mut most = before;
        while fetching.iter().any(|one| !one.is_finished()) {
            most = most.max(memory());
            thread::sleep(SAMPLE_EVERY);
        }
        let results: Vec<_> = fetching.into_iter().map(thread::ScopedJoinHandle::join).collect();
        (results, most)
    });
    let mut end = start;
    for result in results {
        let unfit = |reason| BenchError::Unfit { name: chain.name.clone(), reason };
        let ended = result.unwrap_or_else(|_| Err("the fetching thread came to a bad end".to_owned()));
        end = end.max(ended.map_err(unfit)?);
    }
    answered.enter(chain.kind, issued);
    let bytes = plan.bytes as f64 * plan.parallel as f64;
    let mb_s = bytes / end.duration_since(start).as_secs_f64() / 1e6;
    Ok(LargeRun { chain: chain.name.clone(), kind: chain.kind, pair, mb_s, pss_kib: [before, most] })
}

/// One body; when it had arrived.
fn fetch(plan: &LargePlan, chain: &Chain, request: &crate::Pair, number: u64) -> Result<Instant, String> {
    let told = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(chain.address).map_err(told)?;
    stream.set_read_timeout(Some(SILENCE_MAX)).map_err(told)?;
    let (path, client, id) = (&request.path, &request.client, crate::load::id_of(number));
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nX-Road-Client: {client}\r\nX-Road-Id: {id}\r\n\r\n"
    )
    .map_err(told)?;
    let (mut buffer, mut filled) = (vec![0; READ_BYTES], 0);
    let (status, head, length) = loop {
        let count = stream.read(buffer.get_mut(filled..).unwrap_or_default()).map_err(told)?;
        filled += count;
        match head_of(buffer.get(..filled).unwrap_or_default())? {
            Some(found) => break found,
            None if count == 0 => return Err("the connection was closed instead of an answer".to_owned()),
            None => {}
        }
    };
    if status != 200 || length != plan.bytes {
        return Err(format!("HTTP {status} with {length} bytes instead of {}", plan.bytes));
    }
    let mut hasher = Sha256Hasher::new();
    hasher.update(buffer.get(head..filled).unwrap_or_default());
    let mut arrived = (filled - head) as u64;
    while arrived < length {
        match stream.read(&mut buffer).map_err(told)? {
            0 => return Err(format!("the body broke off after {arrived} bytes")),
            count => {
                hasher.update(buffer.get(..count).unwrap_or_default());
                arrived += count as u64;
            }
        }
    }
    let end = Instant::now();
    if hasher.finish() == plan.sha256 { Ok(end) } else { Err("the body is not the backend's".to_owned()) }
}

const SAMPLE_EVERY: Duration = Duration::from_millis(100);
/// The product hands nothing over before the whole body has arrived and was verified.
const SILENCE_MAX: Duration = Duration::from_secs(600);
const READ_BYTES: usize = 256 * 1024;
