//! Whether everything that was answered is in the logs, whole and valid.

use std::ops::Range;

use crate::chain::ChainKind;
use crate::load::number_of;

/// The exchanges of all runs so far. Numbers are never used twice.
#[derive(Clone, Debug, Default)]
pub struct Answered {
    next: u64,
    product: Vec<Range<u64>>,
    /// Exchanges before are only there to fill the log.
    measured_from: u64,
}

impl Answered {
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn enter(&mut self, kind: ChainKind, issued: Range<u64>) {
        self.next = self.next.max(issued.end);
        if kind == ChainKind::Product {
            self.product.push(issued);
        }
    }

    pub(crate) fn measure_from_here(&mut self) {
        self.measured_from = self.next;
    }

    /// How many exchanges the product answered.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.product.iter().map(|range| range.end - range.start).sum()
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
        if number >= self.answered.measured_from {
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
        for number in self.answered.product.iter().cloned().flatten() {
            let seen = usize::try_from(number).ok().and_then(|number| self.seen.get(number));
            let seen = seen.copied().unwrap_or(0);
            result.logged += u64::from(seen & LOGGED == LOGGED);
            result.verified += u64::from(seen == u8::MAX);
            measured += u64::from(number >= self.answered.measured_from);
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
        answered.enter(ChainKind::Product, 0..1);
        answered.measure_from_here();
        answered.enter(ChainKind::Floor, 1..5);
        answered.enter(ChainKind::Product, 5..7);
        assert_eq!((answered.next(), answered.count()), (7, 3));
        Audit::new(&answered)
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
