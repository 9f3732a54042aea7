//! Where things stand in one segment: the same while it grows in memory and when it is read from its summary.
//!
//! Messages are found in groups of up to [`GROUP_MESSAGES_MAX`]: where to look is said for the group, and all of it is read. That makes the index
//! an eighth of what it would be with a place for each message, and costs a look-up a few microseconds.

use bytes::{Buf, BufMut};
use kogge_proto::time::UnixMillis;
use prost::encoding::{decode_varint, encode_varint};

use super::note::{Note, Noted};

/// Messages that are found together.
pub(crate) const GROUP_MESSAGES_MAX: u32 = 16;

/// A group ends after this many bytes, so that large messages are not read for a small one beside them.
const GROUP_BYTES_MAX: u64 = 32 * 1024;

/// Groups that share a span of time.
const TIMED_GROUPS: usize = 64;

/// Most items that a list is believed to have when it is read: a segment's worth of the smallest entries.
const ITEMS_MAX: u64 = 1 << 26;

/// Where some messages that follow each other stand: from here to where the next group begins.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Group {
    /// Number of its first message in the segment, from 0.
    first: u32,
    /// Sequence of that message, less the segment's first sequence.
    sequence: u32,
    /// Where its frame stands.
    offset: u32,
}

/// A stamp's place, and the smallest and largest sequence that it covers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct StampSpan {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

impl StampSpan {
    pub(crate) fn covers(&self, sequence: u64) -> bool {
        (self.first..=self.last).contains(&sequence)
    }
}

/// The earliest and the latest time at which messages were appended. Clocks are set back now and then, so neither needs to be at an end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TimeSpan {
    pub(crate) earliest: UnixMillis,
    pub(crate) latest: UnixMillis,
}

impl TimeSpan {
    fn with(span: Option<Self>, time: UnixMillis) -> Self {
        span.map_or(Self { earliest: time, latest: time }, |span| Self {
            earliest: span.earliest.min(time),
            latest: span.latest.max(time),
        })
    }

    /// Whether something in it is at `from` or later and before `to`.
    pub(crate) fn meets(&self, from: Option<UnixMillis>, to: Option<UnixMillis>) -> bool {
        from.is_none_or(|from| from <= self.latest) && to.is_none_or(|to| self.earliest < to)
    }
}

/// A run of frames in which messages stand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stretch {
    /// Sequence of the first entry.
    pub(crate) sequence: u64,
    /// Where its frame begins.
    pub(crate) offset: u64,
    /// Where the last one's ends.
    pub(crate) end: u64,
}

/// What one segment holds and where. Memory: 0.8 bytes for each message, and what stamps take.
#[derive(Clone, Debug)]
pub(crate) struct Outline {
    pub(crate) segment: u64,
    /// Sequence of the segment's first entry.
    pub(crate) first_sequence: u64,
    /// Sequence of the last entry that is known.
    pub(crate) last_sequence: u64,
    /// Where that entry's frame ends.
    pub(crate) end: u64,
    /// Number of messages.
    pub(crate) messages: u32,
    pub(crate) groups: Vec<Group>,
    /// One for each [`TIMED_GROUPS`] groups.
    times: Vec<TimeSpan>,
    pub(crate) stamps: Vec<StampSpan>,
}

impl Outline {
    /// Of a segment whose first entry has this sequence.
    pub(crate) fn new(segment: u64, first_sequence: u64) -> Self {
        Self {
            segment,
            first_sequence,
            last_sequence: first_sequence,
            end: 0,
            messages: 0,
            groups: Vec::new(),
            times: Vec::new(),
            stamps: Vec::new(),
        }
    }

    /// Takes note of the next entry.
    pub(crate) fn add(&mut self, note: &Note) {
        self.last_sequence = note.sequence;
        match &note.kind {
            Noted::Message(..) => self.add_message(note),
            Noted::Stamp { first, last } => self.stamps.push(StampSpan {
                first: *first,
                last: *last,
                segment: self.segment,
                offset: note.offset,
            }),
            Noted::Other => {}
        }
    }

    fn add_message(&mut self, note: &Note) {
        // A segment has less than 4 GiB.
        let offset = u32::try_from(note.offset).unwrap_or(u32::MAX);
        let sequence = u32::try_from(note.sequence.saturating_sub(self.first_sequence)).unwrap_or(u32::MAX);
        let goes_on = self.groups.last().is_some_and(|group| {
            self.messages - group.first < GROUP_MESSAGES_MAX
                && note.offset.saturating_sub(group.offset.into()) < GROUP_BYTES_MAX
        });
        if !goes_on {
            self.groups.push(Group { first: self.messages, sequence, offset });
        }
        self.messages += 1;
        let timed = (self.groups.len() - 1) / TIMED_GROUPS;
        match self.times.get_mut(timed) {
            Some(span) => *span = TimeSpan::with(Some(*span), note.time),
            None => self.times.push(TimeSpan::with(None, note.time)),
        }
    }

    /// When its messages were appended; `None` if there are none.
    pub(crate) fn time_span(&self) -> Option<TimeSpan> {
        self.times
            .iter()
            .copied()
            .reduce(|a, b| TimeSpan { earliest: a.earliest.min(b.earliest), latest: a.latest.max(b.latest) })
    }

    /// The frames of a group.
    pub(crate) fn stretch(&self, group: u32) -> Option<Stretch> {
        let index = usize::try_from(group).ok()?;
        let Group { sequence, offset, .. } = *self.groups.get(index)?;
        let end = self.groups.get(index + 1).map_or(self.end, |next| next.offset.into());
        Some(Stretch { sequence: self.first_sequence + u64::from(sequence), offset: offset.into(), end })
    }

    /// The frames among which the entry with this sequence is, if it is a message.
    pub(crate) fn stretch_of(&self, sequence: u64) -> Option<Stretch> {
        if sequence > self.last_sequence {
            return None;
        }
        let relative = sequence.checked_sub(self.first_sequence)?;
        let after = self.groups.partition_point(|group| u64::from(group.sequence) <= relative);
        self.stretch(u32::try_from(after.checked_sub(1)?).ok()?)
    }

    /// The group of each message in turn.
    pub(crate) fn groups_of_messages(&self) -> impl Iterator<Item = u32> {
        let ends = self.groups.iter().skip(1).map(|group| group.first).chain([self.messages]);
        self.groups.iter().zip(ends).zip(0_u32..).flat_map(|((group, end), number)| {
            std::iter::repeat_n(number, usize::try_from(end.saturating_sub(group.first)).unwrap_or_default())
        })
    }

    /// The groups in which messages may be that were appended at `from` or later and before `to`.
    pub(crate) fn groups_at(&self, from: Option<UnixMillis>, to: Option<UnixMillis>) -> Vec<u32> {
        let groups = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        (0..groups).filter(|group| self.is_at(*group, from, to)).collect()
    }

    /// Whether the group may hold messages that were appended at `from` or later and before `to`.
    pub(crate) fn is_at(&self, group: u32, from: Option<UnixMillis>, to: Option<UnixMillis>) -> bool {
        let timed = usize::try_from(group).map(|group| group / TIMED_GROUPS).unwrap_or(usize::MAX);
        self.times.get(timed).is_none_or(|span| span.meets(from, to))
    }

    /// Appends all but the stamps to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for number in [self.first_sequence, self.last_sequence, self.end, self.messages.into()] {
            encode_varint(number, out);
        }
        encode_varint(self.groups.len() as u64, out);
        let mut before = Group::default();
        for group in &self.groups {
            encode_varint(u64::from(group.first - before.first), out);
            encode_varint(u64::from(group.sequence - before.sequence), out);
            encode_varint(u64::from(group.offset - before.offset), out);
            before = *group;
        }
        for span in &self.times {
            out.put_i64(span.earliest.0);
            out.put_i64(span.latest.0);
        }
    }

    /// Reads what [`Outline::encode`] wrote; `None` if it is something else. The stamps are left out.
    pub(crate) fn decode(segment: u64, mut bytes: &[u8]) -> Option<Self> {
        let from = &mut bytes;
        let mut outline = Self::new(segment, varint(from)?);
        outline.last_sequence = varint(from)?;
        outline.end = varint(from)?;
        outline.messages = narrow(varint(from)?)?;
        let mut group = Group::default();
        for _ in 0..count(from)? {
            group.first = group.first.checked_add(narrow(varint(from)?)?)?;
            group.sequence = group.sequence.checked_add(narrow(varint(from)?)?)?;
            group.offset = group.offset.checked_add(narrow(varint(from)?)?)?;
            outline.groups.push(group);
        }
        for _ in 0..outline.groups.len().div_ceil(TIMED_GROUPS) {
            let (earliest, latest) = (from.try_get_i64().ok()?, from.try_get_i64().ok()?);
            outline.times.push(TimeSpan { earliest: UnixMillis(earliest), latest: UnixMillis(latest) });
        }
        from.is_empty().then_some(outline)
    }
}

/// Appends the spans of stamps to `out`.
pub(crate) fn encode_stamps(stamps: &[StampSpan], out: &mut Vec<u8>) {
    for span in stamps {
        encode_varint(span.first, out);
        encode_varint(span.last - span.first, out);
        encode_varint(span.offset, out);
    }
}

/// Reads what [`encode_stamps`] wrote.
pub(crate) fn decode_stamps(segment: u64, mut bytes: &[u8]) -> Option<Vec<StampSpan>> {
    let from = &mut bytes;
    let mut stamps = Vec::new();
    while !from.is_empty() {
        let first = varint(from)?;
        let last = first.checked_add(varint(from)?)?;
        stamps.push(StampSpan { first, last, segment, offset: varint(from)? });
    }
    Some(stamps)
}

fn varint(from: &mut &[u8]) -> Option<u64> {
    decode_varint(from).ok()
}

fn narrow(number: u64) -> Option<u32> {
    u32::try_from(number).ok()
}

fn count(from: &mut &[u8]) -> Option<u64> {
    varint(from).filter(|count| *count <= ITEMS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kogge_proto::wire::log::MessageRecord;

    use crate::index::note::Keys;

    fn message(sequence: u64, offset: u64, time: i64) -> Note {
        let kind = Noted::Message(Keys::of(&MessageRecord::default()), None);
        Note { sequence, offset, time: UnixMillis(time), kind }
    }

    fn filled() -> Outline {
        let mut outline = Outline::new(3, 100);
        for number in 0..3000 {
            // Every hundredth is large, and the clock is set back once.
            let time = if number < 2000 { number } else { number - 1500 };
            let large = number / 100 * GROUP_BYTES_MAX;
            outline.add(&message(101 + number, 500 + number * 300 + large, i64::try_from(time).unwrap()));
        }
        outline.last_sequence = 3101;
        outline.end = 5_000_400;
        outline
    }

    #[test]
    fn a_group_is_small_and_every_message_is_in_one() {
        let outline = filled();
        let groups: Vec<u32> = outline.groups_of_messages().collect();
        assert_eq!(groups.len(), 3000);
        for (group, sequence) in groups.iter().zip(101..) {
            let stretch = outline.stretch(*group).unwrap();
            assert_eq!(outline.stretch_of(sequence), Some(stretch), "{sequence}");
            assert!(
                stretch.sequence <= sequence && sequence < stretch.sequence + u64::from(GROUP_MESSAGES_MAX)
            );
        }
        assert_eq!(outline.stretch_of(100), None, "the segment's start");
        assert_eq!(outline.stretch_of(99), None);
        assert_eq!(outline.stretch_of(3102), None);
        let last = outline.stretch(*groups.last().unwrap()).unwrap();
        assert_eq!(last.end, 5_000_400);
        assert_eq!(outline.stretch(groups.last().unwrap() + 1), None);
    }

    #[test]
    fn groups_are_narrowed_by_time_also_when_the_clock_was_set_back() {
        let outline = filled();
        assert_eq!(outline.time_span().unwrap().latest, UnixMillis(1999));
        let messages: Vec<u32> = outline.groups_of_messages().collect();
        let groups = outline.groups_at(Some(UnixMillis(600)), Some(UnixMillis(601)));
        assert!(groups.contains(&messages[600]) && groups.contains(&messages[2100]));
        let groups = outline.groups_at(Some(UnixMillis(1700)), Some(UnixMillis(1701)));
        assert!(groups.contains(&messages[1700]));
        assert!(!groups.contains(&messages[50]) && !groups.contains(&messages[2900]));
        assert_eq!(outline.groups_at(Some(UnixMillis(2000)), None), [] as [u32; 0]);
        assert_eq!(outline.groups_at(None, Some(UnixMillis(0))), [] as [u32; 0]);
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let outline = filled();
        let mut bytes = Vec::new();
        outline.encode(&mut bytes);
        let read = Outline::decode(3, &bytes).unwrap();
        assert_eq!((&read.groups, &read.times), (&outline.groups, &outline.times));
        assert_eq!((read.messages, read.end, read.last_sequence), (3000, 5_000_400, 3101));
        for length in 0..bytes.len() {
            assert!(Outline::decode(3, &bytes[..length]).is_none(), "{length}");
        }
        bytes.push(0);
        assert!(Outline::decode(3, &bytes).is_none());

        let stamps = [
            StampSpan { first: 7, last: 90, segment: 3, offset: 1000 },
            StampSpan { first: 8, last: 8, segment: 3, offset: 900 },
        ];
        let mut bytes = Vec::new();
        encode_stamps(&stamps, &mut bytes);
        assert_eq!(decode_stamps(3, &bytes).unwrap(), stamps);
        assert_eq!(decode_stamps(3, &bytes[..bytes.len() - 1]), None);
        assert!(std::mem::size_of::<Keys>() == 20 && std::mem::size_of::<Group>() == 12);
    }
}
