use kogge_security_server::logging::Safe;
use kogge_security_server::provider::authorise::Authorised;

fn forge(request: Authorised) -> Safe<Authorised> {
    Safe(request)
}

fn main() {}
