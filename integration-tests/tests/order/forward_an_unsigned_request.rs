use kogge_security_server::consumer::{forward::send, resolve::Routed};
use kogge_security_server::OwnKeys;
use kogge_security_server::exchange::Intake;
use kogge_security_server::logging::OnRecord;
use kogge_transport::Tunnels;
use tokio::time::Instant;

async fn forward(
    request: &OnRecord<Routed>,
    tunnels: &Tunnels,
    keys: &OwnKeys,
    intake: &Intake,
    deadline: Instant,
) {
    let _ = send(request, tunnels, keys, intake, deadline).await;
}

fn main() {}
