//! Batch signatures on the hot path: X-Road's hash chains (namespace `http://cyber.ee/hashchain`) from a template.
//!
//! Several messages are leaves of a binary tree, and the signature is about its root. A node of the tree is called a step; its value is
//! the SHA-256 of a DER list of what it stands on:
//!
//! ```text
//! SEQUENCE OF SEQUENCE { digest OCTET STRING, method UTF8String, transforms SEQUENCE {} }
//! ```
//!
//! A message's own step stands on the SHA-512 digests of its parts, every other step on two steps. The method in the list tells the two
//! apart, so a step can never pass for a message. A step without a sibling moves up as it is.
//!
//! Beside the signature, two files let anybody follow one message to the root: `sig-hashchainresult.xml` has the root and is what the
//! signature is about; `sig-hashchain.xml` has the steps of this message alone, `STEP0` being the root, and of the others
//! nothing but digests. Both are hashed as they are written, byte for byte.

pub(crate) mod timestamps;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kogge_proto::digest::{Sha256, Sha256Hasher, Sha512};
use kogge_proto::limits::SIGNATURE_BATCH_DEPTH_MAX;

use crate::signature::Parts;
use crate::xades::{DS, SHA256, SHA512};

/// The way from a message's own step to the root, as the compact signature carries it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Way<'a> {
    /// Values of the sibling steps from the message's own step upward, 32 bytes each: 1 to [`SIGNATURE_BATCH_DEPTH_MAX`].
    siblings: &'a [u8],
    /// Bit i: the i-th sibling stands left of the way.
    left: u32,
}

/// The way of one leaf of a tree that was just built.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct NewWay {
    pub(crate) siblings: Vec<u8>,
    pub(crate) left: u32,
}

#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

impl<'a> Way<'a> {
    /// `None` if it is not written in its only form: whole siblings, at least one, not too many, and no side without a sibling.
    pub(crate) fn new(siblings: &'a [u8], left: u32) -> Option<Self> {
        let depth = siblings.len() / Sha256::LEN;
        let holds = siblings.len() == depth * Sha256::LEN
            && (1..=SIGNATURE_BATCH_DEPTH_MAX).contains(&depth)
            && left.checked_shr(u32::try_from(depth).ok()?).unwrap_or(0) == 0;
        holds.then_some(Self { siblings, left })
    }

    /// From the message's own step upward.
    fn steps(self) -> impl DoubleEndedIterator<Item = (Side, &'a [u8])> + ExactSizeIterator {
        let side = move |level: usize| match self.left >> level & 1 {
            0 => Side::Right,
            _ => Side::Left,
        };
        self.siblings.chunks_exact(Sha256::LEN).enumerate().map(move |(level, value)| (side(level), value))
    }

    /// The root to which the way leads from a message's own step.
    pub(crate) fn root(self, own: Sha256) -> Sha256 {
        self.steps().fold(own, |value, (side, sibling)| match side {
            Side::Left => node(sibling, value.as_bytes()),
            Side::Right => node(value.as_bytes(), sibling),
        })
    }
}

/// The value of a message's own step.
pub(crate) fn own_step(parts: &Parts) -> Sha256 {
    let mut step = Sha256Hasher::new();
    step.update(if parts.body.is_some() { OF_TWO_PARTS } else { OF_ONE_PART });
    for part in [Some(&parts.message), parts.body.as_ref()].into_iter().flatten() {
        add(&mut step, PART, part.as_bytes(), SHA512);
    }
    step.finish()
}

/// The tree over these steps: the root, and the way of each to it. `None` without leaves.
pub(crate) fn tree(leaves: &[Sha256]) -> Option<(Sha256, Vec<NewWay>)> {
    let levels = levels(leaves);
    let root = levels.last()?.first()?;
    let ways = (0..leaves.len()).map(|leaf| climb(&levels, leaf)).collect();
    Some((*root, ways))
}

/// From the leaves up to the root.
fn levels(leaves: &[Sha256]) -> Vec<Vec<Sha256>> {
    let mut levels = vec![leaves.to_vec()];
    while let Some(level) = levels.last()
        && level.len() > 1
    {
        let next = level.chunks(2).filter_map(parent).collect();
        levels.push(next);
    }
    levels
}

fn climb(levels: &[Vec<Sha256>], leaf: usize) -> NewWay {
    let mut way = NewWay::default();
    let mut place = leaf;
    for level in levels {
        if let Some(sibling) = level.get(place ^ 1) {
            if place % 2 == 1 {
                way.left |= 1 << (way.siblings.len() / Sha256::LEN);
            }
            way.siblings.extend_from_slice(sibling.as_bytes());
        }
        place /= 2;
    }
    way
}

fn parent(children: &[Sha256]) -> Option<Sha256> {
    match children {
        [left, right] => Some(node(left.as_bytes(), right.as_bytes())),
        alone => alone.first().copied(),
    }
}

/// The value of a step on two others.
fn node(left: &[u8], right: &[u8]) -> Sha256 {
    let mut step = Sha256Hasher::new();
    step.update(OF_TWO_STEPS);
    add(&mut step, STEP, left, SHA256);
    add(&mut step, STEP, right, SHA256);
    step.finish()
}

/// One SEQUENCE of the list.
fn add(step: &mut Sha256Hasher, head: &[u8], digest: &[u8], method: &str) {
    step.update(head);
    step.update(digest);
    step.update(METHOD);
    step.update(method.as_bytes());
    step.update(NO_TRANSFORMS);
}

/// The bytes of `sig-hashchainresult.xml`.
pub(crate) fn result_document(root: Sha256) -> String {
    result_of("/sig-hashchain.xml", root)
}

fn result_of(chain: &str, root: Sha256) -> String {
    let root = STANDARD.encode(root.as_bytes());
    format!(
        "<HashChainResult xmlns=\"{HASH_CHAIN}\" xmlns:ds=\"{DS}\" URI=\"{chain}#STEP0\">\
         <ds:DigestMethod Algorithm=\"{SHA256}\"></ds:DigestMethod><ds:DigestValue>{root}</ds:DigestValue>\
         </HashChainResult>"
    )
}

/// The bytes of `sig-hashchain.xml`.
pub(crate) fn chain_document(parts: &Parts, way: Way<'_>) -> String {
    let depth = way.steps().len();
    let below = |next| format!("<StepRef URI=\"#STEP{next}\"></StepRef>");
    let steps: String = (1..=depth)
        .zip(way.steps().rev())
        .map(|(next, (side, sibling))| {
            format!("<HashStep id=\"STEP{}\">{}</HashStep>", next - 1, beside(side, sibling, &below(next)))
        })
        .collect();
    let message = data_ref("/message.xml", &parts.message);
    let body = parts.body.map(|body| data_ref("/attachment1", &body)).unwrap_or_default();
    whole_chain(&format!("{steps}<HashStep id=\"STEP{depth}\">{message}{body}</HashStep>"))
}

fn whole_chain(steps: &str) -> String {
    format!(
        "<HashChain xmlns=\"{HASH_CHAIN}\" xmlns:ds=\"{DS}\">\
         <DefaultDigestMethod Algorithm=\"{SHA256}\"></DefaultDigestMethod>{steps}</HashChain>"
    )
}

/// What leads on, with the sibling on its side.
fn beside(side: Side, sibling: &[u8], way: &str) -> String {
    let sibling = STANDARD.encode(sibling);
    let sibling = format!("<HashValue><ds:DigestValue>{sibling}</ds:DigestValue></HashValue>");
    match side {
        Side::Left => sibling + way,
        Side::Right => way.to_owned() + &sibling,
    }
}

fn data_ref(uri: &str, digest: &Sha512) -> String {
    let digest = STANDARD.encode(digest.as_bytes());
    format!(
        "<DataRef URI=\"{uri}\"><ds:DigestMethod Algorithm=\"{SHA512}\"></ds:DigestMethod>\
         <ds:DigestValue>{digest}</ds:DigestValue></DataRef>"
    )
}

const HASH_CHAIN: &str = "http://cyber.ee/hashchain";

// DER with the lengths that follow from digests of one length and method URIs of 39 bytes.
const OF_ONE_PART: &[u8] = &[0x30, 111];
const OF_TWO_PARTS: &[u8] = &[0x30, 0x81, 222];
const OF_TWO_STEPS: &[u8] = &[0x30, 0x81, 158];
const PART: &[u8] = &[0x30, 109, 0x04, 64];
const STEP: &[u8] = &[0x30, 77, 0x04, 32];
const METHOD: &[u8] = &[0x0c, 39];
const NO_TRANSFORMS: &[u8] = &[0x30, 0];

#[cfg(test)]
mod tests;
