//! What this server says of its own log, so that others can see later whether something was removed: signed checkpoints (C2SP `tlog-checkpoint`), and the
//! tree under them as static files.
//!
//! A checkpoint is signed over durable entries only, with a key of its own, and goes into the timestamp batch that covers the same records. A crash at any line here leaves at
//! most a checkpoint that nobody has seen, or tiles that are older than the newest checkpoint; both are made anew with the next batch.

mod tiles;

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use kogge_certs::key::{SignError, SignatureScheme, SigningKey};
use kogge_message_log::MessageLog;
use kogge_proto::id::SecurityServerId;
use kogge_signer::{SoftToken, TokenError};
use kogge_tlog::checkpoint::{Checkpoint, CheckpointError};
use kogge_tlog::note::{KeyError, NoteError, NoteKey, NoteSignature, SignedNote};
use kogge_tlog::proof::List;

use self::tiles::TileFolder;

/// Signs this server's checkpoints and has the newest at hand.
pub(crate) struct Completeness {
    log: MessageLog,
    key: Arc<dyn SigningKey>,
    name: NoteKey,
    tiles: TileFolder,
    latest: ArcSwapOption<Bytes>,
}

/// A checkpoint with this server's signature.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    /// What it says.
    pub(crate) list: List,
    /// The note's bytes.
    pub(crate) note: Bytes,
}

/// Why there is no checkpoint, or why it does not lie among the tiles.
#[derive(Debug, thiserror::Error)]
pub enum CompletenessError {
    /// The token does not give the key.
    #[error("cannot use the checkpoint key: {0}")]
    Token(#[from] TokenError),
    /// The key is not one for checkpoints.
    #[error("the checkpoint key cannot be used: {0}")]
    Key(#[from] KeyError),
    /// The key does not sign.
    #[error("the checkpoint cannot be signed: {0}")]
    Sign(#[from] SignError),
    /// A signature of an Ed25519 key has another length than such have.
    #[error("the checkpoint key made no Ed25519 signature")]
    Signature,
    /// What was signed is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// What was signed is no note.
    #[error(transparent)]
    Note(#[from] NoteError),
}

impl Completeness {
    /// For this log, which lies in `dir`. Blocks.
    pub(crate) fn open(
        server: &SecurityServerId,
        log: MessageLog,
        token: &SoftToken,
        dir: &Path,
    ) -> Result<Self, CompletenessError> {
        let key = token.key(&token.checkpoint_key_or_new()?)?;
        let public = key.public_key().ed25519().ok_or(CompletenessError::Signature)?;
        let name = NoteKey::new(&server.to_string(), public)?;
        let tiles = TileFolder::new(dir.join(tiles::FOLDER), name.clone());
        let this = Self { log, key, name, tiles, latest: ArcSwapOption::empty() };
        // Peers get one from the first exchange on.
        if let Some(signed) = this.sign()? {
            this.latest.store(Some(Arc::new(signed.note)));
        }
        Ok(this)
    }

    /// A checkpoint over all that is durable now; `None` while the log's tree is not known.
    pub(crate) fn sign(&self) -> Result<Option<Signed>, CompletenessError> {
        let Some(list) = self.log.tree() else { return Ok(None) };
        let text = Checkpoint::new(self.name.name(), list.size, list.root)?.to_text();
        let signature = self.key.sign(SignatureScheme::Ed25519, text.as_bytes())?;
        let signature = signature.try_into().map_err(|_| CompletenessError::Signature)?;
        let note = SignedNote::new(&text, vec![NoteSignature::of(&self.name, signature)])?;
        Ok(Some(Signed { list, note: note.to_text().into() }))
    }

    /// Puts a checkpoint among the tiles and hands it to peers from now on. Blocks. That tiles cannot be written keeps nobody from anything: they are made anew next time.
    pub(crate) fn publish(&self, signed: &Signed) {
        self.latest.store(Some(Arc::new(signed.note.clone())));
        if let Err(error) = self.tiles.publish(&self.log, signed) {
            tracing::error!(%error, "the message log's tiles cannot be written; the next checkpoint tries again");
        }
    }
}
