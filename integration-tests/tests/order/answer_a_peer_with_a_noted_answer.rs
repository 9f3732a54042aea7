use kogge_security_server::OwnKeys;
use kogge_security_server::logging::Noted;
use kogge_security_server::provider::{backend::Answer, reply::answer};
use kogge_security_server::signing::Signed;
use kogge_transport::PeerStream;

async fn reply(stream: &mut PeerStream, noted: &Noted<Signed<Answer>>, keys: &OwnKeys) {
    let _ = answer(stream, noted, keys).await;
}

fn main() {}
