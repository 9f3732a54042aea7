use kogge_security_server::OwnKeys;
use kogge_security_server::provider::{backend::Answer, reply::answer};
use kogge_security_server::signing::Signed;
use kogge_transport::PeerStream;

async fn reply(stream: &mut PeerStream, signed: &Signed<Answer>, keys: &OwnKeys) {
    let _ = answer(stream, signed, keys).await;
}

fn main() {}
