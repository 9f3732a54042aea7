//! What all parts stand on: the surroundings, which stay up, and what was found so far.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kogge_bench::{Answered, Chain, Findings, Plan, Report, Series, Spinners, Stop};
use serde_json::{Value, json};

use super::super::around::{Around, Surroundings, kogge};
use super::super::logs::Unverified;
use super::super::product::Product;
use super::super::say;
use super::{Args, FLOOR_TRIAL, Part};
use crate::demo::Shape;
use crate::demo::layout::Layout;
use crate::demo::processes::Processes;

pub(super) struct Ground<'a> {
    pub(super) args: &'a Args,
    pub(super) around: Around,
    pub(super) stop: &'a Stop,
    pub(super) findings: Findings,
    pub(super) answered: Answered,
    dir: PathBuf,
    bench_dir: PathBuf,
    spinners: Option<Arc<Spinners>>,
    unverified: Vec<Unverified>,
    /// Series whose findings need what the verification of the logs of the same place says.
    series: Vec<(usize, Exchanges)>,
    failed: bool,
}

/// A series with what its members signed with.
pub(super) struct Exchanges {
    pub(super) name: &'static str,
    pub(super) keys: &'static str,
    pub(super) signature: &'static str,
    pub(super) series: Series,
}

/// An instance with what belongs to it.
pub(super) struct Running {
    pub(super) product: Product,
    pub(super) processes: Processes,
    pub(super) layout: Layout,
}

/// What all parts have found.
pub(super) struct Measured {
    pub(super) findings: Findings,
    pub(super) series: Value,
    /// Whether every part was measured and every log is whole and valid.
    pub(super) counts: bool,
}

impl<'a> Ground<'a> {
    pub(super) fn start(args: &'a Args, layout: &Layout, stop: &'a Stop) -> anyhow::Result<Self> {
        let bench_dir = layout.path("bench");
        let surroundings = Surroundings {
            body: BODY_BYTES,
            post: 0,
            large: Some(super::bodies::LARGE_BYTES),
            services: SERVICES,
            floor: true,
            base: false,
        };
        let around = Around::start(&surroundings, &bench_dir)?;
        let spinners =
            if args.no_spin { None } else { Some(Arc::new(Spinners::start(&kogge()?, &bench_dir)?)) };
        Ok(Self {
            args,
            around,
            stop,
            findings: Findings::default(),
            answered: Answered::default(),
            dir: layout.path(""),
            bench_dir,
            spinners,
            unverified: Vec::new(),
            series: Vec::new(),
            failed: false,
        })
    }

    /// Brings an instance up.
    pub(super) async fn bring_up(&self, name: &'static str, shape: Shape) -> anyhow::Result<Running> {
        let layout = Layout::create(&self.dir.join(name))?;
        let mut processes = Processes::default();
        let shape = Shape { clients: CLIENTS, services: SERVICES, ..shape };
        let backend = &self.around.backend;
        let product = Product::start(name, shape, 0, backend, &layout, &mut processes).await?;
        Ok(Running { product, processes, layout })
    }

    /// Stops an instance once its records are timestamped, and keeps its logs for the verification; its place there.
    pub(super) async fn stop(&mut self, running: Running) -> anyhow::Result<usize> {
        let unverified = Unverified::of(&running.product, &running.layout, &self.answered).await?;
        running.processes.stop().await?;
        self.unverified.push(unverified);
        Ok(self.unverified.len() - 1)
    }

    /// Measures these chains side by side on a thread of its own, so that Ctrl-C is heard meanwhile.
    pub(super) async fn series(
        &mut self,
        chains: Vec<Chain>,
        connections: &[usize],
        open: &[f64],
    ) -> anyhow::Result<Series> {
        let plan = Plan {
            connections: connections.to_vec(),
            pairs: self.args.pairs as usize,
            time: Duration::try_from_secs_f64(self.args.seconds)?,
            warm_up: Duration::try_from_secs_f64(self.args.warm_up)?,
            open: open.to_vec(),
            floor_trial: Some(FLOOR_TRIAL),
            others_max_pct: self.args.others_max,
            probe_dir: self.bench_dir.clone(),
            spinners: self.spinners.clone(),
        };
        let (mut answered, stop) = (self.answered.clone(), self.stop.clone());
        let work = move || -> anyhow::Result<(Series, Answered)> {
            let series = Series::run(&plan, &chains, &mut answered, &stop, &mut |line| say(line))?;
            Ok((series, answered))
        };
        let done = tokio::task::spawn_blocking(work).await.context("the measurement came to a bad end")?;
        let (series, answered) = done?;
        self.answered = answered;
        Ok(series)
    }

    /// Keeps a series of exchanges until its logs, those of this place, are verified.
    pub(super) fn judge_later(&mut self, place: usize, exchanges: Exchanges) {
        self.series.push((place, exchanges));
    }

    pub(super) fn failed(&mut self, part: Part, error: &anyhow::Error) {
        say(&format!("{part:?} could not be measured: {error:#}"));
        self.failed = true;
    }

    /// M3.
    pub(super) fn measured_binary(&mut self) -> anyhow::Result<()> {
        let bytes = std::fs::metadata(kogge()?)?.len();
        self.findings.add("M3", "binary", vec![bytes as f64 / f64::from(1 << 20)], 0);
        Ok(())
    }

    /// Verifies all logs and judges what waited for it.
    pub(super) async fn verify(self) -> anyhow::Result<Measured> {
        let Self { unverified, series, mut findings, mut failed, around, spinners, .. } = self;
        drop((around, spinners));
        let work = move || unverified.iter().map(Unverified::verify).collect::<anyhow::Result<Vec<_>>>();
        let audits =
            tokio::task::spawn_blocking(work).await.context("the verification came to a bad end")??;
        for audit in &audits {
            let (word, count) =
                (if audit.holds() { "answered = logged = verified" } else { "VOID" }, audit.answered);
            say(&format!("{count} exchanges: {word}"));
            failed |= !audit.holds();
        }
        let mut all = serde_json::Map::new();
        for (place, Exchanges { name, keys, signature, series }) in series {
            let report = Report::new(series, keys, signature, audits.get(place).copied(), json!({}));
            eprintln!("\n{name}\n{}", report.runs_table());
            findings.extend(report.findings().clone());
            all.insert(name.to_owned(), report.json());
        }
        Ok(Measured { findings, series: Value::Object(all), counts: !failed })
    }
}

/// Clients and services, so that no look-up finds what it has just found.
const CLIENTS: u32 = 100;
const SERVICES: u32 = 100;
const BODY_BYTES: usize = 1024;
