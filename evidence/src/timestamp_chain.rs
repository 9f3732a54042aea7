//! A batch timestamp in X-Road's form: a token over the result of a hash chain, and one signature's way to it.
//!
//! It covers the same signature documents as the [evidence record](crate::evidence_record) of the batch, and is computed from the same leaves; only its
//! token is kept. How the chain is built is told in the module that writes it (`hash_chain/timestamps.rs`).

use kogge_proto::digest::Sha256;
use kogge_proto::limits::BATCH_LEAVES_MAX;
use kogge_proto::wire::log::StampRecord;

use crate::hash_chain::timestamps;

/// The files of the timestamp in X-Road's container.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TimestampChain {
    /// SHA-256 of the signature document that leads to the result.
    pub leaf: Sha256,
    /// `ts-hashchainresult.xml`: what the token is about.
    pub result: Vec<u8>,
    /// `ts-hashchain.xml`: the way from the signature document to it.
    pub chain: Vec<u8>,
    /// DER TimeStampToken.
    pub token: Vec<u8>,
}

/// Why there is no timestamp in X-Road's form.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TimestampChainError {
    /// The server was not configured to ask for it.
    #[error("this batch was stamped without X-Road's form")]
    NotStamped,
    /// The stamp does not cover the record.
    #[error("the timestamp batch does not cover the record {0}")]
    NotCovered(u64),
    /// The stamp cannot be read.
    #[error("the timestamp batch is damaged: {0}")]
    Malformed(&'static str),
}

impl TimestampChain {
    /// Of the message record `sequence` out of the batch that covers it.
    ///
    /// # Errors
    /// The batch does not cover it, has no such token, or is damaged.
    pub fn of_batch(stamp: &StampRecord, sequence: u64) -> Result<Self, TimestampChainError> {
        if stamp.xroad_token.is_empty() {
            return Err(TimestampChainError::NotStamped);
        }
        if stamp.leaves.len() > BATCH_LEAVES_MAX {
            return Err(TimestampChainError::Malformed("it has too many leaves"));
        }
        let malformed = TimestampChainError::Malformed("a digest is not 32 bytes long");
        let leaves: Option<Vec<Sha256>> =
            stamp.leaves.iter().map(|leaf| Sha256::from_slice(&leaf.sha256)).collect();
        let leaves = leaves.ok_or(malformed)?;
        let place = stamp.leaves.iter().position(|leaf| leaf.sequence == sequence);
        let files = place.and_then(|place| {
            let chain = timestamps::chain_document(&leaves, place)?;
            Some((*leaves.get(place)?, timestamps::result_document(&leaves)?, chain))
        });
        let (leaf, result, chain) = files.ok_or(TimestampChainError::NotCovered(sequence))?;
        let token = stamp.xroad_token.clone();
        Ok(Self { leaf, result: result.into_bytes(), chain: chain.into_bytes(), token })
    }
}

/// What the token of a batch in X-Road's form is about: the bytes of `ts-hashchainresult.xml`. `None` without leaves.
#[must_use]
pub fn result(leaves: &[Sha256]) -> Option<Vec<u8>> {
    timestamps::result_document(leaves).map(String::into_bytes)
}

#[cfg(test)]
mod tests {
    use kogge_proto::digest::sha256;
    use kogge_proto::wire::log::StampLeaf;

    use super::*;

    fn stamp() -> StampRecord {
        let leaf = |sequence: u64| StampLeaf {
            sequence,
            sha256: sha256(&sequence.to_be_bytes()).as_bytes().to_vec(),
        };
        StampRecord {
            leaves: [5, 8, 9].map(leaf).to_vec(),
            previous_root: vec![7; 32],
            xroad_token: vec![1],
            ..StampRecord::default()
        }
    }

    fn refusal(change: impl FnOnce(&mut StampRecord), sequence: u64) -> TimestampChainError {
        let mut stamp = stamp();
        change(&mut stamp);
        TimestampChain::of_batch(&stamp, sequence).unwrap_err()
    }

    #[test]
    fn the_root_of_the_batch_before_has_no_part_in_it() {
        let chain = TimestampChain::of_batch(&stamp(), 8).unwrap();
        let leaves = [5_u64, 8, 9].map(|sequence| sha256(&sequence.to_be_bytes()));
        assert_eq!((chain.leaf, Some(chain.result.clone())), (leaves[1], result(&leaves)));
        let first = StampRecord { previous_root: vec![], ..stamp() };
        assert_eq!(TimestampChain::of_batch(&first, 8).unwrap(), chain);
    }

    #[test]
    fn a_stamp_without_it_says_so_and_a_damaged_one_too() {
        use TimestampChainError as E;
        assert_eq!(refusal(|stamp| stamp.xroad_token.clear(), 8), E::NotStamped);
        assert_eq!(refusal(|_| (), 7), E::NotCovered(7));
        assert_eq!(refusal(|stamp| stamp.leaves.clear(), 8), E::NotCovered(8));
        let short = |stamp: &mut StampRecord| stamp.leaves[0].sha256.truncate(31);
        assert_eq!(refusal(short, 8), E::Malformed("a digest is not 32 bytes long"));
        let many = |stamp: &mut StampRecord| {
            stamp.leaves = vec![stamp.leaves[0].clone(); BATCH_LEAVES_MAX + 1];
        };
        assert_eq!(refusal(many, 8), E::Malformed("it has too many leaves"));
    }
}
