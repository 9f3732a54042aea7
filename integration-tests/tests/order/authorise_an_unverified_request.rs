use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_proto::id::SecurityServerId;
use kogge_security_server::provider::{accept::Received, authorise::permit};
use kogge_security_server::services::Services;

fn authorise(request: Received, services: &Services, snapshot: &VerifiedSnapshot, server: &SecurityServerId) {
    let _ = permit(request, services, snapshot, server);
}

fn main() {}
