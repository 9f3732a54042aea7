//! Which carrier reaches an address: QUIC with a head start, HTTP/2 if it is slow or fails (in the manner of RFC 8305). A firewall that
//! drops UDP without a word costs the head start once, not a timeout.

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::connection::Connection;
use super::pool::{Address, Pool};
use crate::Carrier;
use crate::dial_error::DialError;

/// A connection to `address` by whichever carrier works.
pub(crate) async fn connection(
    pool: &Arc<Pool>,
    address: &Arc<Address>,
) -> Result<Arc<Connection>, DialError> {
    let quic_may_work = address.health.quic_may_work(pool.limits().quic_failure_memory, Instant::now());
    if address.has_connection(Carrier::Quic) {
        return pool.connection(address, Carrier::Quic).await;
    }
    if address.has_connection(Carrier::H2) {
        if quic_may_work {
            pool.try_quic(address);
        }
        return pool.connection(address, Carrier::H2).await;
    }
    if quic_may_work { race(pool, address).await } else { pool.connection(address, Carrier::H2).await }
}

async fn race(pool: &Arc<Pool>, address: &Arc<Address>) -> Result<Arc<Connection>, DialError> {
    let quic = pool.connection(address, Carrier::Quic);
    tokio::pin!(quic);
    let mut quic_error = tokio::select! {
        result = &mut quic => match result {
            Err(DialError::Failed(error)) => Some(error),
            settled => return settled,
        },
        () = sleep(pool.limits().quic_head_start) => None,
    };
    let h2 = pool.connection(address, Carrier::H2);
    tokio::pin!(h2);
    let mut h2_error = None;
    loop {
        tokio::select! {
            result = &mut quic, if quic_error.is_none() => match result {
                Err(DialError::Failed(error)) => quic_error = Some(error),
                settled => return settled,
            },
            result = &mut h2, if h2_error.is_none() => match result {
                Err(DialError::Failed(error)) => h2_error = Some(error),
                settled => {
                    // The dial by QUIC goes on; if it ends well after all, the dial itself says so.
                    address.health.quic_failed(Instant::now());
                    return settled;
                }
            },
            else => break,
        }
    }
    let error = |error: Option<String>| error.unwrap_or_default();
    Err(DialError::Failed(format!("{}; {}", error(quic_error), error(h2_error))))
}
