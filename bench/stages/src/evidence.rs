//! What auditors get: the leaf that is stamped, the container, and its verification.

use std::io::Cursor;

use kogge_evidence::container::{self, Body, Contents};
use kogge_evidence::evidence_record::{ArchiveTimestamp, EvidenceRecord};
use kogge_evidence::material::Material;
use kogge_evidence::signature::{Parts, Signed, sign};
use kogge_evidence::verify;
use kogge_evidence::xades;
use kogge_proto::wire::evidence::Signature;

use crate::exchange::Exchange;
use crate::world::{Algorithm, NOW};
use crate::{Stage, Work, World};

pub(crate) const STAGES: &[Stage] = &[
    Stage::cryptographic("evidence.leaf", 100, leaf),
    Stage::cryptographic("container.export", 100, export),
    Stage::cryptographic("container.verify", 5, check),
];

/// A message with a stamp of its own.
struct Stamped {
    exchange: Exchange,
    parts: Parts,
    signature: Signature,
    material: Material,
    record: EvidenceRecord,
}

fn leaf(world: &World) -> Work {
    let Stamped { parts, signature, material, .. } = Stamped::new(world);
    Work::new(move || xades::leaf(&signature, &parts, &material).unwrap())
}

fn export(world: &World) -> Work {
    let stamped = Stamped::new(world);
    Work::new(move || stamped.container())
}

fn check(world: &World) -> Work {
    let (container, snapshot) = (Stamped::new(world).container(), world.snapshot());
    Work::new(move || {
        let verdict = verify::container(Cursor::new(&container), &*snapshot);
        assert!(verdict.report.passed(), "{}", verdict.report);
    })
}

impl Stamped {
    fn new(world: &World) -> Self {
        let exchange = Exchange::new(1);
        let parts = exchange.parts();
        let Signed { signature, material, .. } =
            sign(&parts, &world.credential(Algorithm::P256), NOW).unwrap();
        let material = Material::new(&material).unwrap();
        let leaf = xades::leaf(&signature, &parts, &material).unwrap();
        let record = EvidenceRecord {
            first: ArchiveTimestamp { groups: vec![], token: world.token(leaf) },
            renewals: vec![],
        };
        Self { exchange, parts, signature, material, record }
    }

    fn container(&self) -> Vec<u8> {
        let Self { exchange: Exchange { request, body }, parts, signature, material, record } = self;
        let (message, evidence_record) = (request.bytes(), Some(record));
        let contents = Contents { message, parts: *parts, signature, material, evidence_record };
        let body = Body { length: body.len() as u64, content: &mut body.as_slice() };
        let mut container = Cursor::new(Vec::new());
        container::write(&mut container, &contents, Some(body)).unwrap();
        container.into_inner()
    }
}
