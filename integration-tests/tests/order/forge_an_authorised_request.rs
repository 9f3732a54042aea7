use kogge_security_server::provider::{authorise::Authorised, verify::Verified};

fn forge(verified: Verified) -> Authorised {
    Authorised { verified }
}

fn main() {}
