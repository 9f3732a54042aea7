//! Frames as bytes: four bytes of length, big-endian, then the encoded `kogge.tunnel.v1.Frame`.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kogge_proto::limits::FRAME_BYTES_MAX;
use kogge_proto::wire::tunnel::Frame;
use prost::Message;

use crate::error::ProtocolError;

/// The frame with its length before it.
pub(crate) fn encode(frame: &Frame) -> Result<Bytes, ProtocolError> {
    let length = frame.encoded_len();
    let announced = u32::try_from(length).ok().filter(|_| length <= FRAME_BYTES_MAX);
    let announced = announced.ok_or(ProtocolError::FrameTooLarge(length as u64))?;
    let mut bytes = BytesMut::with_capacity(LENGTH_BYTES + length);
    bytes.put_u32(announced);
    frame.encode_raw(&mut bytes);
    Ok(bytes.freeze())
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

#[cfg(test)]
mod tests {
    use kogge_proto::wire::tunnel::{Fault, frame};

    use super::*;

    fn chunk(length: usize) -> Frame {
        Frame { kind: Some(frame::Kind::BodyChunk(vec![7; length].into())) }
    }

    #[test]
    fn frames_survive_any_cut() {
        let fault =
            Frame { kind: Some(frame::Kind::Fault(Fault { code: "a.b".into(), ..Fault::default() })) };
        let sent = [chunk(0), fault, chunk(300)];
        let bytes: Vec<u8> = sent.iter().flat_map(|frame| encode(frame).unwrap()).collect();
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
        assert_eq!(&encode(&chunk(3)).unwrap()[..], [0, 0, 0, 5, 0x12, 3, 7, 7, 7]);
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
        assert!(encode(&chunk(FRAME_BYTES_MAX - 4)).is_ok());
        assert_eq!(
            encode(&chunk(FRAME_BYTES_MAX)),
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
            decoder.push(&encode(&chunk(3)).unwrap()[..cut]);
            assert_eq!(decoder.next_frame(), Ok(None));
            assert_eq!(decoder.finish(), Err(ProtocolError::Truncated), "{cut}");
        }
    }
}
