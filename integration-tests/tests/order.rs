//! The order of an exchange's steps holds at compile time: what is written in `order/` in another order does not compile, and for the
//! reason that stands beside it.
//!
//! The right order compiles, here, with this test; so none of the others fails only because a name has changed. Messages of the compiler
//! change with its versions: `TRYBUILD=overwrite` writes them anew, to be looked at before they are committed.

use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_proto::id::SecurityServerId;
use kogge_proto::time::UnixMillis;
use kogge_security_server::OwnKeys;
use kogge_security_server::consumer::forward::{self, ForwardError};
use kogge_security_server::consumer::resolve::Routed;
use kogge_security_server::consumer::{reply, verify};
use kogge_security_server::exchange::Intake;
use kogge_security_server::logging::{Effect, Logged, Logging, LoggingError, OnRecord};
use kogge_security_server::provider::authorise::{Authorised, permit};
use kogge_security_server::provider::backend::Backend;
use kogge_security_server::provider::reply::answer;
use kogge_security_server::provider::{ProviderError, verify::Verified};
use kogge_security_server::services::Services;
use kogge_security_server::signing::Seal;
use kogge_transport::{PeerStream, Tunnels};
use tokio::time::Instant;

#[test]
fn no_other_order_compiles() {
    let _ = (provide, consume, hand_over, wait_for_the_disk);
    trybuild::TestCases::new().compile_fail("tests/order/*.rs");
}

/// Verified, permitted, on record; only then the register. Signed, logged; only then the answer.
async fn provide(
    (request, services, snapshot, server): (Verified, &Services, &VerifiedSnapshot, &SecurityServerId),
    (logging, backend, seal): (&Logging, &Backend, Seal),
    (stream, keys): (&mut PeerStream, &OwnKeys),
    (deadline, now): (Instant, UnixMillis),
) -> Result<(), ProviderError> {
    let request = permit(request, services, snapshot, server)?;
    let request = logging.record(request, deadline).await?;
    let response = backend.call(request, deadline).await?;
    let response = seal.sign(response, now).await?;
    let response = logging.append(response, deadline).await?;
    drop(answer(stream, &response, keys).await);
    Ok(())
}

/// Signed, on record; only then away.
async fn consume(
    (request, logging, seal): (Routed, &Logging, Seal),
    (tunnels, keys, intake): (&Tunnels, &OwnKeys, &Intake),
    (deadline, now): (Instant, UnixMillis),
) -> Result<(), ForwardError> {
    let Ok(request) = seal.sign(request, now).await else { return Ok(()) };
    let Ok(request) = logging.record(request, deadline).await else { return Ok(()) };
    forward::send(&request, tunnels, keys, intake, deadline).await.map(drop)
}

/// Written is enough for what changes nothing, durable for everything.
async fn wait_for_the_disk(
    request: Authorised,
    logging: &Logging,
    deadline: Instant,
) -> Result<OnRecord<Authorised>, LoggingError> {
    match Effect::of(request) {
        Effect::None(request) => Ok(logging.note(request, deadline).await?.into()),
        Effect::Any(request) => Ok(logging.append(request, deadline).await?.into()),
    }
}

/// Verified, logged; only then back.
async fn hand_over(answer: verify::Verified, logging: &Logging, deadline: Instant) {
    if let Ok(answer) = logging.append(answer, deadline).await {
        let answer: &Logged<verify::Verified> = &answer;
        drop(reply::to_information_system(answer));
    }
}
