//! Records as a message log holds them, stamped and under a snapshot, and their containers.

use std::io::Cursor;
use std::time::Duration;

use kogge_certs::anchor::{Anchor, Environment};
use kogge_certs::snapshot::{Draft, Policy, VerifiedSnapshot, sign_delegation, sign_snapshot};
use kogge_certs::trust::{ApprovedCa, ApprovedTsa};
use kogge_evidence::container;
use kogge_evidence::evidence_record::batch_root;
use kogge_evidence::material::Material;
use kogge_evidence::signature::{Credential, Parts, Signed, sign, sign_batch};
use kogge_evidence::timestamp_chain;
use kogge_evidence::verify::{self, LogRecord, Verdict};
use kogge_evidence::xades;
use kogge_proto::digest::{Sha256, sha256, sha512};
use kogge_proto::message::{RequestParts, ResponseParts, RestRequest, RestResponse};
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence::Material as WireMaterial;
use kogge_proto::wire::log::{Body, Direction, MessageRecord, StampLeaf, StampRecord, body::Place};
use kogge_signer::{NewKeyKind, ephemeral};

use crate::world::{DAY, HOUR, NOW, Wish, World};

pub(crate) const SEQUENCE: u64 = 41;

/// One record with all that belongs to it; tests change one thing at a time.
pub(crate) struct Exported {
    pub(crate) world: World,
    pub(crate) record: MessageRecord,
    pub(crate) material: WireMaterial,
    pub(crate) stamp: Option<StampRecord>,
    pub(crate) tsas: Vec<ApprovedTsa>,
    /// What the snapshot is made of.
    pub(crate) instance: &'static str,
    pub(crate) policy: Policy,
    pub(crate) snapshot_expires: UnixMillis,
    pub(crate) appended: UnixMillis,
}

/// What is exported.
#[derive(Clone, Copy)]
pub(crate) enum Which {
    Request,
    Response,
}

impl Exported {
    /// A stamped request of 70000001 with this body.
    pub(crate) fn request(body: Option<&[u8]>) -> Self {
        let world = World::new();
        let credential = world.credential(&Wish::default());
        Self::signed(world, Which::Request, body, &credential)
    }

    /// A record signed now by this credential, stamped in a batch with others.
    pub(crate) fn signed(world: World, which: Which, body: Option<&[u8]>, credential: &Credential) -> Self {
        Self::new(world, which, body, NOW, |parts| sign(parts, credential, NOW).unwrap())
    }

    /// A request that was signed together with others: the one at `place` among `count`.
    pub(crate) fn in_batch(world: World, body: Option<&[u8]>, count: u8, place: usize) -> Self {
        let credential = world.credential(&Wish::default());
        Self::in_batch_by(world, &credential, body, count, place)
    }

    /// As [`Self::in_batch`], signed by this credential.
    pub(crate) fn in_batch_by(
        world: World,
        credential: &Credential,
        body: Option<&[u8]>,
        count: u8,
        place: usize,
    ) -> Self {
        Self::new(world, Which::Request, body, NOW, |own| {
            let mut messages: Vec<_> =
                (0..count).map(|number| Parts { message: sha512(&[number]), body: None }).collect();
            messages[place] = *own;
            sign_batch(&messages, credential, NOW).unwrap().remove(place)
        })
    }

    /// A request without body, signed at another time than that of its stamp.
    pub(crate) fn signed_at(world: World, credential: &Credential, at: UnixMillis) -> Self {
        Self::new(world, Which::Request, None, at, |parts| sign(parts, credential, at).unwrap())
    }

    fn new(
        world: World,
        which: Which,
        body: Option<&[u8]>,
        signing_time: UnixMillis,
        sign: impl FnOnce(&Parts) -> Signed,
    ) -> Self {
        let request = rest_request();
        let (message, direction) = match which {
            Which::Request => (request.bytes().clone(), Direction::Request),
            Which::Response => (rest_response(&request).bytes().clone(), Direction::Response),
        };
        let parts = Parts { message: sha512(&message), body: body.map(sha512) };
        let signed = sign(&parts);
        let record = MessageRecord {
            direction: direction.into(),
            message_id: request.message_id().to_owned(),
            request_id: request.request_id().to_owned(),
            client: request.client().to_string(),
            service: request.service().to_string(),
            message: message.to_vec().into(),
            body: body.map(|body| Body {
                length: body.len() as u64,
                sha512: sha512(body).as_bytes().to_vec(),
                place: Some(Place::Inline(body.to_vec().into())),
            }),
            signature: Some(signed.signature),
            ..MessageRecord::default()
        };
        let policy = Policy {
            ocsp_freshness: HOUR,
            timestamp_interval: Duration::from_secs(60),
            timestamp_failure: HOUR * 4,
            clock_skew: Duration::from_secs(5),
        };
        let mut exported = Self {
            world,
            record,
            material: signed.material,
            stamp: None,
            tsas: Vec::new(),
            instance: "TEST",
            policy,
            appended: signing_time,
            snapshot_expires: NOW.plus(DAY).floor_seconds(),
        };
        exported.stamp_among(&[sha256(b"another record"), sha256(b"a third record")]);
        exported
    }

    /// Stamps the record anew, in a batch behind these leaves; the snapshot approves the TSA.
    pub(crate) fn stamp_among(&mut self, others: &[Sha256]) {
        let leaves: Vec<Sha256> = others.iter().copied().chain([self.leaf()]).collect();
        let root = batch_root(None, &leaves).unwrap();
        let xroad = sha256(&timestamp_chain::result(&leaves).unwrap());
        let ([token, xroad_token], tsa) = self.world.tokens([root, xroad]);
        self.tsas = vec![ApprovedTsa {
            name: "Test TSA".to_owned(),
            url: "http://tsa.example/".to_owned(),
            certificate: tsa,
            policies: vec!["1.2.3.4".to_owned()],
        }];
        let first = SEQUENCE - others.len() as u64;
        let leaves = leaves.iter().zip(first..);
        self.stamp = Some(StampRecord {
            token,
            leaves: leaves
                .map(|(leaf, sequence)| StampLeaf { sequence, sha256: leaf.as_bytes().to_vec() })
                .collect(),
            previous_root: vec![],
            checkpoint: vec![],
            root: root.as_bytes().to_vec(),
            xroad_token,
        });
    }

    /// The stamp, to be spoiled.
    pub(crate) fn stamp_mut(&mut self) -> &mut StampRecord {
        self.stamp.as_mut().unwrap()
    }

    fn leaf(&self) -> Sha256 {
        let parts = container::parts_of(&self.record).unwrap();
        let material = Material::new(&self.material).unwrap();
        xades::leaf(self.record.signature.as_ref().unwrap(), &parts, &material).unwrap()
    }

    /// The container's bytes.
    pub(crate) fn container(&self) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        let stamp = self.stamp.as_ref();
        container::write_record(&mut out, SEQUENCE, &self.record, &self.material, stamp, None).unwrap();
        out.into_inner()
    }

    /// The container's bytes in X-Road's form.
    pub(crate) fn xroad_container(&self) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        let stamp = self.stamp.as_ref();
        container::xroad::write_record(&mut out, SEQUENCE, &self.record, &self.material, stamp, None)
            .unwrap();
        out.into_inner()
    }

    /// The registry's snapshot: approves the world's CA and the TSA of the stamp.
    pub(crate) fn snapshot(&self) -> VerifiedSnapshot {
        let cas = self.world.trust.cas().iter().map(|ca| ApprovedCa::clone(ca)).collect();
        snapshot(self.instance, self.policy, cas, self.tsas.clone(), self.snapshot_expires)
    }

    /// The verdict on the container.
    pub(crate) fn verdict(&self) -> Verdict {
        verify::container(Cursor::new(self.container()), &self.snapshot())
    }

    /// The verdict on the record, its body read as it is in it.
    pub(crate) fn record_verdict(&self) -> Verdict {
        let body = self.record.body.as_ref().and_then(|body| match &body.place {
            Some(Place::Inline(bytes)) => Some((sha512(bytes), bytes.len() as u64)),
            _ => None,
        });
        verify::record(&self.log_record(body), &self.snapshot())
    }

    pub(crate) fn log_record(&self, body: Option<(kogge_proto::digest::Sha512, u64)>) -> LogRecord<'_> {
        LogRecord {
            sequence: SEQUENCE,
            time: self.appended,
            record: &self.record,
            material: &self.material,
            stamp: self.stamp.as_ref(),
            body,
        }
    }
}

pub(crate) fn snapshot(
    instance: &str,
    policy: Policy,
    cas: Vec<ApprovedCa>,
    tsas: Vec<ApprovedTsa>,
    expires: UnixMillis,
) -> VerifiedSnapshot {
    let root = ephemeral(NewKeyKind::EcdsaP256).unwrap();
    let online = ephemeral(NewKeyKind::EcdsaP256).unwrap();
    let issued = NOW.minus(HOUR).floor_seconds();
    let online_keys = [online.public_key().clone()];
    let delegation = sign_delegation(instance, 1, issued, expires, &online_keys, 1, &[&*root]).unwrap();
    let draft = Draft {
        instance: instance.to_owned(),
        environment: Environment::Test,
        version: 7,
        issued,
        expires,
        policy,
        members: vec![],
        subsystems: vec![],
        security_servers: vec![],
        registrations: Default::default(),
        cas,
        tsas,
        services: vec![],
    };
    let bytes = sign_snapshot(&draft, &delegation, &[&*online]).unwrap();
    let urls = vec!["http://registry.example/".to_owned()];
    let anchor = Anchor::new(instance, Environment::Test, urls, vec![root.public_key().clone()], 1).unwrap();
    VerifiedSnapshot::verify_archived(bytes, &anchor).unwrap()
}

fn rest_request() -> RestRequest {
    let header = |name: &str, value: &str| (name.into(), value.into());
    RestRequest::build(RequestParts {
        method: "POST",
        target: "/r1/TEST/GOV/70000002/population/persons/v1?code=12345678901",
        headers: vec![
            header("X-Road-Client", "TEST/GOV/70000001/portal"),
            header("Content-Type", "application/json"),
        ],
        request_id: "11111111-2222-3333-4444-555555555555",
        fallback_message_id: "message-1",
    })
    .unwrap()
}

fn rest_response(request: &RestRequest) -> RestResponse {
    let parts = ResponseParts { status: 200, reason: "OK", headers: vec![], request_hash: "aGFzaA==" };
    RestResponse::build(request, parts).unwrap()
}
