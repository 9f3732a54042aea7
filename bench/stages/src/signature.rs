//! Signing and verifying, alone and in batches.

use std::sync::Arc;

use kogge_evidence::material::Material;
use kogge_evidence::signature::{
    Parts, ReadyCredential, Signed, Signer, sign, sign_batch, verify, verify_with,
};

use crate::exchange::Exchange;
use crate::world::{Algorithm, NOW, client_member, expected};
use crate::{Stage, Work, World};

pub(crate) const STAGES: &[Stage] = &[
    Stage::cryptographic("sign.p256", 20, |world| sign_one(world, Algorithm::P256)),
    Stage::cryptographic("sign.ed25519", 20, |world| sign_one(world, Algorithm::Ed25519)),
    Stage::cryptographic("sign.rsa2048", 32, |world| sign_one(world, Algorithm::Rsa2048)),
    Stage::cryptographic("verify.known.p256", 20, |world| verify_known(world, Algorithm::P256)),
    Stage::cryptographic("verify.known.ed25519", 20, |world| verify_known(world, Algorithm::Ed25519)),
    Stage::cryptographic("verify.known.rsa2048", 20, |world| verify_known(world, Algorithm::Rsa2048)),
    Stage::cryptographic("verify.unknown.p256", 10, verify_unknown),
    Stage::cryptographic("sign.batch-16", 10, |world| sign_many(world, 16)),
    Stage::cryptographic("sign.batch-64", 5, |world| sign_many(world, 64)),
    Stage::cryptographic("verify.batch-16", BATCHES, |world| verify_many(world, 16)),
    Stage::cryptographic("verify.batch-64", BATCHES, |world| verify_many(world, 64)),
];

fn sign_one(world: &World, algorithm: Algorithm) -> Work {
    let (credential, parts) = (ReadyCredential::new(world.credential(algorithm)), Exchange::new(1).parts());
    Work::new(move || credential.sign(&parts, NOW).unwrap())
}

/// By a signer whose certificate and OCSP response were found good before.
fn verify_known(world: &World, algorithm: Algorithm) -> Work {
    let parts = Exchange::new(1).parts();
    let signed = sign(&parts, &world.credential(algorithm), NOW).unwrap();
    let check = verifier(world);
    let signer = check(&signed, &parts, None);
    Work::new(move || check(&signed, &parts, Some(&signer)))
}

/// By a signer of whom nothing is known: path, OCSP response and value.
fn verify_unknown(world: &World) -> Work {
    let parts = Exchange::new(1).parts();
    let signed = sign(&parts, &world.credential(Algorithm::P256), NOW).unwrap();
    let check = verifier(world);
    Work::new(move || check(&signed, &parts, None))
}

/// A whole batch: one signature, and the tree.
fn sign_many(world: &World, size: u32) -> Work {
    let (credential, parts) = (ReadyCredential::new(world.credential(Algorithm::P256)), parts_of(0, size));
    Work::new(move || credential.sign_batch(&parts, NOW).unwrap())
}

/// A whole batch by a known signer: one signature, and the way of each message. Another batch each time, so that none is remembered.
fn verify_many(world: &World, size: u32) -> Work {
    let credential = world.credential(Algorithm::P256);
    let batches: Vec<Vec<(Signed, Parts)>> = (0..BATCHES)
        .map(|batch| {
            let parts = parts_of(batch * size, size);
            sign_batch(&parts, &credential, NOW).unwrap().into_iter().zip(parts).collect()
        })
        .collect();
    let check = verifier(world);
    let (signed, parts) = &batches[0][0];
    let signer = check(signed, parts, None);
    let mut turn = 0;
    Work::new(move || {
        turn = (turn + 1) % batches.len();
        for (signed, parts) in &batches[turn] {
            check(signed, parts, Some(&signer));
        }
    })
}

fn parts_of(first: u32, count: u32) -> Vec<Parts> {
    (first..first + count).map(|number| Exchange::new(number).parts()).collect()
}

/// Verifies as a security server does for each message, the digests of the material with it.
fn verifier(world: &World) -> impl Fn(&Signed, &Parts, Option<&Arc<Signer>>) -> Arc<Signer> + 'static {
    let (member, snapshot) = (client_member(), world.snapshot());
    move |Signed { signature, material, .. }, parts, known| {
        let (expected, material) = (expected(&member, &snapshot), Material::new(material).unwrap());
        let verified = match known {
            None => verify(signature, parts, &material, &expected).unwrap(),
            Some(signer) => {
                let verified =
                    verify_with(signature, parts, &material, &expected, |_| Some(Arc::clone(signer)))
                        .unwrap();
                assert!(Arc::ptr_eq(verified.signer(), signer), "what was known must have been used");
                verified
            }
        };
        Arc::clone(verified.signer())
    }
}

/// More than roots of batches are remembered for a signer, so that each is verified anew.
const BATCHES: u32 = 40;
