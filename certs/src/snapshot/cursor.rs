//! Reading the one permitted encoding of a protobuf message, field by field, without copying or allocating.
//!
//! Two encodings of one content, or fields that this version does not know, would let two readers of the same signed bytes believe
//! different things. So fields stand in the order of their numbers, numbers and lengths are as short as can be, what is empty or
//! false is left out, and nothing is left over. What is read this way needs no comparison with what we would have written.

use super::SnapshotError;

/// What is left of a message, and where that lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    left: &'a [u8],
    /// From the start of all bytes.
    at: usize,
}

/// Why bytes are not the one permitted encoding.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Irregular {
    /// No protobuf message of this kind.
    Malformed,
    /// A message, but not as we would write it, or with unknown fields.
    NotCanonical,
}

impl Irregular {
    pub(super) fn of(self, what: &'static str) -> SnapshotError {
        match self {
            Self::Malformed => SnapshotError::Malformed(what),
            Self::NotCanonical => SnapshotError::NotCanonical(what),
        }
    }
}

/// Within the snapshot itself.
impl From<Irregular> for SnapshotError {
    fn from(irregular: Irregular) -> Self {
        irregular.of("snapshot")
    }
}

type Read<T> = Result<T, Irregular>;

impl<'a> Cursor<'a> {
    /// At the start of a message that fills `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes, at: 0 }
    }

    /// At the message whose length stands at `place`, which [`Cursor::place`] has given.
    #[inline]
    pub(super) fn inside(bytes: &'a [u8], place: u32) -> Read<Self> {
        let at = place as usize;
        Self { left: bytes.get(at..).unwrap_or_default(), at }.block()
    }

    /// Where the length of this message stands, counted from the start of all bytes. To be asked before anything was read from it: a length
    /// is as short as can be, so it needs as many bytes as what is left says.
    #[inline]
    pub(super) fn place(&self) -> u32 {
        let width = match self.left.len() {
            0..0x80 => 1,
            0x80..0x4000 => 2,
            0x4000..0x20_0000 => 3,
            _ => 4,
        };
        // Nothing is longer than `SNAPSHOT_BYTES_MAX`, which needs 28 bits.
        u32::try_from(self.at - width).unwrap_or(u32::MAX)
    }

    /// How far it is from the start of all bytes.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// All that is left.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.left
    }

    /// Bytes, a text or a message that stands at most once, as a message of its own; empty if it is not there.
    #[inline]
    pub(super) fn optional(&mut self, field: u8) -> Read<Cursor<'a>> {
        match self.repeated(field)? {
            None => Ok(Cursor { left: &[], at: self.at }),
            Some(found) if found.left.is_empty() => Err(Irregular::NotCanonical),
            Some(found) => Ok(found),
        }
    }

    /// The next one of a list.
    #[inline]
    pub(super) fn repeated(&mut self, field: u8) -> Read<Option<Cursor<'a>>> {
        if !self.passed_key(field, LENGTH_DELIMITED) {
            return Ok(None);
        }
        self.block().map(Some)
    }

    /// A truth value.
    #[inline]
    pub(super) fn flag(&mut self, field: u8) -> Read<bool> {
        if !self.passed_key(field, VARINT) {
            return Ok(false);
        }
        match self.byte()? {
            1 => Ok(true),
            _ => Err(Irregular::NotCanonical),
        }
    }

    /// Passes over one field, whatever its number.
    pub(super) fn skip(&mut self) -> Read<()> {
        let key = self.byte()?;
        if key >= 0x80 {
            self.varint()?;
        }
        match key & 7 {
            LENGTH_DELIMITED => self.block().map(drop),
            VARINT => self.varint(),
            _ => Err(Irregular::Malformed),
        }
    }

    /// The number of the field that comes next, of those below 16; `None` at the end.
    pub(super) fn next_field(&self) -> Option<u8> {
        self.left.first().map(|key| key >> 3)
    }

    /// All of it as text.
    #[inline]
    pub(super) fn as_text(&self) -> Read<&'a str> {
        std::str::from_utf8(self.left).map_err(|_| Irregular::Malformed)
    }

    /// Nothing may be left: no field twice, none out of its order, none that we do not know.
    #[inline]
    pub(super) fn finish(mut self) -> Read<()> {
        if self.left.is_empty() {
            return Ok(());
        }
        self.skip()?;
        Err(Irregular::NotCanonical)
    }

    /// Passes over the key of this field, if that is what comes next.
    #[inline]
    fn passed_key(&mut self, field: u8, wire_type: u8) -> bool {
        match self.left.split_first() {
            Some((key, left)) if *key == field << 3 | wire_type => {
                (self.left, self.at) = (left, self.at + 1);
                true
            }
            _ => false,
        }
    }

    #[inline]
    fn byte(&mut self) -> Read<u8> {
        let (byte, left) = self.left.split_first().ok_or(Irregular::Malformed)?;
        (self.left, self.at) = (left, self.at + 1);
        Ok(*byte)
    }

    /// Passes over a number, or over what is left of one.
    fn varint(&mut self) -> Read<()> {
        for _ in 0..VARINT_BYTES_MAX {
            if self.byte()? < 0x80 {
                return Ok(());
            }
        }
        Err(Irregular::Malformed)
    }

    /// A length, and as many bytes.
    #[inline]
    fn block(&mut self) -> Read<Cursor<'a>> {
        let first = usize::from(self.byte()?);
        let length = if first < 0x80 { first } else { self.long_length(first & 0x7f)? };
        let (block, left) = self.left.split_at_checked(length).ok_or(Irregular::Malformed)?;
        let found = Cursor { left: block, at: self.at };
        (self.left, self.at) = (left, self.at + length);
        Ok(found)
    }

    /// The rest of a length of more than one byte.
    fn long_length(&mut self, mut length: usize) -> Read<usize> {
        for shift in [7, 14, 21, 28] {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7f) << shift;
            match byte {
                0 => return Err(Irregular::NotCanonical),
                1..0x80 => return Ok(length),
                _ => {}
            }
        }
        Err(Irregular::Malformed)
    }
}

/// Wire type of numbers and truth values.
const VARINT: u8 = 0;
/// Wire type of strings, bytes and messages.
const LENGTH_DELIMITED: u8 = 2;
/// Longest encoding of 64 bits.
const VARINT_BYTES_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn text<'a>(cursor: &mut Cursor<'a>, field: u8) -> Read<&'a str> {
        cursor.optional(field)?.as_text()
    }

    #[test]
    fn fields_are_read_in_their_order() {
        let mut cursor = Cursor::new(b"\x0a\x02ab\x12\x00\x12\x01c\x18\x01");
        assert_eq!(text(&mut cursor, 1), Ok("ab"));
        assert_eq!(cursor.repeated(2).unwrap().unwrap().rest(), b"");
        assert_eq!(cursor.repeated(2).unwrap().unwrap().rest(), b"c");
        assert!(cursor.repeated(2).unwrap().is_none());
        assert_eq!(cursor.flag(3), Ok(true));
        assert_eq!(cursor.finish(), Ok(()));
        let mut absent = Cursor::new(b"");
        assert_eq!((text(&mut absent, 1), absent.flag(2)), (Ok(""), Ok(false)));
        assert_eq!(absent.finish(), Ok(()));
    }

    #[test]
    fn lengths_are_as_short_as_can_be_and_within_the_message() {
        let length = |bytes: &[u8]| text(&mut Cursor::new(bytes), 1).map(str::len);
        let long = |length: &[u8], content: usize| [b"\x0a", length, &vec![b'x'; content]].concat();
        assert_eq!(length(&long(b"\x7f", 127)), Ok(127));
        assert_eq!(length(&long(b"\x80\x01", 128)), Ok(128));
        assert_eq!(length(&long(b"\x80\x80\x01", 1 << 14)), Ok(1 << 14));
        for longer in [&b"\x81\x00"[..], b"\x81\x80\x00", b"\x80\x00", b"\x81\x80\x80\x80\x00"] {
            assert_eq!(length(&long(longer, 200)), Err(Irregular::NotCanonical), "{longer:?}");
        }
        for hostile in [
            &b"\x02"[..],
            b"\xff",
            b"\xff\xff\xff\xff\x7f",
            b"\xff\xff\xff\xff\xff\xff\x01",
            b"\x80\x80\x80\x80\x80\x00",
            b"",
        ] {
            assert_eq!(length(&long(hostile, 0)), Err(Irregular::Malformed), "{hostile:?}");
        }
        // The inner length may not reach beyond the outer one, although there are bytes.
        let mut outer = Cursor::new(b"\x0a\x03\x0a\x05abcdefgh");
        assert_eq!(text(&mut outer.optional(1).unwrap(), 1), Err(Irregular::Malformed));
    }

    #[test]
    fn what_is_empty_or_false_is_left_out() {
        assert_eq!(text(&mut Cursor::new(b"\x0a\x00"), 1), Err(Irregular::NotCanonical));
        for flag in [b"\x08\x00", b"\x08\x02", b"\x08\x81"] {
            assert_eq!(Cursor::new(flag).flag(1), Err(Irregular::NotCanonical));
        }
        assert_eq!(Cursor::new(b"\x08").flag(1), Err(Irregular::Malformed));
        assert_eq!(text(&mut Cursor::new(b"\x0a\x01\xff"), 1), Err(Irregular::Malformed));
    }

    #[test]
    fn nothing_is_left_over() {
        for (rest, expected) in [
            (&b"\x12\x01a"[..], Irregular::NotCanonical),
            (b"\x10\x07", Irregular::NotCanonical),
            (b"\x9a\x06\x01x", Irregular::NotCanonical),
            (b"\x12\x05a", Irregular::Malformed),
            (b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Irregular::Malformed),
            (b"\x15\x00\x00\x00\x00", Irregular::Malformed),
            (b"\xff", Irregular::Malformed),
        ] {
            assert_eq!(Cursor::new(rest).finish(), Err(expected), "{rest:?}");
        }
    }

    #[test]
    fn a_message_is_found_again_by_its_place() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
            let message = prost::Message::encode_to_vec(&kogge_proto::wire::registry::SignedSnapshot {
                delegation: vec![7],
                snapshot: vec![1; length],
                ..Default::default()
            });
            let mut cursor = Cursor::new(&message);
            cursor.optional(1).unwrap();
            if let Some(found) = cursor.repeated(3).unwrap() {
                assert_eq!(Cursor::inside(&message, found.place()).unwrap().rest(), vec![1; length]);
            }
        }
        assert!(Cursor::inside(b"\x05", 0).is_err());
        assert!(Cursor::inside(b"\x05", 9).is_err());
    }
}
