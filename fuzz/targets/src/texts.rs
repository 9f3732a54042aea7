//! Messages, identifiers, frames of the tunnel, and the texts of transparency logs.

use kogge_proto::id::{ClientId, MemberId, SecurityServerId, ServiceId, SubsystemId};
use kogge_proto::message::{AnyMessage, RestRequest, RestResponse};
use kogge_proto::wire::tunnel::Frame;
use kogge_tlog::checkpoint::Checkpoint;
use kogge_tlog::note::{NoteKey, SignedNote};
use kogge_tlog::tile::Tile;
use prost::Message as _;

/// The signed serialisation: what is read is read from the same bytes again.
pub(crate) fn message(data: &[u8]) {
    if let Ok(request) = RestRequest::parse(data) {
        assert!(request.bytes() == data, "a request is not what was read");
        let _ = (request.path(), request.query(), request.service_path(), request.purpose());
    }
    if let Ok(response) = RestResponse::parse(data) {
        assert!(response.bytes() == data, "a response is not what was read");
    }
    if let Ok(message) = AnyMessage::parse(data) {
        let _ = (message.signer_member(), message.message_id());
    }
}

/// An identifier's text form has one spelling.
pub(crate) fn identifier(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    macro_rules! read_back {
        ($($kind:ty),*) => {$(
            if let Ok(id) = <$kind>::parse(text) {
                let written = id.to_string();
                match <$kind>::parse(&written) {
                    Ok(again) => assert!(again == id, "{text:?} is another once written"),
                    Err(error) => panic!("{written:?} is not read back: {error}"),
                }
            }
        )*};
    }
    read_back!(MemberId, SubsystemId, ClientId, ServiceId, SecurityServerId);
}

/// The content of one frame between security servers.
pub(crate) fn frame(data: &[u8]) {
    drop(Frame::decode(data));
}

/// A checkpoint has one spelling.
pub(crate) fn checkpoint(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert!(checkpoint.to_text() == text, "a checkpoint has two spellings");
    }
}

/// A note has one spelling, and nobody has signed it.
pub(crate) fn note(data: &[u8]) {
    if let Ok(note) = SignedNote::parse(data) {
        assert!(note.to_text().as_bytes() == data, "a note has two spellings");
        if let Ok(key) = NoteKey::new("nobody", [7; 32]) {
            assert!(note.verify(&[key]).is_err(), "a note is believed that nobody has signed");
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        drop(NoteKey::parse(text));
    }
}

/// A tile's path has one spelling; any content is read or refused.
pub(crate) fn tile(data: &[u8]) {
    let path = data.split(|byte| *byte == b'\n').next().and_then(|path| std::str::from_utf8(path).ok());
    if let Some((path, tile)) = path.and_then(|path| Some((path, Tile::parse(path).ok()?))) {
        assert!(tile.path() == path, "a tile has two paths");
        drop(tile.read(data.get(path.len() + 1..).unwrap_or_default()));
    }
}
