//! Exchanges between two security servers in one process: what works, what is refused, who lies, what fails and recovers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should say so"
)]

mod happy;
mod hostile_consumer;
mod hostile_provider;
mod https;
mod instance;
mod lifecycle;
mod outages;
mod peer;
mod refusals;
mod startup;

use bytes::Bytes;
use kogge_proto::wire::log::{Direction, Role};

use instance::http::{Answer, send};
use instance::{PERSONS, PORTAL, Running};

const CLIENT: (&str, &str) = ("X-Road-Client", PORTAL);

async fn call(server: &Running, method: &str, path: &str, body: impl Into<Bytes>) -> Answer {
    send(method, &format!("{}/r1/{PERSONS}{path}", server.consumer), &[CLIENT], body).await
}

/// Whether both servers' logs hold both messages of each exchange, in their roles.
fn assert_logged(consumer: &Running, provider: &Running, exchanges: usize) {
    for (server, role) in [(consumer, Role::Consumer), (provider, Role::Provider)] {
        let records = server.records();
        assert_eq!(records.len(), 2 * exchanges);
        for pair in records.chunks(2) {
            let directions = pair.iter().map(|found| found.record.direction());
            assert_eq!(directions.collect::<Vec<_>>(), [Direction::Request, Direction::Response]);
            assert_eq!(pair[0].record.request_id, pair[1].record.request_id);
            assert!(pair.iter().all(|found| found.record.role() == role));
        }
    }
}
