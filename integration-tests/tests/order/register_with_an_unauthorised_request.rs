use kogge_security_server::logging::OnRecord;
use kogge_security_server::provider::{backend::Backend, verify::Verified};
use tokio::time::Instant;

async fn call(backend: &Backend, request: OnRecord<Verified>, deadline: Instant) {
    let _ = backend.call(request, deadline).await;
}

fn main() {}
