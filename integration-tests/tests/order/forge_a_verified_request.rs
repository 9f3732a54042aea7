use kogge_proto::id::SubsystemId;
use kogge_security_server::provider::{accept::Received, verify::Verified};

fn forge(received: Received, client: SubsystemId) -> Verified {
    Verified { received, client }
}

fn main() {}
