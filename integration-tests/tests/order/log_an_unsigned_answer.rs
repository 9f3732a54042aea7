use kogge_security_server::logging::Logging;
use kogge_security_server::provider::backend::Answer;
use tokio::time::Instant;

fn log(logging: &Logging, answer: Answer, deadline: Instant) {
    let _ = logging.append(answer, deadline);
}

fn main() {}
