//! Frames as bytes: four bytes of length, big-endian, then the encoded `kogge.tunnel.v1.Frame`.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kogge_proto::limits::FRAME_BYTES_MAX;
use kogge_proto::wire::tunnel::{Frame, frame};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use crate::error::ProtocolError;

/// Appends the frame with its length before it. The content of a large body chunk is not copied but returned: it comes after what was
/// appended.
pub(crate) fn encode(frame: Frame, to: &mut BytesMut) -> Result<Option<Bytes>, ProtocolError> {
    let length = frame.encoded_len();
    let announced = u32::try_from(length).ok().filter(|_| length <= FRAME_BYTES_MAX);
    let announced = announced.ok_or(ProtocolError::FrameTooLarge(length as u64))?;
    match frame.kind {
        Some(frame::Kind::BodyChunk(chunk)) if chunk.len() >= APART_BYTES_MIN => {
            to.reserve(LENGTH_BYTES + length - chunk.len());
            to.put_u32(announced);
            encode_key(BODY_CHUNK_TAG, WireType::LengthDelimited, to);
            encode_varint(chunk.len() as u64, to);
            Ok(Some(chunk))
        }
        _ => {
            to.reserve(LENGTH_BYTES + length);
            to.put_u32(announced);
            frame.encode_raw(to);
            Ok(None)
        }
    }
}

/// Puts frames together from pieces of any size. Holds one frame and one piece at most.
#[derive(Default)]
pub(crate) struct Decoder {
    buffer: BytesMut,
}

impl Decoder {
    /// Takes the next bytes of the stream. To be called only when [`Decoder::next_frame`] wants more.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame; `None` if bytes are missing.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, ProtocolError> {
        let Some(announced) = self.buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let announced = u32::from_be_bytes(*announced);
        let length = usize::try_from(announced)
            .ok()
            .filter(|length| *length <= FRAME_BYTES_MAX)
            .ok_or(ProtocolError::FrameTooLarge(announced.into()))?;
        if self.buffer.len() < LENGTH_BYTES + length {
            self.buffer.reserve(LENGTH_BYTES + length - self.buffer.len());
            return Ok(None);
        }
        self.buffer.advance(LENGTH_BYTES);
        let frame =
            Frame::decode(self.buffer.split_to(length).freeze()).map_err(|_| ProtocolError::Malformed)?;
        // A kind that this version does not know looks like none.
        if frame.kind.is_none() { Err(ProtocolError::Malformed) } else { Ok(Some(frame)) }
    }

    /// The stream has ended: was it between two frames?
    pub(crate) fn finish(&self) -> Result<(), ProtocolError> {
        if self.buffer.is_empty() { Ok(()) } else { Err(ProtocolError::Truncated) }
    }
}

const LENGTH_BYTES: usize = 4;

/// Field number of `Frame.body_chunk`.
const BODY_CHUNK_TAG: u32 = 2;

/// A body chunk of at least this many bytes is not copied into the frame: below, a copy costs less than another piece.
const APART_BYTES_MIN: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use kogge_proto::wire::tunnel::Fault;

    use super::*;

    /// All that [`encode`] gives, in order.
    fn bytes_of(frame: Frame) -> Result<Bytes, ProtocolError> {
        let mut bytes = BytesMut::new();
        let apart = encode(frame, &mut bytes)?;
        bytes.extend_from_slice(&apart.unwrap_or_default());
        Ok(bytes.freeze())
    }

    fn chunk(length: usize) -> Frame {
        Frame { kind: Some(frame::Kind::BodyChunk(vec![7; length].into())) }
    }

    #[test]
    fn frames_survive_any_cut() {
        let fault =
            Frame { kind: Some(frame::Kind::Fault(Fault { code: "a.b".into(), ..Fault::default() })) };
        let sent = [chunk(0), fault, chunk(300)];
        let bytes: Vec<u8> = sent.iter().cloned().flat_map(|frame| bytes_of(frame).unwrap()).collect();
        for size in 1..bytes.len() {
            let mut decoder = Decoder::default();
            let mut got = Vec::new();
            for piece in bytes.chunks(size) {
                decoder.push(piece);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    got.push(frame);
                }
            }
            assert_eq!(got, sent);
            assert_eq!(decoder.finish(), Ok(()));
        }
    }

    #[test]
    fn golden_bytes() {
        assert_eq!(&bytes_of(chunk(3)).unwrap()[..], [0, 0, 0, 5, 0x12, 3, 7, 7, 7]);
    }

    #[test]
    fn a_large_chunk_reads_like_a_small_one() {
        for length in [APART_BYTES_MIN - 1, APART_BYTES_MIN, 3 * APART_BYTES_MIN] {
            let mut plain = BytesMut::new();
            plain.put_u32(chunk(length).encoded_len() as u32);
            chunk(length).encode_raw(&mut plain);
            assert_eq!(bytes_of(chunk(length)).unwrap(), plain);
        }
    }

    #[test]
    fn an_announced_length_over_the_limit_is_refused_before_it_arrives() {
        let mut decoder = Decoder::default();
        decoder.push(&(FRAME_BYTES_MAX as u32 + 1).to_be_bytes());
        assert_eq!(decoder.next_frame(), Err(ProtocolError::FrameTooLarge(FRAME_BYTES_MAX as u64 + 1)));
        let mut decoder = Decoder::default();
        decoder.push(&u32::MAX.to_be_bytes());
        assert_eq!(decoder.next_frame(), Err(ProtocolError::FrameTooLarge(u32::MAX.into())));
    }

    #[test]
    fn what_we_send_keeps_to_the_limit_too() {
        assert!(bytes_of(chunk(FRAME_BYTES_MAX - 4)).is_ok());
        assert_eq!(
            bytes_of(chunk(FRAME_BYTES_MAX)),
            Err(ProtocolError::FrameTooLarge(FRAME_BYTES_MAX as u64 + 4))
        );
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let cases: [&[u8]; 4] = [
            &[0, 0, 0, 0],                // no kind
            &[0, 0, 0, 2, 0x22, 0],       // a fourth kind, unknown
            &[0, 0, 0, 2, 0x12, 9],       // a chunk longer than its frame
            &[0, 0, 0, 3, 0xFF, 0xFF, 0], // no field
        ];
        for case in cases {
            let mut decoder = Decoder::default();
            decoder.push(case);
            assert_eq!(decoder.next_frame(), Err(ProtocolError::Malformed), "{case:?}");
        }
    }

    #[test]
    fn an_end_inside_a_frame_is_noticed() {
        for cut in 1..9 {
            let mut decoder = Decoder::default();
            decoder.push(&bytes_of(chunk(3)).unwrap()[..cut]);
            assert_eq!(decoder.next_frame(), Ok(None));
            assert_eq!(decoder.finish(), Err(ProtocolError::Truncated), "{cut}");
        }
    }
}
