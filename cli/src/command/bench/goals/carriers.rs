//! Q1 for small exchanges: the same instance twice, over QUIC and over HTTP/2.

use super::ground::Ground;
use crate::demo::{Shape, Transport};

pub(super) async fn measure(ground: &mut Ground<'_>) -> anyhow::Result<()> {
    let shape = |transport| Shape { transport, ..Shape::default() };
    let quic = ground.bring_up("quic", shape(Transport::Quic)).await?;
    let h2 = ground.bring_up("h2", shape(Transport::H2)).await?;
    let chains = vec![h2.product.chain.clone(), quic.product.chain.clone()];
    let series = ground.series(chains, &[CONNECTIONS], &[]).await?;
    let discarded = series.pairs(CONNECTIONS).1;
    ground.findings.add("Q1", "1 KiB c=16", series.rates(CONNECTIONS, "quic", "h2"), discarded);
    ground.stop(quic).await?;
    ground.stop(h2).await?;
    Ok(())
}

const CONNECTIONS: usize = 16;
