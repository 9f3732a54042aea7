//! Identifiers of members, subsystems, services and security servers (X-Road REST protocol, section on identifiers).
//!
//! The text form is the one of HTTP headers and URLs: codes joined by `/`, each percent-encoded on its own. Comparison is
//! exact and case-sensitive. Unlike X-Road, which logs a warning, Kogge refuses codes with confusable characters: an
//! identifier that two people read differently has no place in evidence.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use compact_str::CompactString;

use crate::limits::IDENTIFIER_BYTES_MAX;

/// Why a text is not an identifier.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IdError {
    /// A code is empty.
    #[error("an identifier has an empty code")]
    Empty,
    /// A code is longer than [`IDENTIFIER_BYTES_MAX`].
    #[error("an identifier has a code longer than {IDENTIFIER_BYTES_MAX} bytes")]
    TooLong,
    /// A code holds a character that is not allowed.
    #[error("an identifier has the character U+{:04X}, which is not allowed", u32::from(*.0))]
    Character(char),
    /// A percent sign is not followed by two hexadecimal digits, or the result is not UTF-8.
    #[error("an identifier has a malformed percent-encoding")]
    Encoding,
    /// The number of codes is wrong.
    #[error("{kind} needs {expected} codes separated by '/', not {found}")]
    Codes {
        /// What was to be read.
        kind: &'static str,
        /// How many codes it has.
        expected: &'static str,
        /// How many there were.
        found: usize,
    },
}

/// An organisation: instance, member class, member code.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MemberId(Arc<[Code; 3]>);

/// An information system of a member.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SubsystemId {
    member: MemberId,
    code: Code,
}

/// The value of `X-Road-Client`: a subsystem, or in X-Road also a member itself.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ClientId {
    /// A member without a subsystem; Kogge reads it in containers of others but does not serve it.
    Member(MemberId),
    /// A subsystem.
    Subsystem(SubsystemId),
}

/// A service of a subsystem.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServiceId {
    subsystem: SubsystemId,
    code: Code,
}

/// A security server, named by its owner and a server code.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SecurityServerId {
    owner: MemberId,
    code: Code,
}

impl MemberId {
    /// From decoded codes.
    ///
    /// # Errors
    /// A code is empty, too long, or has a character that is not allowed.
    pub fn new(instance: &str, class: &str, code: &str) -> Result<Self, IdError> {
        Ok(Self(Arc::new([Code::new(instance)?, Code::new(class)?, Code::new(code)?])))
    }

    /// From `INSTANCE/CLASS/CODE`.
    ///
    /// # Errors
    /// The number of codes is not three, or a code is not valid.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let [instance, class, code] = split(text, "a member", "3")?;
        Ok(Self(Arc::new([instance, class, code])))
    }

    /// The instance's code.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.0[0].0
    }

    /// The member class.
    #[must_use]
    pub fn class(&self) -> &str {
        &self.0[1].0
    }

    /// The member code, unique within the class.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0[2].0
    }
}

impl SubsystemId {
    /// From a member and a decoded subsystem code.
    ///
    /// # Errors
    /// The code is not valid.
    pub fn new(member: MemberId, code: &str) -> Result<Self, IdError> {
        Ok(Self { member, code: Code::new(code)? })
    }

    /// From `INSTANCE/CLASS/CODE/SUBSYSTEM`.
    ///
    /// # Errors
    /// The number of codes is not four, or a code is not valid.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let [instance, class, member, code] = split(text, "a subsystem", "4")?;
        Ok(Self { member: MemberId(Arc::new([instance, class, member])), code })
    }

    /// The member that it belongs to.
    #[must_use]
    pub fn member(&self) -> &MemberId {
        &self.member
    }

    /// The subsystem code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code.0
    }
}

impl ClientId {
    /// From three or four codes.
    ///
    /// # Errors
    /// The number of codes is neither three nor four, or a code is not valid.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        match text.split('/').count() {
            3 => Ok(Self::Member(MemberId::parse(text)?)),
            4 => Ok(Self::Subsystem(SubsystemId::parse(text)?)),
            found => Err(IdError::Codes { kind: "a client", expected: "3 or 4", found }),
        }
    }

    /// The member that must sign for this client.
    #[must_use]
    pub fn member(&self) -> &MemberId {
        match self {
            Self::Member(member) => member,
            Self::Subsystem(subsystem) => subsystem.member(),
        }
    }

    /// The subsystem, if the client is one.
    #[must_use]
    pub fn subsystem(&self) -> Option<&SubsystemId> {
        match self {
            Self::Member(_) => None,
            Self::Subsystem(subsystem) => Some(subsystem),
        }
    }
}

impl ServiceId {
    /// From a subsystem and a decoded service code.
    ///
    /// # Errors
    /// The code is not valid.
    pub fn new(subsystem: SubsystemId, code: &str) -> Result<Self, IdError> {
        Ok(Self { subsystem, code: Code::new(code)? })
    }

    /// From `INSTANCE/CLASS/CODE/SUBSYSTEM/SERVICE`.
    ///
    /// # Errors
    /// The number of codes is not five, or a code is not valid.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let [instance, class, member, subsystem, code] = split(text, "a service", "5")?;
        let member = MemberId(Arc::new([instance, class, member]));
        Ok(Self { subsystem: SubsystemId { member, code: subsystem }, code })
    }

    /// The subsystem that provides it.
    #[must_use]
    pub fn subsystem(&self) -> &SubsystemId {
        &self.subsystem
    }

    /// The service code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code.0
    }
}

impl SecurityServerId {
    /// From an owner and a decoded server code.
    ///
    /// # Errors
    /// The code is not valid.
    pub fn new(owner: MemberId, code: &str) -> Result<Self, IdError> {
        Ok(Self { owner, code: Code::new(code)? })
    }

    /// From `INSTANCE/CLASS/CODE/SERVER`.
    ///
    /// # Errors
    /// The number of codes is not four, or a code is not valid.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let [instance, class, member, code] = split(text, "a security server", "4")?;
        Ok(Self { owner: MemberId(Arc::new([instance, class, member])), code })
    }

    /// The member that operates it.
    #[must_use]
    pub fn owner(&self) -> &MemberId {
        &self.owner
    }

    /// The server code, unique within the owner's servers.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code.0
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [instance, class, code] = &*self.0;
        for code in [instance, class] {
            code.fmt(f)?;
            f.write_str("/")?;
        }
        code.fmt(f)
    }
}

impl fmt::Display for SubsystemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.member.fmt(f)?;
        f.write_str("/")?;
        self.code.fmt(f)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(member) => member.fmt(f),
            Self::Subsystem(subsystem) => subsystem.fmt(f),
        }
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.subsystem.fmt(f)?;
        f.write_str("/")?;
        self.code.fmt(f)
    }
}

impl fmt::Display for SecurityServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.owner.fmt(f)?;
        f.write_str("/")?;
        self.code.fmt(f)
    }
}

macro_rules! text_form {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }
    )*};
}

text_form!(MemberId, SubsystemId, ClientId, ServiceId, SecurityServerId);

/// One code of an identifier, decoded; always valid.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct Code(CompactString);

impl Code {
    fn new(text: &str) -> Result<Self, IdError> {
        check_code(text).map(|()| Self(text.into()))
    }

    fn decode(segment: &str) -> Result<Self, IdError> {
        if segment.bytes().all(unescaped) { Self::new(segment) } else { Self::new(&percent_decode(segment)?) }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.bytes().all(unescaped) {
            return f.write_str(&self.0);
        }
        for byte in self.0.bytes() {
            if unescaped(byte) { write!(f, "{}", char::from(byte))? } else { write!(f, "%{byte:02X}")? }
        }
        Ok(())
    }
}

fn split<const N: usize>(
    text: &str,
    kind: &'static str,
    expected: &'static str,
) -> Result<[Code; N], IdError> {
    let found = text.split('/').count();
    if found != N {
        return Err(IdError::Codes { kind, expected, found });
    }
    let mut codes = [const { Code(CompactString::const_new("")) }; N];
    for (code, segment) in codes.iter_mut().zip(text.split('/')) {
        *code = Code::decode(segment)?;
    }
    Ok(codes)
}

/// Decodes one URL path segment; only the characters of RFC 3986 `pchar` may stand unescaped, as in X-Road.
fn percent_decode(segment: &str) -> Result<String, IdError> {
    let mut out = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = bytes.next().and_then(hex_digit).ok_or(IdError::Encoding)?;
            let low = bytes.next().and_then(hex_digit).ok_or(IdError::Encoding)?;
            out.push(high << 4 | low);
        } else if unescaped(byte) {
            out.push(byte);
        } else {
            return Err(IdError::Encoding);
        }
    }
    String::from_utf8(out).map_err(|_| IdError::Encoding)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn unescaped(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

/// Checks one decoded code by the rules of all identifiers, and makes nothing of it: for whoever reads hundreds of thousands.
///
/// # Errors
/// The code is empty, too long, or has a character that is not allowed.
pub fn check_code(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > IDENTIFIER_BYTES_MAX {
        return Err(IdError::TooLong);
    }
    // A code of dots would be a path step in URLs and archive names.
    if text == "." || text == ".." {
        return Err(IdError::Character('.'));
    }
    // Nearly all codes are plain ASCII: one look at each byte, none at characters.
    if text.bytes().fold(true, |plain, byte| plain & PLAIN[usize::from(byte)]) {
        return Ok(());
    }
    match text.chars().find(|c| !allowed(*c)) {
        Some(c) => Err(IdError::Character(c)),
        None => Ok(()),
    }
}

/// X-Road's forbidden characters, and further invisible or direction-changing ones.
fn allowed(c: char) -> bool {
    !(c.is_control()
        || c.is_whitespace() && c != ' '
        || matches!(c, '%' | ':' | ';' | '/' | '\\')
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}'))
}

/// The bytes of ASCII that are [`allowed`] as they stand.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b' ';
    while byte < 0x7f {
        plain[byte as usize] = !matches!(byte, b'%' | b':' | b';' | b'/' | b'\\');
        byte += 1;
    }
    plain
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_and_writes_the_header_form() {
        let id = SubsystemId::parse("EE/GOV/7000%200001/pop+ulation").unwrap();
        assert_eq!(id.member().code(), "7000 0001");
        assert_eq!(id.code(), "pop+ulation");
        assert_eq!(id.to_string(), "EE/GOV/7000%200001/pop+ulation");
        assert_eq!(SubsystemId::parse("EE/GOV/1/s%C3%BCd").unwrap().code(), "süd");
    }

    #[test]
    fn the_quick_look_at_ascii_is_the_rule() {
        for byte in 0..128u8 {
            assert_eq!(PLAIN[usize::from(byte)], allowed(char::from(byte)), "{byte:#x}");
        }
        assert!(PLAIN[128..].iter().all(|plain| !plain));
    }

    #[test]
    fn refuses_what_two_people_could_read_differently() {
        let cases = [
            ("EE/GOV/1", IdError::Codes { kind: "a subsystem", expected: "4", found: 3 }),
            ("EE/GOV/1/", IdError::Empty),
            ("EE/GOV/1/a%2Fb", IdError::Character('/')),
            ("EE/GOV/1/a:b", IdError::Character(':')),
            ("EE/GOV/1/a%00", IdError::Character('\0')),
            ("EE/GOV/1/a%E2%80%8B", IdError::Character('\u{200B}')),
            ("EE/GOV/1/..", IdError::Character('.')),
            ("EE/GOV/1/a b", IdError::Encoding),
            ("EE/GOV/1/a%2", IdError::Encoding),
            ("EE/GOV/1/a%zz", IdError::Encoding),
            ("EE/GOV/1/%FF", IdError::Encoding),
            ("EE/GOV/1/süd", IdError::Encoding),
        ];
        for (text, error) in cases {
            assert_eq!(SubsystemId::parse(text), Err(error), "{text}");
        }
        assert_eq!(SubsystemId::parse(&format!("EE/GOV/1/{}", "x".repeat(256))), Err(IdError::TooLong));
    }

    #[test]
    fn a_client_is_a_member_or_a_subsystem() {
        assert!(ClientId::parse("EE/GOV/1").unwrap().subsystem().is_none());
        assert_eq!(ClientId::parse("EE/GOV/1/a").unwrap().member().code(), "1");
        assert!(ClientId::parse("EE/GOV").is_err());
    }

    proptest! {
        #[test]
        fn the_text_form_is_exact(codes in prop::array::uniform5("[^/%:;\\\\\u{0}-\u{1f}\u{7f}]{1,20}")) {
            let [instance, class, code, subsystem, service] = &codes;
            if let Ok(member) = MemberId::new(instance, class, code)
                && let Ok(subsystem) = SubsystemId::new(member, subsystem)
                && let Ok(id) = ServiceId::new(subsystem, service)
            {
                prop_assert_eq!(ServiceId::parse(&id.to_string()).unwrap(), id);
            }
        }

        #[test]
        fn parsing_never_panics(text in ".{0,60}") {
            let _ = ClientId::parse(&text);
            let _ = ServiceId::parse(&text);
        }
    }
}
