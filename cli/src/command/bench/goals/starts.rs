//! S1 and D5: starts beside nginx's, and after a kill with a long log.

use kogge_bench::Stack;

use super::super::say;
use super::ground::Ground;
use crate::demo::Shape;

pub(super) async fn measure(ground: &mut Ground<'_>) -> anyhow::Result<()> {
    let mut running = ground.bring_up("starts", Shape::default()).await?;
    let mut ratios = Vec::new();
    for _ in 0..ground.args.pairs {
        let product =
            running.product.first_exchange(&mut running.processes, &mut ground.answered, ground.stop).await?;
        let nginx = ground.around.floors.iter_mut().find(|floor| floor.stack() == Stack::Nginx);
        let Some(nginx) = nginx else { break };
        let floor = nginx.start_again(&mut ground.answered, ground.stop)?;
        say(&format!("first answer: nginx {} ms, product {} ms", floor.as_millis(), product.as_millis()));
        ratios.push(product.as_secs_f64() / floor.as_secs_f64());
    }
    ground.findings.add("S1", "2 members", ratios, 0);
    let (backend, answered) = (&ground.around.backend, &mut ground.answered);
    tokio::task::block_in_place(|| running.product.fill(backend, LOG_BYTES, answered, ground.stop))?;
    let mut ready = Vec::new();
    for number in 0..KILLS {
        let time = running.product.ready_after_kill(number % 2, &mut running.processes).await?;
        say(&format!("ready {} ms after a kill", time.as_millis()));
        ready.push(time.as_secs_f64() * 1e3);
        // The other server must have found it again before it is its own turn.
        tokio::task::block_in_place(|| {
            let (chain, start) = (&running.product.chain, std::time::Instant::now());
            kogge_bench::until_answered(chain, start, &mut ground.answered, ground.stop)
        })?;
    }
    ground.findings.add("D5", "1 GiB", ready, 0);
    ground.stop(running).await?;
    Ok(())
}

const LOG_BYTES: u64 = 1 << 30;
/// Of both servers in turn.
const KILLS: usize = 8;
