//! Text with signatures (C2SP `signed-note`). Signatures are made elsewhere, over the text's bytes; here they are attached, read and checked.

use std::fmt;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kogge_proto::digest::sha256;

/// Longest note, in bytes: sixteen signatures of the largest kind in use, which every verifier must accept, have room in it.
pub const NOTE_BYTES_MAX: usize = 256 * 1024;
/// Most signatures on a note.
pub const SIGNATURES_MAX: usize = 64;

/// The type of an Ed25519 signature, as it goes into a key's id.
const ED25519_TYPE: u8 = 1;
const MARK: &str = "\u{2014} ";

/// A note: to be believed only after [`SignedNote::verify`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// A signature as it stands on a note, of whatever kind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NoteSignature {
    name: String,
    key_id: [u8; 4],
    value: Vec<u8>,
}

/// A public key under the name that it has on notes, for Ed25519 signatures.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NoteKey {
    name: String,
    id: [u8; 4],
    public: [u8; 32],
}

/// Why something is no note.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`NOTE_BYTES_MAX`].
    #[error("the note is longer than {NOTE_BYTES_MAX} bytes")]
    TooLong,
    /// Not UTF-8, or with a control character that is no newline.
    #[error("the note is not text without control characters")]
    Text,
    /// There is no text, no blank line after it, no signature, or no newline at the end.
    #[error("the note is not a text, a blank line, and signatures, each line with a newline")]
    Layout,
    /// A line after the blank one is no signature.
    #[error("line {0} after the blank line is no signature")]
    Signature(usize),
    /// More than [`SIGNATURES_MAX`].
    #[error("the note has more than {SIGNATURES_MAX} signatures")]
    TooManySignatures,
}

/// Why a key is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// Empty, with a space, a plus sign or a control character, or longer than a note.
    #[error("the key's name must be text without spaces and plus signs")]
    Name,
    /// Not `NAME+ID+BASE64`, or the id is not that of name and key, or the type is not Ed25519.
    #[error("the key is not NAME+ID+BASE64 of an Ed25519 key")]
    Form,
}

/// Why a note is not believed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum VerifyError {
    /// A signature that names a known key was not made by it.
    #[error("the signature of {0} does not hold")]
    Forged(String),
    /// No known key has signed it.
    #[error("no known key has signed the note")]
    Unsigned,
}

impl SignedNote {
    /// The text with signatures, at least one.
    ///
    /// # Errors
    /// It would not be a note, see [`NoteError`].
    pub fn new(text: &str, signatures: Vec<NoteSignature>) -> Result<Self, NoteError> {
        // Reading it back is the check; what stands in the text must stay in the text.
        let note = Self { text: text.to_owned(), signatures };
        let read = Self::parse(note.to_text().as_bytes())?;
        if read == note { Ok(read) } else { Err(NoteError::Layout) }
    }

    /// Reads a note.
    ///
    /// # Errors
    /// See [`NoteError`].
    pub fn parse(note: &[u8]) -> Result<Self, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong);
        }
        let note = std::str::from_utf8(note).map_err(|_| NoteError::Text)?;
        if note.contains(|character: char| character.is_ascii_control() && character != '\n') {
            return Err(NoteError::Text);
        }
        let (before, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Layout)?;
        let text = note.get(..=before.len()).ok_or(NoteError::Layout)?;
        let lines = signatures.strip_suffix('\n').ok_or(NoteError::Layout)?.split('\n');
        let mut read = Vec::new();
        for (at, line) in lines.enumerate() {
            if at >= SIGNATURES_MAX {
                return Err(NoteError::TooManySignatures);
            }
            read.push(NoteSignature::parse(line).ok_or(NoteError::Signature(at + 1))?);
        }
        Ok(Self { text: text.to_owned(), signatures: read })
    }

    /// The note as it is sent.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut note = format!("{}\n", self.text);
        for signature in &self.signatures {
            note.push_str(&format!("{signature}\n"));
        }
        note
    }

    /// The text, which is what signatures cover, with its last newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signatures.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Which of these keys have signed. Signatures of other keys are ignored.
    ///
    /// # Errors
    /// None has, or a signature that names one of them does not hold.
    pub fn verify<'a>(&self, keys: &'a [NoteKey]) -> Result<Vec<&'a NoteKey>, VerifyError> {
        let mut signers: Vec<&NoteKey> = Vec::new();
        for signature in &self.signatures {
            let named = |key: &&NoteKey| key.name == signature.name && key.id == signature.key_id;
            for key in keys.iter().filter(named) {
                if !key.has_signed(&self.text, &signature.value) {
                    return Err(VerifyError::Forged(key.name.clone()));
                }
                if !signers.contains(&key) {
                    signers.push(key);
                }
            }
        }
        if signers.is_empty() { Err(VerifyError::Unsigned) } else { Ok(signers) }
    }
}

impl NoteSignature {
    /// A signature that was made with the private half of `key`.
    #[must_use]
    pub fn of(key: &NoteKey, signature: [u8; 64]) -> Self {
        Self { name: key.name.clone(), key_id: key.id, value: signature.to_vec() }
    }

    fn parse(line: &str) -> Option<Self> {
        let (name, signature) = line.strip_prefix(MARK)?.split_once(' ')?;
        let bytes = STANDARD.decode(signature).ok()?;
        let (key_id, value) = bytes.split_first_chunk::<4>()?;
        let is_one = is_name(name) && !value.is_empty();
        is_one.then(|| Self { name: name.to_owned(), key_id: *key_id, value: value.to_vec() })
    }

    /// The name of the key that is said to have made it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.key_id.as_slice(), &self.value].concat();
        write!(f, "{MARK}{} {}", self.name, STANDARD.encode(bytes))
    }
}

impl NoteKey {
    /// The Ed25519 key (RFC 8032, section 5.1.5) with this name.
    ///
    /// # Errors
    /// The name is none.
    pub fn new(name: &str, public: [u8; 32]) -> Result<Self, KeyError> {
        if !is_name(name) || name.len() > NOTE_BYTES_MAX {
            return Err(KeyError::Name);
        }
        let digest = sha256(&[name.as_bytes(), b"\n", &[ED25519_TYPE], &public].concat());
        let mut id = [0; 4];
        id.iter_mut().zip(digest.as_bytes()).for_each(|(byte, of_digest)| *byte = *of_digest);
        Ok(Self { name: name.to_owned(), id, public })
    }

    /// Reads `NAME+ID+BASE64`, as [`NoteKey`] is shown: the id in hexadecimal, the type and the key in base64.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (name, rest) = text.split_once('+').ok_or(KeyError::Form)?;
        let (_, key) = rest.split_once('+').ok_or(KeyError::Form)?;
        let key = STANDARD.decode(key).map_err(|_| KeyError::Form)?;
        let public = match key.split_first() {
            Some((&ED25519_TYPE, public)) => public.try_into().map_err(|_| KeyError::Form)?,
            _ => return Err(KeyError::Form),
        };
        let key = Self::new(name, public)?;
        if key.to_string() == text { Ok(key) } else { Err(KeyError::Form) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn has_signed(&self, text: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public).verify(text.as_bytes(), signature).is_ok()
    }
}

impl fmt::Display for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519_TYPE][..], &self.public].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id), STANDARD.encode(key))
    }
}

/// Not empty, and without spaces, plus signs and control characters.
fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_ascii_control() || c == '+')
}
