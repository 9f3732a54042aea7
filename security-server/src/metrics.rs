//! What is counted: one table, printed in the Prometheus text format 0.0.4.

mod histogram;
mod stages;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kogge_proto::fault::FaultCode;
use kogge_proto::limits::SIGNATURE_BATCH_MAX;
use kogge_transport::Carrier;

use self::histogram::Histogram;
use self::stages::Stages;
use crate::report::Side;

pub(crate) use self::stages::{Stage, Watches};

/// Counters of this process.
pub(crate) struct Metrics {
    sides: [SideMetrics; 2],
    /// By place in [`FaultCode::ALL`].
    faults: Vec<AtomicU64>,
    arrived_by_quic: AtomicU64,
    arrived_by_h2: AtomicU64,
    /// Signatures over at most [`BATCH_SIZES`] messages each, not added up.
    batches: [AtomicU64; BATCH_SIZES.len()],
    messages_in_batches: AtomicU64,
}

struct SideMetrics {
    answered: AtomicU64,
    refused: AtomicU64,
    duration: Histogram,
    stages: Stages,
}

/// A value that is read when the metrics are asked for.
pub(crate) struct Gauge {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) value: f64,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            sides: std::array::from_fn(|_| SideMetrics {
                answered: AtomicU64::new(0),
                refused: AtomicU64::new(0),
                duration: Histogram::new(&BUCKETS_US),
                stages: Stages::new(),
            }),
            faults: FaultCode::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            arrived_by_quic: AtomicU64::new(0),
            arrived_by_h2: AtomicU64::new(0),
            batches: Default::default(),
            messages_in_batches: AtomicU64::new(0),
        }
    }

    /// A peer has opened an exchange by this carrier.
    pub(crate) fn arrived(&self, carrier: Carrier) {
        self.arrivals(carrier).fetch_add(1, Ordering::Relaxed);
    }

    /// So many messages are signed together, by a member whose messages may be.
    pub(crate) fn signed(&self, messages: usize) {
        let place = BATCH_SIZES.iter().position(|bound| messages <= *bound);
        if let Some(count) = place.and_then(|place| self.batches.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.messages_in_batches.fetch_add(messages as u64, Ordering::Relaxed);
    }

    fn arrivals(&self, carrier: Carrier) -> &AtomicU64 {
        match carrier {
            Carrier::Quic => &self.arrived_by_quic,
            Carrier::H2 => &self.arrived_by_h2,
        }
    }

    /// An exchange has ended; `fault` if it was refused.
    pub(crate) fn ended(&self, side: Side, duration: Duration, fault: Option<FaultCode>) {
        let metrics = self.side(side);
        match fault {
            None => metrics.answered.fetch_add(1, Ordering::Relaxed),
            Some(code) => {
                let place = FaultCode::ALL.iter().position(|known| *known == code);
                if let Some(counter) = place.and_then(|place| self.faults.get(place)) {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                metrics.refused.fetch_add(1, Ordering::Relaxed)
            }
        };
        metrics.duration.add(duration);
    }

    fn side(&self, side: Side) -> &SideMetrics {
        let [consumer, provider] = &self.sides;
        match side {
            Side::Consumer => consumer,
            Side::Provider => provider,
        }
    }

    /// Everything as text.
    pub(crate) fn render(&self, gauges: &[Gauge]) -> String {
        let mut out = String::with_capacity(8 * 1024);
        head(&mut out, "kogge_exchanges_total", "counter", "Exchanges that have ended, by side and outcome.");
        for side in Side::ALL {
            let metrics = self.side(side);
            for (outcome, counter) in [("answered", &metrics.answered), ("refused", &metrics.refused)] {
                let value = counter.load(Ordering::Relaxed);
                line(
                    &mut out,
                    &format!("kogge_exchanges_total{{side=\"{side}\",outcome=\"{outcome}\"}} {value}"),
                );
            }
        }
        head(&mut out, "kogge_faults_total", "counter", "Exchanges that were refused, by fault code.");
        for (code, counter) in FaultCode::ALL.iter().zip(&self.faults) {
            let value = counter.load(Ordering::Relaxed);
            line(&mut out, &format!("kogge_faults_total{{code=\"{code}\"}} {value}"));
        }
        let name = "kogge_tunnel_exchanges_total";
        head(&mut out, name, "counter", "Exchanges that peers have opened, by carrier.");
        for carrier in [Carrier::Quic, Carrier::H2] {
            let value = self.arrivals(carrier).load(Ordering::Relaxed);
            line(&mut out, &format!("{name}{{carrier=\"{carrier}\"}} {value}"));
        }
        let name = "kogge_exchange_duration_seconds";
        head(&mut out, name, "histogram", "How long exchanges took on this server, by side.");
        for side in Side::ALL {
            self.side(side).duration.render(&mut out, name, &format!("side=\"{side}\""));
        }
        Stages::render(&mut out, Side::ALL.map(|side| (side, &self.side(side).stages)).into_iter());
        self.render_batches(&mut out);
        for Gauge { name, help, value } in gauges {
            head(&mut out, name, "gauge", help);
            line(&mut out, &format!("{name} {value}"));
        }
        out
    }

    fn render_batches(&self, out: &mut String) {
        let name = "kogge_signature_batch_size";
        head(out, name, "histogram", "Messages under one signature, of members that sign in batches.");
        let mut count = 0;
        for (bound, batches) in BATCH_SIZES.iter().zip(&self.batches) {
            count += batches.load(Ordering::Relaxed);
            line(out, &format!("{name}_bucket{{le=\"{bound}\"}} {count}"));
        }
        line(out, &format!("{name}_bucket{{le=\"+Inf\"}} {count}"));
        line(out, &format!("{name}_sum {}", self.messages_in_batches.load(Ordering::Relaxed)));
        line(out, &format!("{name}_count {count}"));
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    line(out, &format!("# HELP {name} {help}"));
    line(out, &format!("# TYPE {name} {kind}"));
}

fn line(out: &mut String, text: &str) {
    // Writing into a String cannot fail.
    let _ = writeln!(out, "{text}");
}

/// Upper bounds of the durations' buckets in microseconds: an exchange on one machine takes a few thousand, a slow register millions.
const BUCKETS_US: [u64; 11] =
    [1000, 2000, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000, 30_000_000];

/// Upper bounds of the batch sizes' buckets; no batch is larger than the last.
const BATCH_SIZES: [usize; 7] = [1, 2, 4, 8, 16, 32, SIGNATURE_BATCH_MAX];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up() {
        let metrics = Metrics::new();
        metrics.ended(Side::Consumer, Duration::from_millis(3), None);
        metrics.ended(Side::Consumer, Duration::from_secs(60), Some(FaultCode::ConsumerTimeout));
        metrics.arrived(Carrier::H2);
        metrics.side(Side::Provider).stages.add(Stage::Verify, Duration::from_micros(70));
        metrics.side(Side::Provider).stages.add(Stage::Verify, Duration::from_secs(2));
        metrics.signed(1);
        metrics.signed(SIGNATURE_BATCH_MAX);
        let gauge = Gauge { name: "kogge_ready", help: "Whether.", value: 1.0 };
        let text = metrics.render(&[gauge]);
        for expected in [
            "kogge_exchanges_total{side=\"consumer\",outcome=\"answered\"} 1\n",
            "kogge_exchanges_total{side=\"consumer\",outcome=\"refused\"} 1\n",
            "kogge_exchanges_total{side=\"provider\",outcome=\"answered\"} 0\n",
            "kogge_faults_total{code=\"server.clientproxy.timeout\"} 1\n",
            "kogge_tunnel_exchanges_total{carrier=\"quic\"} 0\n",
            "kogge_tunnel_exchanges_total{carrier=\"h2\"} 1\n",
            "kogge_exchange_duration_seconds_bucket{side=\"consumer\",le=\"0.002\"} 0\n",
            "kogge_exchange_duration_seconds_bucket{side=\"consumer\",le=\"0.005\"} 1\n",
            "kogge_exchange_duration_seconds_bucket{side=\"consumer\",le=\"+Inf\"} 2\n",
            "kogge_exchange_duration_seconds_sum{side=\"consumer\"} 60.003\n",
            "kogge_exchange_duration_seconds_count{side=\"consumer\"} 2\n",
            "kogge_stage_seconds_bucket{side=\"provider\",stage=\"verify\",le=\"0.00005\"} 0\n",
            "kogge_stage_seconds_bucket{side=\"provider\",stage=\"verify\",le=\"0.0001\"} 1\n",
            "kogge_stage_seconds_bucket{side=\"provider\",stage=\"verify\",le=\"1\"} 1\n",
            "kogge_stage_seconds_bucket{side=\"provider\",stage=\"verify\",le=\"+Inf\"} 2\n",
            "kogge_stage_seconds_sum{side=\"provider\",stage=\"verify\"} 2.00007\n",
            "kogge_stage_seconds_count{side=\"provider\",stage=\"verify\"} 2\n",
            "kogge_signature_batch_size_bucket{le=\"1\"} 1\n",
            "kogge_signature_batch_size_bucket{le=\"32\"} 1\n",
            "kogge_signature_batch_size_bucket{le=\"64\"} 2\n",
            "kogge_signature_batch_size_sum 65\nkogge_signature_batch_size_count 2\n",
            "# TYPE kogge_ready gauge\nkogge_ready 1\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        assert!(!text.contains("stage=\"sign\""), "nothing was signed");
    }
}
