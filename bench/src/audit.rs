//! Whether everything that was answered is in the logs, whole and valid.

use std::ops::Range;

use crate::chain::{Chain, ChainKind};
use crate::load::number_of;

/// The exchanges of all runs so far. Numbers are never used twice.
#[derive(Clone, Debug, Default)]
pub struct Answered {
    next: u64,
    /// Those through a product, by rising number.
    stretches: Vec<Stretch>,
}

#[derive(Clone, Debug)]
struct Stretch {
    chain: String,
    numbers: Range<u64>,
    /// Others are only there to fill the log or to find out when a server answers.
    measured: bool,
}

impl Answered {
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Notes the exchanges of a run.
    pub(crate) fn enter(&mut self, chain: &Chain, issued: Range<u64>) {
        self.note(chain, issued, true);
    }

    /// Notes exchanges that must be in the logs and say nothing about what an exchange costs.
    pub(crate) fn enter_unmeasured(&mut self, chain: &Chain, issued: Range<u64>) {
        self.note(chain, issued, false);
    }

    fn note(&mut self, chain: &Chain, numbers: Range<u64>, measured: bool) {
        self.skip_to(numbers.end);
        if chain.kind == ChainKind::Product {
            self.stretches.push(Stretch { chain: chain.name.clone(), numbers, measured });
        }
    }

    /// Numbers below may have been used for exchanges of which nobody knows how they ended.
    pub(crate) fn skip_to(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    /// How many exchanges the products answered.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.stretches.iter().map(|stretch| stretch.numbers.end - stretch.numbers.start).sum()
    }

    /// Those of one chain only.
    #[must_use]
    pub fn of(&self, chain: &str) -> Self {
        let stretches = self.stretches.iter().filter(|stretch| stretch.chain == chain).cloned().collect();
        Self { next: self.next, stretches }
    }

    /// Each with whether it is measured.
    fn numbers(&self) -> impl Iterator<Item = (u64, bool)> {
        self.stretches
            .iter()
            .flat_map(|stretch| stretch.numbers.clone().map(|number| (number, stretch.measured)))
    }

    fn is_measured(&self, number: u64) -> bool {
        let after = self.stretches.partition_point(|stretch| stretch.numbers.start <= number);
        let stretch = after.checked_sub(1).and_then(|place| self.stretches.get(place));
        stretch.is_some_and(|stretch| stretch.measured && stretch.numbers.contains(&number))
    }
}

/// A record that was found in a log and checked.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'a> {
    /// `X-Road-Id` of the message itself.
    pub message_id: &'a str,
    /// In the log of the consumer's server, not of the provider's.
    pub consumer: bool,
    /// The response, not the request.
    pub response: bool,
    /// Whether every check of the verifier passed.
    pub passed: bool,
    /// Length of the message and its body.
    pub payload_bytes: u64,
}

/// Compares what the load generator saw with what a verifier finds.
#[derive(Debug)]
pub struct Audit {
    answered: Answered,
    /// Per exchange: a bit for each of the four records that is there, then one for each that is valid.
    seen: Vec<u8>,
    twice: u64,
    strangers: u64,
    measured_payload_bytes: u64,
}

/// What an audit has found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AuditResult {
    /// Exchanges that the load generator saw answered.
    pub answered: u64,
    /// Of these, how many have request and response in both logs.
    pub logged: u64,
    /// Of these, how many have four valid records.
    pub verified: u64,
    /// Records that are in a log twice.
    pub twice: u64,
    /// Records of messages that the load generator did not send.
    pub strangers: u64,
    /// Bytes of messages and bodies per exchange and server, over all measured exchanges.
    pub payload_bytes: u64,
}

impl Audit {
    /// Of these exchanges.
    #[must_use]
    pub fn new(answered: &Answered) -> Self {
        let seen = vec![0; usize::try_from(answered.next).unwrap_or(0)];
        Self { answered: answered.clone(), seen, twice: 0, strangers: 0, measured_payload_bytes: 0 }
    }

    /// Takes note of a record.
    pub fn note(&mut self, sighting: &Sighting<'_>) {
        let number = number_of(sighting.message_id);
        let place = number.and_then(|number| self.seen.get_mut(usize::try_from(number).ok()?));
        let (Some(number), Some(seen)) = (number, place) else {
            self.strangers += 1;
            return;
        };
        let record = 1 << (u8::from(sighting.consumer) * 2 + u8::from(sighting.response));
        self.twice += u64::from(*seen & record != 0);
        *seen |= record | if sighting.passed { record << 4 } else { 0 };
        if self.answered.is_measured(number) {
            self.measured_payload_bytes += sighting.payload_bytes;
        }
    }

    /// The result.
    #[must_use]
    pub fn finish(&self) -> AuditResult {
        let mut result = AuditResult {
            answered: self.answered.count(),
            logged: 0,
            verified: 0,
            twice: self.twice,
            strangers: self.strangers,
            payload_bytes: 0,
        };
        let mut measured = 0;
        for (number, counts) in self.answered.numbers() {
            let seen = usize::try_from(number).ok().and_then(|number| self.seen.get(number));
            let seen = seen.copied().unwrap_or(0);
            result.logged += u64::from(seen & LOGGED == LOGGED);
            result.verified += u64::from(seen == u8::MAX);
            measured += u64::from(counts);
        }
        result.payload_bytes = self.measured_payload_bytes.checked_div(measured * 2).unwrap_or(0);
        result
    }
}

impl AuditResult {
    /// Whether the runs count.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.answered == self.logged && self.logged == self.verified && self.twice == 0
    }
}

/// Request and response on both sides.
const LOGGED: u8 = 0b1111;

#[cfg(test)]
mod tests {
    use super::*;

    fn audit() -> Audit {
        let mut answered = Answered::default();
        let (product, floor) = (chain("product", ChainKind::Product), chain("nginx", ChainKind::Floor));
        answered.enter_unmeasured(&product, 0..1);
        answered.enter(&floor, 1..5);
        answered.enter(&product, 5..7);
        assert_eq!((answered.next(), answered.count()), (7, 3));
        Audit::new(&answered)
    }

    fn chain(name: &str, kind: ChainKind) -> Chain {
        let requests = std::sync::Arc::new(crate::Requests::new(&[], 0, 0));
        let address = ([127, 0, 0, 1], 1).into();
        Chain { name: name.to_owned(), kind, address, requests, parts: Vec::new(), logs: Vec::new() }
    }

    #[test]
    fn products_beside_each_other_are_told_apart() {
        let mut answered = Answered::default();
        answered.enter(&chain("h2", ChainKind::Product), 0..2);
        answered.skip_to(10);
        answered.enter(&chain("quic", ChainKind::Product), 10..13);
        assert_eq!((answered.count(), answered.of("h2").count(), answered.of("quic").count()), (5, 2, 3));
        for (name, holds) in [("h2", true), ("quic", false)] {
            let mut audit = Audit::new(&answered.of(name));
            [0, 1].into_iter().for_each(|number| note_whole(&mut audit, number));
            assert_eq!(audit.finish().holds(), holds, "the records of the other do not help");
        }
    }

    #[test]
    fn a_number_between_two_runs_is_not_measured() {
        let audit = audit();
        let measured: Vec<u64> = (0..9).filter(|number| audit.answered.is_measured(*number)).collect();
        assert_eq!(measured, [5, 6]);
    }

    fn note(audit: &mut Audit, id: &str, consumer: bool, response: bool, passed: bool) {
        audit.note(&Sighting { message_id: id, consumer, response, passed, payload_bytes: 100 });
    }

    fn note_whole(audit: &mut Audit, number: u64) {
        for (consumer, response) in [(true, false), (false, false), (false, true), (true, true)] {
            note(audit, &format!("bench-{number:010}"), consumer, response, true);
        }
    }

    #[test]
    fn what_is_whole_and_valid_on_both_sides_counts() {
        let mut audit = audit();
        [0, 5, 6].into_iter().for_each(|number| note_whole(&mut audit, number));
        note(&mut audit, "somebody-else", true, false, true);
        let result = audit.finish();
        assert!(result.holds());
        assert_eq!((result.answered, result.logged, result.verified, result.strangers), (3, 3, 3, 1));
        assert_eq!(result.payload_bytes, 200, "of the measured ones, per server");
    }

    #[test]
    fn each_missing_record_is_noticed() {
        for missing in 0..4 {
            let mut audit = audit();
            [0, 5].into_iter().for_each(|number| note_whole(&mut audit, number));
            for record in (0..4).filter(|record| *record != missing) {
                note(&mut audit, "bench-0000000006", record & 2 != 0, record & 1 != 0, true);
            }
            let result = audit.finish();
            assert_eq!((result.answered, result.logged, result.verified), (3, 2, 2), "record {missing}");
            assert!(!result.holds());
        }
    }

    #[test]
    fn a_record_that_does_not_verify_is_logged_and_not_verified() {
        let mut audit = audit();
        [0, 5].into_iter().for_each(|number| note_whole(&mut audit, number));
        for record in 0..4 {
            note(&mut audit, "bench-0000000006", record & 2 != 0, record & 1 != 0, record != 3);
        }
        let result = audit.finish();
        assert_eq!((result.logged, result.verified), (3, 2));
        assert!(!result.holds());
    }

    #[test]
    fn a_record_that_is_there_twice_voids_the_runs() {
        let mut audit = audit();
        [0, 5, 6].into_iter().for_each(|number| note_whole(&mut audit, number));
        note(&mut audit, "bench-0000000005", true, false, true);
        let result = audit.finish();
        assert_eq!((result.verified, result.twice), (3, 1));
        assert!(!result.holds());
    }
}
