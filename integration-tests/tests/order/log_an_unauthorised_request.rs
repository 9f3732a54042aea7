use kogge_security_server::logging::Logging;
use kogge_security_server::provider::verify::Verified;
use tokio::time::Instant;

fn log(logging: &Logging, request: Verified, deadline: Instant) {
    let _ = logging.append(request, deadline);
}

fn main() {}
