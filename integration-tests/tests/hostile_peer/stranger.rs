//! Strangers: whoever cannot show a registered, valid, unrevoked authentication certificate of an approved CA is refused by the provider's
//! process, on either carrier, and the operator can see why.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kogge_certs::ocsp::Answer;
use kogge_proto::message::{RequestParts, RestRequest};
use kogge_security_server::clock;
use kogge_signer::KeyUse;
use kogge_transport::{
    Frame, Identity, LocalIdentity, Refusal, TransportError, TransportMode, TunnelLimits, Tunnels,
    frame::Kind,
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::letter::Letter;
use crate::scene::{BOTH, DAY, Owner, Scene, unapproved_ca};

/// Who comes: its certificate, whether the registry lists it, and what the operator of the provider reads.
struct Stranger {
    what: &'static str,
    owner: Owner,
    registered: bool,
    reason: &'static str,
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_without_a_good_certificate() {
    let scene = Scene::start(&[]);
    let strangers = strangers(&scene);
    for stranger in strangers.iter().filter(|stranger| stranger.registered) {
        register(&scene, &stranger.owner);
    }
    scene.wait_for_snapshot("provider");
    for mode in BOTH {
        for stranger in &strangers {
            // Its OCSP response is for its own eyes: the handshake must fail without it.
            let identity = LocalIdentity {
                ocsp: b"none".to_vec(),
                ..scene.identity(&scene.owner("consumer", KeyUse::Authentication))
            };
            let Owner { certificate, key } = stranger.owner.clone();
            let known = refused_peers(&scene).len();
            let refused = knock(&scene, LocalIdentity { certificate, key, ..identity }, mode).await;
            let what = format!("{} by {mode:?}", stranger.what);
            assert!(
                matches!(refused, Err(TransportError::Refused(Refusal::ByPeer(_)))),
                "{what}: {refused:?}"
            );
            scene.demo.wait_until("the operator can see it", || refused_peers(&scene).len() > known).unwrap();
            let told = refused_peers(&scene).split_off(known);
            assert!(told.iter().all(|line| line.contains(stranger.reason)), "{what}: {told:?}");
        }
        let honest = scene.keys("consumer").identity;
        assert_eq!(knock(&scene, honest, mode).await.unwrap(), "answered", "{mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_certificate_is_not_enough() {
    let scene = Scene::start(&[]);
    let before = (scene.calls(), scene.records("provider"));
    for mode in BOTH {
        // Revocation shows in the OCSP response that comes with the first frame.
        let honest = scene.keys("consumer").identity;
        let ocsp = scene.ocsp(&honest.certificate, Answer::Revoked(clock::now().minus(DAY)), clock::now());
        let revoked = LocalIdentity { ocsp, ..honest };
        let told = knock(&scene, revoked, mode).await.unwrap();
        assert_eq!(told, "server.serverproxy.ssl_authentication_failed", "revoked, by {mode:?}");
        // The other member's server is registered as well, but the client is not registered on it.
        let told = knock(&scene, scene.keys("provider").identity, mode).await.unwrap();
        assert_eq!(told, "server.serverproxy.unknown_member", "another member's server, by {mode:?}");
        assert_eq!((scene.calls(), scene.records("provider")), before);
    }
    scene.change(&["suspend", &scene.demo.server("consumer").id]);
    scene.wait_for_snapshot("provider");
    for mode in BOTH {
        let refused = knock(&scene, scene.keys("consumer").identity, mode).await;
        assert!(matches!(refused, Err(TransportError::Refused(_))), "suspended, by {mode:?}: {refused:?}");
    }
    assert_eq!((scene.calls(), scene.records("provider")), before);
}

fn strangers(scene: &Scene) -> Vec<Stranger> {
    let (now, elsewhere) = (clock::now(), unapproved_ca());
    let stranger = |what, owner, registered, reason| Stranger { what, owner, registered, reason };
    let by = |ca: &Owner, from, until| scene.certify(ca, "consumer", from, until);
    vec![
        stranger(
            "unregistered",
            by(&scene.ca, now.minus(DAY), now.plus(DAY)),
            false,
            "no security server is registered",
        ),
        stranger("expired", by(&scene.ca, now.minus(2 * DAY), now.minus(DAY)), true, "expired"),
        stranger("not yet valid", by(&scene.ca, now.plus(DAY), now.plus(2 * DAY)), true, "not valid before"),
        stranger("of an unapproved CA", by(&elsewhere, now.minus(DAY), now.plus(DAY)), true, "approved"),
        stranger("a signing certificate", scene.owner("consumer", KeyUse::Signing), true, "profile"),
        stranger(
            "unregistered and unapproved",
            by(&elsewhere, now.minus(DAY), now.plus(DAY)),
            false,
            "no security server",
        ),
    ]
}

/// Asks the provider as the consumer would, and gives the fault's code or `answered`.
async fn knock(
    scene: &Scene,
    identity: LocalIdentity,
    mode: TransportMode,
) -> Result<String, TransportError> {
    let auth_ocsp = identity.ocsp.clone();
    let tunnels = Tunnels::new(
        Arc::new(Identity::new(identity).unwrap()),
        scene.trust(),
        mode,
        TunnelLimits::default(),
    );
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut stream = tunnels.open(&scene.registered("provider"), deadline).await?;
    for frame in letter(scene, &auth_ocsp).frames() {
        stream.send(frame).await?;
    }
    stream.finish().await?;
    Ok(match stream.recv().await? {
        Some(Frame { kind: Some(Kind::Fault(fault)) }) => fault.code,
        Some(Frame { kind: Some(Kind::Head(_)) }) => "answered".to_owned(),
        other => format!("{other:?}"),
    })
}

fn letter(scene: &Scene, auth_ocsp: &[u8]) -> Letter {
    let (endpoints, request_id) = (&scene.demo.endpoints, Uuid::new_v4().to_string());
    let request = RestRequest::build(RequestParts {
        method: "POST",
        target: &format!("/r1/{}/attachments", endpoints.service),
        headers: vec![("x-road-client".into(), endpoints.client.as_str().into())],
        request_id: &request_id,
        fallback_message_id: "message",
    });
    let body = Some(Bytes::from_static(b"question"));
    let credential = scene.keys("consumer").credential;
    Letter::new(request.unwrap().bytes(), &request_id, body, &credential, auth_ocsp, clock::now())
}

fn register(scene: &Scene, owner: &Owner) {
    let file = scene.demo.dir().join("stranger.pem");
    std::fs::write(&file, owner.certificate.to_pem()).unwrap();
    scene.change(&["add-auth-certificate", &scene.demo.server("consumer").id, file.to_str().unwrap()]);
}

/// What the provider's operator reads about the peers that were refused; too few to be forgotten.
fn refused_peers(scene: &Scene) -> Vec<String> {
    let status = scene.demo.readiness("provider");
    let lines = status["refused_peers"].as_array().cloned().unwrap_or_default();
    lines.iter().filter_map(|line| line.as_str()).map(str::to_owned).collect()
}
