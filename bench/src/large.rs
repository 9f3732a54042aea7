//! Large bodies: how fast one goes through a chain, and whether the servers' memory grows with it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use kogge_proto::digest::{Sha256, Sha256Hasher};
use serde_json::{Value, json};

use crate::account::{Sample, pss_kib};
use crate::audit::{Answered, AuditResult};
use crate::chain::{Chain, ChainKind};
use crate::load::head_of;
use crate::spread::Spread;
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
    /// A transfer beside which others used more than this share of the machine, in percent, does not count.
    pub others_max_pct: f64,
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
    others_pct: f64,
    /// Of each server: before, and the most while bodies passed.
    pss_kib: Vec<[u64; 2]>,
}

impl LargeRun {
    /// How much the memory of the server grew that grew most.
    fn growth_mib(&self) -> f64 {
        let growth = self.pss_kib.iter().map(|[before, most]| most.saturating_sub(*before));
        growth.max().unwrap_or(0) as f64 / 1024.0
    }
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
                progress(&format!(
                    "{:<9} {:>7.1} MB/s, memory grew by {:.1} MiB, others {:.1} %",
                    run.chain,
                    run.mb_s,
                    run.growth_mib(),
                    run.others_pct
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
                "B3  growth of the memory of the server that grew most, in MiB: {:.1} ({:.1} to {:.1}), at most {bound}\n",
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
        let run = |run: &LargeRun| json!({"chain": run.chain, "pair": run.pair, "mb_s": run.mb_s, "others_pct": run.others_pct, "pss_kib": run.pss_kib});
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

    /// MB/s of one chain as a share of another's, or of the best floor's without one; of each round in which both count.
    #[must_use]
    pub fn ratios(&self, of: &str, to: Option<&str>) -> Vec<f64> {
        let ratio = |run: &LargeRun| {
            let wanted = |other: &&LargeRun| match to {
                Some(name) => other.chain == name,
                None => other.kind == ChainKind::Floor,
            };
            let same = self.counting().filter(|other| other.pair == run.pair).filter(wanted);
            Some(run.mb_s / same.map(|other| other.mb_s).max_by(f64::total_cmp)?)
        };
        self.counting().filter(|run| run.chain == of).filter_map(ratio).collect()
    }

    /// What the server of this chain grew by that grew most, each time.
    #[must_use]
    pub fn growth_mib(&self, of: &str) -> Vec<f64> {
        self.runs.iter().filter(|run| run.chain == of).map(LargeRun::growth_mib).collect()
    }

    fn ratio(&self) -> Option<Spread> {
        Spread::of(self.product().next().map(|run| self.ratios(&run.chain, None)).unwrap_or_default())
    }

    fn growth(&self) -> Option<Spread> {
        Spread::of(self.product().map(LargeRun::growth_mib).collect())
    }

    fn counting(&self) -> impl Iterator<Item = &LargeRun> {
        self.runs.iter().filter(|run| run.others_pct <= self.plan.others_max_pct)
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
    let memory = || chain.servers().map(|part| pss_kib(part.pid)).collect::<Vec<u64>>();
    let (sample, before, start) = (Sample::take(chain)?, memory(), Instant::now());
    let (results, most) = thread::scope(|scope| {
        let fetch = |number| scope.spawn(move || fetch(plan, chain, request, number));
        let fetching: Vec<_> = issued.clone().map(fetch).collect();
        let mut most = before.clone();
        while fetching.iter().any(|one| !one.is_finished()) {
            most.iter_mut().zip(memory()).for_each(|(most, now)| *most = now.max(*most));
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
    let others_pct = Sample::take(chain)?.since(&sample).others_pct;
    answered.enter_unmeasured(chain, issued);
    let bytes = plan.bytes as f64 * plan.parallel as f64;
    let mb_s = bytes / end.duration_since(start).as_secs_f64() / 1e6;
    let pss_kib = before.into_iter().zip(most).map(|(before, most)| [before, most]).collect();
    Ok(LargeRun { chain: chain.name.clone(), kind: chain.kind, pair, mb_s, others_pct, pss_kib })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn runs() -> LargeRuns {
        let run = |pair, chain: &str, kind, mb_s, others_pct| LargeRun {
            chain: chain.to_owned(),
            kind,
            pair,
            mb_s,
            others_pct,
            pss_kib: vec![[1024, 3072], [1024, 1024 + 512]],
        };
        let plan = LargePlan {
            bytes: 1,
            sha256: kogge_proto::digest::sha256(b""),
            parallel: 1,
            pairs: 3,
            others_max_pct: 5.0,
        };
        let floor = |pair, mb_s| run(pair, "nginx", ChainKind::Floor, mb_s, 0.0);
        let product = |pair, name, mb_s, others| run(pair, name, ChainKind::Product, mb_s, others);
        let runs = vec![
            floor(0, 50.0),
            floor(0, 100.0),
            product(0, "h2", 50.0, 5.0),
            product(0, "quic", 10.0, 0.0),
            floor(1, 100.0),
            product(1, "h2", 70.0, 0.0),
            product(1, "quic", 20.0, 5.1),
            product(2, "h2", 70.0, 0.0),
        ];
        LargeRuns { plan, runs }
    }

    #[test]
    fn each_round_is_held_against_its_own_best_floor() {
        assert_eq!(runs().ratios("h2", None), [0.5, 0.7], "there is no floor in the third");
    }

    #[test]
    fn a_transfer_beside_others_does_not_count() {
        assert_eq!(runs().ratios("quic", Some("h2")), [0.2]);
    }

    #[test]
    fn memory_is_that_of_the_server_that_grew_most() {
        assert_eq!(runs().growth_mib("quic"), [2.0, 2.0]);
    }
}
