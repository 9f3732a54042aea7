//! Which end of the log a record was written to, and whether it is still there.
//!
//! A failed sync takes back what was written and not yet durable: the log goes on from the last durable entry, as another incarnation of its tail.

use std::collections::VecDeque;

/// A tail of the log, counted from 0 since it was opened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Incarnation(u64);

/// Ends of incarnations that are remembered. An exchange that was under way while the disk failed more often than that is given up.
const ENDS_MAX: usize = 64;

/// The incarnations of one open log.
#[derive(Debug, Default)]
pub(crate) struct Incarnations {
    current: Incarnation,
    /// Up to which sequence each of the last ones survived; the newest last.
    ends: VecDeque<u64>,
}

impl Incarnations {
    pub(crate) fn current(&self) -> Incarnation {
        self.current
    }

    /// What came after `durable` is lost.
    pub(crate) fn cut(&mut self, durable: u64) {
        self.current.0 += 1;
        self.ends.push_back(durable);
        if self.ends.len() > ENDS_MAX {
            self.ends.pop_front();
        }
    }

    /// Whether the record with this sequence, written in this incarnation, was lost. If that is not known any more, it was.
    pub(crate) fn is_lost(&self, written_in: Incarnation, sequence: u64) -> bool {
        let Some(age) = self.current.0.checked_sub(written_in.0) else { return true };
        if age == 0 {
            return false;
        }
        // Later incarnations begin where earlier ones ended, so only the first end after the record counts.
        let end = usize::try_from(age).ok().and_then(|age| self.ends.len().checked_sub(age));
        end.and_then(|index| self.ends.get(index)).is_none_or(|end| sequence > *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_lost_if_it_came_after_the_end_of_its_incarnation() {
        let mut incarnations = Incarnations::default();
        let first = incarnations.current();
        assert!(!incarnations.is_lost(first, 12));
        incarnations.cut(10);
        let second = incarnations.current();
        assert_eq!([10, 11, 12].map(|sequence| incarnations.is_lost(first, sequence)), [false, true, true]);
        assert!(!incarnations.is_lost(second, 12));
        incarnations.cut(15);
        // What came after 10 was other records than those of the first incarnation.
        assert_eq!([10, 11, 15].map(|sequence| incarnations.is_lost(first, sequence)), [false, true, true]);
        assert_eq!([15, 16].map(|sequence| incarnations.is_lost(second, sequence)), [false, true]);
    }

    #[test]
    fn what_is_not_known_any_more_is_lost_and_what_never_was_too() {
        let mut incarnations = Incarnations::default();
        let first = incarnations.current();
        for end in 0..ENDS_MAX as u64 {
            incarnations.cut(100 + end);
        }
        assert!(!incarnations.is_lost(first, 100));
        incarnations.cut(1000);
        assert!(incarnations.is_lost(first, 100));
        let later = Incarnation(incarnations.current().0 + 1);
        assert!(incarnations.is_lost(later, 1));
    }
}
