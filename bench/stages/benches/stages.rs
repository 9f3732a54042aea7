//! The time of each stage: `cargo bench -p kogge-stages [-- STAGE]`. All of them take about two minutes.

use std::time::Duration;

use criterion::Criterion;
use kogge_stages::{World, all};

fn main() {
    let short = Criterion::default().warm_up_time(WARM_UP).measurement_time(MEASURED).sample_size(SAMPLES);
    let mut criterion = short.configure_from_args();
    let world = World::new();
    for stage in all() {
        // Set up only if it is run at all, and once, although this is called for each sample: a hundred thousand members take a while.
        let mut prepared = None;
        criterion.bench_function(stage.name, |bencher| {
            let work = prepared.get_or_insert_with(|| stage.prepare(&world));
            bencher.iter(|| work.run());
        });
    }
    criterion.final_summary();
}

const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(3);
const SAMPLES: usize = 50;
