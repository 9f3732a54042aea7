use kogge_security_server::logging::Logging;
use kogge_security_server::provider::authorise::Authorised;
use tokio::time::Instant;

async fn note(logging: &Logging, request: Authorised, deadline: Instant) {
    let _ = logging.note(request, deadline).await;
}

fn main() {}
