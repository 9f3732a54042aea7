//! Back through the tunnel: the logged answer, or a fault.

use kogge_proto::fault::Fault;
use kogge_proto::wire::tunnel as wire;
use kogge_proto::wire::tunnel::{Frame, frame::Kind};
use kogge_transport::PeerStream;

use super::backend::Answer;
use crate::exchange::{Departure, DepartureError, depart};
use crate::logging::Logged;
use crate::signing::Signed;
use crate::trust::OwnKeys;

/// Sends an answer whose evidence is durable.
///
/// # Errors
/// The peer does not take it; see [`DepartureError`].
#[doc(hidden)] // public so that tests outside can show what it does not take
pub async fn answer(
    stream: &mut PeerStream,
    answer: &Logged<Signed<Answer>>,
    keys: &OwnKeys,
) -> Result<(), DepartureError> {
    let signed = answer.stage();
    let (response, body) = (signed.message().response(), signed.message().body());
    let departure = Departure {
        message: response.bytes().clone(),
        request_id: response.request_id(),
        body,
        signature: signed.signature().clone(),
        material: signed.material().clone(),
        auth_ocsp: keys.ocsp_of(stream.peer().local_certificate()),
        deadline_ms: 0,
    };
    stream.queue(departure.head()).await?;
    depart(stream, body).await
}

/// Sends a fault, perhaps before the peer has sent its whole request.
pub(super) async fn fault(stream: &mut PeerStream, fault: Fault) -> Result<(), DepartureError> {
    let fault =
        wire::Fault { code: fault.code.as_str().to_owned(), message: fault.message, detail: fault.detail };
    stream.queue(Frame { kind: Some(Kind::Fault(fault)) }).await?;
    depart(stream, None).await
}
