//! The tunnel from outside: real sockets, real certificates, a real snapshot; every scenario on both carriers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

/// Each scenario once over QUIC and once over HTTP/2.
macro_rules! on_both_carriers {
    ($($scenario:ident),* $(,)?) => {
        mod quic {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(kogge_transport::Carrier::Quic).await;
            })*
        }

        mod h2 {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(kogge_transport::Carrier::H2).await;
            })*
        }
    };
}

mod exchange;
mod fallback;
mod foreign_client;
mod foreign_server;
mod identity;
mod judge;
mod lost;
mod pool;
mod raw;
mod refused_client;
mod refused_server;
mod silent;
mod suspended;
mod world;
