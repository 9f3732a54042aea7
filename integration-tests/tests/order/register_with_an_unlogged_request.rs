use kogge_security_server::provider::{authorise::Authorised, backend::Backend};
use tokio::time::Instant;

async fn call(backend: &Backend, request: Authorised, deadline: Instant) {
    let _ = backend.call(request, deadline).await;
}

fn main() {}
