use kogge_security_server::provider::{accept::Received, backend::Backend};
use tokio::time::Instant;

async fn call(backend: &Backend, request: Received, deadline: Instant) {
    let _ = backend.call(request, deadline).await;
}

fn main() {}
