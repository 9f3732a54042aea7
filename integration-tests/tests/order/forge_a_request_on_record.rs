use kogge_message_log::Receipt;
use kogge_security_server::logging::OnRecord;
use kogge_security_server::provider::authorise::Authorised;

fn forge(stage: Authorised, receipt: Receipt) -> OnRecord<Authorised> {
    OnRecord { stage, receipt }
}

fn main() {}
