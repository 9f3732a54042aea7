use kogge_message_log::Receipt;
use kogge_security_server::logging::Logged;
use kogge_security_server::provider::authorise::Authorised;

fn forge(stage: Authorised, receipt: Receipt) -> Logged<Authorised> {
    Logged { stage, receipt }
}

fn main() {}
