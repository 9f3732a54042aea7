//! X-Road's form of a batch timestamp: the token is about `ts-hashchainresult.xml`, and `ts-hashchain.xml` leads there from one signature.
//!
//! The tree is X-Road's: its leaves are the digests of whole signature documents, in the order in which they were stamped; a step without
//! a sibling moves up as it is. Two things are as X-Road's verifier allows, and not as its servers write them. The digests are SHA-256, so that
//! the leaves are those of the evidence record, and of this form nothing but the token must be kept. And a signature that was stamped alone has a chain of one step,
//! where X-Road stamps the signature's value. The root of the batch before is no leaf here, as it is in the evidence record: it is no signature document.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kogge_proto::digest::{Sha256, Sha256Hasher};

use super::{NewWay, STEP, Side, add, beside, climb, levels, result_of, whole_chain};
use crate::xades::SHA256;

/// The bytes of `ts-hashchainresult.xml` over these signature documents; `None` without leaves.
pub(crate) fn result_document(leaves: &[Sha256]) -> Option<String> {
    let root = match leaves {
        [alone] => step_on_one(*alone),
        _ => *levels(leaves).last()?.first()?,
    };
    Some(result_of("/ts-hashchain.xml", root))
}

/// The bytes of `ts-hashchain.xml` for one of the leaves; `None` if there is no such leaf.
pub(crate) fn chain_document(leaves: &[Sha256], place: usize) -> Option<String> {
    let digest = STANDARD.encode(leaves.get(place)?.as_bytes());
    let own = format!(
        "<DataRef URI=\"/META-INF/signatures.xml\"><ds:DigestValue>{digest}</ds:DigestValue></DataRef>"
    );
    let NewWay { siblings, left } = climb(&levels(leaves), place);
    let siblings: Vec<(Side, &[u8])> = siblings
        .chunks_exact(Sha256::LEN)
        .enumerate()
        .map(|(level, sibling)| (if left >> level & 1 == 1 { Side::Left } else { Side::Right }, sibling))
        .collect();
    let Some(((side, sibling), above)) = siblings.split_first() else {
        return Some(whole_chain(&format!("<HashStep id=\"STEP0\">{own}</HashStep>")));
    };
    let lowest = above.len();
    let steps: String = (1..)
        .zip(above.iter().rev())
        .map(|(next, (side, sibling))| {
            let below = format!("<StepRef URI=\"#STEP{next}\"></StepRef>");
            format!("<HashStep id=\"STEP{}\">{}</HashStep>", next - 1, beside(*side, sibling, &below))
        })
        .collect();
    let own = beside(*side, sibling, &own);
    Some(whole_chain(&format!("{steps}<HashStep id=\"STEP{lowest}\">{own}</HashStep>")))
}

/// The value of the step of a signature that was stamped alone.
fn step_on_one(leaf: Sha256) -> Sha256 {
    let mut step = Sha256Hasher::new();
    step.update(OF_ONE_SIGNATURE);
    add(&mut step, STEP, leaf.as_bytes(), SHA256);
    step.finish()
}

/// DER head of a list of one SHA-256.
const OF_ONE_SIGNATURE: &[u8] = &[0x30, 79];
