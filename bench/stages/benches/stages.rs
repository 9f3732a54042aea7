//! The time of each stage: `cargo bench -p kogge-stages [-- STAGE]`.

use criterion::Criterion;
use kogge_stages::{World, all};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let world = World::new();
    for stage in all() {
        // Set up only if it is run at all: a hundred thousand members take a while.
        criterion.bench_function(stage.name, |bencher| {
            let mut work = stage.prepare(&world);
            bencher.iter(|| work.run());
        });
    }
    criterion.final_summary();
}
