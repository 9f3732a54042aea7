//! The textual encoding of certificates (RFC 7468), read strictly: nothing but certificates, and every character accounted for
//! between their borders. Explanatory text outside the borders, as `openssl x509 -text` writes it, is skipped.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::CertificateError;

/// The contents of all certificates, in order; at least one.
pub(super) fn decode(text: &str) -> Result<Vec<Vec<u8>>, CertificateError> {
    if text.len() > PEM_BYTES_MAX {
        return Err(CertificateError::TooLarge);
    }
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines().map(str::trim_ascii_end) {
        match &mut open {
            Some(base64) if line == END => {
                found.push(STANDARD.decode(base64).map_err(|_| CertificateError::Pem)?);
                open = None;
            }
            Some(base64) => base64.push_str(line),
            None if line == BEGIN => open = Some(String::new()),
            // A private key or a request in the file is a mistake that should not pass silently.
            None if line.starts_with("-----") => return Err(CertificateError::Pem),
            None => {}
        }
    }
    if open.is_some() || found.is_empty() { Err(CertificateError::Pem) } else { Ok(found) }
}

/// One certificate with a trailing line end.
pub(super) fn encode(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = String::with_capacity(base64.len() + base64.len() / LINE_CHARS + 64);
    text.push_str(BEGIN);
    text.push('\n');
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE_CHARS));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(END);
    text.push('\n');
    text
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// RFC 7468 section 2: generators wrap at 64 characters.
const LINE_CHARS: usize = 64;
/// Room for some tens of certificates with explanatory text.
const PEM_BYTES_MAX: usize = 1024 * 1024;
