//! Reading `sig-hashchainresult.xml` and `sig-hashchain.xml`, and following the steps to the result.
//!
//! The form is X-Road's: steps refer to data, to other steps, and to digests of what is not there. Every step must be there once, be
//! reached once from the result's step, and have nothing in it that is not followed; so there is one way from the data to the result. White
//! space between elements is X-Road's habit and accepted here; whether a container of this project has any is for its layout to say.

use std::collections::BTreeMap;

use der::asn1::{Any, OctetString};
use der::{Encode, Sequence};
use roxmltree::Node;

use super::digest_method::DigestMethod;
use super::finding::Flaw;
use super::walk::{self, DS, Digest, Walk, algorithm, attribute, base64, read_digest};

/// The two files, as far as they could be read.
pub(super) struct ChainFiles<B> {
    /// What the signature is about.
    pub(super) result: Result<B, Flaw>,
    /// The steps to it.
    pub(super) chain: Result<B, Flaw>,
}

/// A chain that leads to its result.
pub(super) struct HashChain {
    /// From the result's step downward, in the order in which they were reached.
    steps: Vec<Vec<Item>>,
}

/// What a step stands on.
pub(super) enum Item {
    /// The value of a step that is not there.
    Value(Digest),
    /// Another step, by its id.
    Step(String),
    /// A file.
    Data(DataRef),
}

/// A file with its digest.
pub(super) struct DataRef {
    /// Which.
    pub(super) uri: String,
    /// Its digest.
    pub(super) digest: Digest,
}

/// The digests of the siblings from the lowest step upward, joined, and the places of those that stand left.
pub(super) type Siblings = (Vec<u8>, u32);

/// Reads both files of a batch signature and follows the steps.
///
/// # Errors
/// In words, what is not as expected, or that the steps do not lead to the result.
pub(super) fn read(result: &[u8], chain: &[u8]) -> Result<HashChain, String> {
    read_of(SIGNATURE_STEP_URI, result, chain)
}

/// Reads both files of a batch of timestamps (X-Road's) and follows the steps.
///
/// # Errors
/// As for [`read`].
pub(super) fn read_timestamps(result: &[u8], chain: &[u8]) -> Result<HashChain, String> {
    read_of(TIMESTAMP_STEP_URI, result, chain)
}

fn read_of(step_uri: &str, result: &[u8], chain: &[u8]) -> Result<HashChain, String> {
    let (id, expected) = read_result(step_uri, result).map_err(|reason| format!("the result: {reason}"))?;
    let (method, steps) = read_steps(chain).map_err(|reason| format!("the chain: {reason}"))?;
    let mut following = Following { method, steps, reached: Vec::new() };
    let value = following.value(&id)?;
    if let Some((id, _)) = following.steps.first_key_value() {
        return Err(format!("the step {id:?} does not lead to the result"));
    }
    if digest_by(&expected.method, &value)? != expected.value {
        return Err("the steps do not lead to the result".to_owned());
    }
    Ok(HashChain { steps: following.reached })
}

impl HashChain {
    /// From the result's step downward.
    pub(super) fn steps(&self) -> &[Vec<Item>] {
        &self.steps
    }

    /// The files that the chain is about, in their order.
    pub(super) fn data(&self) -> impl Iterator<Item = &DataRef> {
        self.steps.iter().flatten().filter_map(|item| match item {
            Item::Data(data) => Some(data),
            Item::Value(_) | Item::Step(_) => None,
        })
    }

    /// The siblings, if the chain is a way through a binary tree: every step but the last stands on a step and a value, and the last one
    /// on data.
    pub(super) fn siblings(&self) -> Option<Siblings> {
        let (mut joined, mut left) = (Vec::new(), 0);
        let (own, above) = self.steps.split_last()?;
        if !own.iter().all(|item| matches!(item, Item::Data(_))) {
            return None;
        }
        for (level, step) in above.iter().rev().enumerate() {
            let (sibling, side) = match step.as_slice() {
                [Item::Value(sibling), Item::Step(_)] => (sibling, 1),
                [Item::Step(_), Item::Value(sibling)] => (sibling, 0),
                _ => return None,
            };
            joined.extend_from_slice(&sibling.value);
            left |= side << level;
        }
        Some((joined, left))
    }
}

/// The id of the result's step, and its digest.
fn read_result(step_uri: &str, xml: &[u8]) -> Result<(String, Digest), String> {
    let document = walk::parse(xml, XML_BYTES_MAX, NODES_MAX)?;
    let root = walk::root(&document, HASH_CHAIN, "HashChainResult")?;
    let mut parts = Walk::into_indented(root, &["URI"])?;
    let digest = read_digest(&mut parts)?;
    parts.end()?;
    let uri = attribute(root, "URI")?;
    let id = uri.strip_prefix(step_uri).ok_or_else(|| format!("it is about {uri:?}"))?;
    Ok((id.to_owned(), digest))
}

/// The method of steps, and the steps by their ids.
fn read_steps(xml: &[u8]) -> Result<(String, BTreeMap<String, Vec<Item>>), String> {
    let document = walk::parse(xml, XML_BYTES_MAX, NODES_MAX)?;
    let mut parts = Walk::into_indented(walk::root(&document, HASH_CHAIN, "HashChain")?, &[])?;
    let method = algorithm(parts.take(HASH_CHAIN, "DefaultDigestMethod")?)?.to_owned();
    let mut steps = BTreeMap::new();
    while let Some(step) = parts.take_if(HASH_CHAIN, "HashStep") {
        if steps.len() >= STEPS_MAX {
            return Err(format!("it has more than {STEPS_MAX} steps"));
        }
        // No id stands twice in the document.
        steps.insert(attribute(step, "id")?.to_owned(), read_step(step, &method)?);
    }
    parts.end()?;
    Ok((method, steps))
}

fn read_step(step: Node<'_, '_>, method: &str) -> Result<Vec<Item>, String> {
    let mut parts = Walk::into_indented(step, &["id"])?;
    let mut items = Vec::new();
    loop {
        if let Some(value) = parts.take_if(HASH_CHAIN, "HashValue") {
            items.push(Item::Value(read_item(value, &[], method)?));
        } else if let Some(below) = parts.take_if(HASH_CHAIN, "StepRef") {
            Walk::into_indented(below, &["URI"])?.end()?;
            let id = attribute(below, "URI")?.strip_prefix('#').ok_or("a step refers to another file")?;
            items.push(Item::Step(id.to_owned()));
        } else if let Some(data) = parts.take_if(HASH_CHAIN, "DataRef") {
            let digest = read_item(data, &["URI"], method)?;
            items.push(Item::Data(DataRef { uri: attribute(data, "URI")?.to_owned(), digest }));
        } else {
            parts.end()?;
            return if items.is_empty() { Err("a step stands on nothing".to_owned()) } else { Ok(items) };
        }
    }
}

/// A digest, by its own method or that of the chain; nothing is transformed before it is digested.
fn read_item(item: Node<'_, '_>, attributes: &[&str], default: &str) -> Result<Digest, String> {
    let mut parts = Walk::into_indented(item, attributes)?;
    let method = match parts.take_if(DS, "DigestMethod") {
        Some(method) => algorithm(method)?.to_owned(),
        None => default.to_owned(),
    };
    let value = base64(parts.take(DS, "DigestValue")?, &[])?;
    parts.end()?;
    if value.len() != digest_by(&method, b"")?.len() {
        return Err(format!("a digest by {method} has a wrong length"));
    }
    Ok(Digest { method, value })
}

/// The steps on the way down.
struct Following {
    method: String,
    /// Not reached yet.
    steps: BTreeMap<String, Vec<Item>>,
    reached: Vec<Vec<Item>>,
}

impl Following {
    /// What is digested for the value of a step: the DER list of what it stands on. A step is taken out when it is reached, so that a
    /// circle ends, and not deeper than there are steps.
    fn value(&mut self, id: &str) -> Result<Vec<u8>, String> {
        let items = self
            .steps
            .remove(id)
            .ok_or_else(|| format!("the step {id:?} is not there, or was reached before"))?;
        let mut digests = Vec::with_capacity(items.len());
        let place = self.reached.len();
        self.reached.push(Vec::new());
        for item in &items {
            digests.push(match item {
                Item::Value(digest) | Item::Data(DataRef { digest, .. }) => {
                    (digest.value.clone(), digest.method.clone())
                }
                Item::Step(below) => {
                    let below = self.value(below)?;
                    (digest_by(&self.method, &below)?, self.method.clone())
                }
            });
        }
        if let Some(reached) = self.reached.get_mut(place) {
            *reached = items;
        }
        encode(&digests).map_err(|error| format!("a step cannot be encoded: {error}"))
    }
}

/// One entry of a step's list. X-Road leaves room for transforms and never uses it.
#[derive(Sequence)]
struct Entry {
    digest: OctetString,
    method: String,
    transforms: Vec<Any>,
}

fn encode(digests: &[(Vec<u8>, String)]) -> Result<Vec<u8>, der::Error> {
    let entry = |(digest, method): &(Vec<u8>, String)| {
        Ok(Entry {
            digest: OctetString::new(digest.as_slice())?,
            method: method.clone(),
            transforms: Vec::new(),
        })
    };
    digests.iter().map(entry).collect::<Result<Vec<_>, der::Error>>()?.to_der()
}

fn digest_by(method: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
    DigestMethod::from_uri(method)
        .map(|method| method.digest(bytes))
        .ok_or_else(|| format!("the digest method {method:?} is not accepted"))
}

/// More than X-Road's batches ever need: a way through a tree of 2^63 messages.
const STEPS_MAX: usize = 64;
/// Eight elements to a step, and white space around each.
const NODES_MAX: u32 = 64 * 20;
/// 300 bytes to a step.
pub(super) const XML_BYTES_MAX: usize = 32 * 1024;

// The verifier has its own names: a mistake in the template's must not vouch for itself.
const HASH_CHAIN: &str = "http://cyber.ee/hashchain";
const SIGNATURE_STEP_URI: &str = "/sig-hashchain.xml#";
const TIMESTAMP_STEP_URI: &str = "/ts-hashchain.xml#";

#[cfg(test)]
mod tests;
