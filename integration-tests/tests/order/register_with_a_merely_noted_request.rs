use kogge_security_server::logging::{Noted, OnRecord};
use kogge_security_server::provider::authorise::Authorised;

/// Whether its method is safe was not asked.
fn may_have_its_effect(request: Noted<Authorised>) -> OnRecord<Authorised> {
    request.into()
}

fn main() {}
