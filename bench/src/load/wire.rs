//! HTTP/1.1 as little as a load generator needs: requests from prepared pieces, answers with a `Content-Length`.

/// What the head of an answer says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Head {
    /// HTTP status.
    pub(crate) status: u16,
    /// Bytes of the head, with the empty line.
    pub(crate) bytes: usize,
    /// Bytes of the body.
    pub(crate) body: u64,
    /// Whether it is a fault of the exchange, not an answer of the backend.
    pub(crate) fault: bool,
}

/// Why an answer cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the answer's head has no end within {HEAD_BYTES_MAX} bytes")]
    TooLong,
    #[error("what came is no HTTP/1.1 answer")]
    NoStatus,
    #[error("the answer has no Content-Length")]
    NoLength,
}

/// The head in `bytes`, if it is whole; `searched` bytes of it are known not to hold its end.
pub(crate) fn head(bytes: &[u8], searched: usize) -> Result<Option<Head>, WireError> {
    let from = searched.saturating_sub(3);
    let end = bytes.get(from..).and_then(|rest| rest.windows(4).position(|four| four == b"\r\n\r\n"));
    let Some(end) = end.map(|at| from + at) else {
        return if bytes.len() > HEAD_BYTES_MAX { Err(WireError::TooLong) } else { Ok(None) };
    };
    let text = bytes.get(..end).unwrap_or_default();
    let status = text.strip_prefix(b"HTTP/1.1 ").and_then(|rest| number(rest.get(..3)?));
    let status = status.and_then(|status| u16::try_from(status).ok()).ok_or(WireError::NoStatus)?;
    let (mut body, mut fault) = (None, false);
    for line in text.split(|byte| *byte == b'\n').skip(1) {
        if let Some(value) = value(line, b"content-length") {
            body = number(value);
        } else if value(line, b"x-road-error").is_some() {
            fault = true;
        }
    }
    let body = body.ok_or(WireError::NoLength)?;
    Ok(Some(Head { status, bytes: end + 4, body, fault }))
}

/// The value if the line is that header's.
fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    let rest = rest.strip_prefix(b":")?;
    found.eq_ignore_ascii_case(name).then(|| rest.trim_ascii())
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    digits.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
}

/// Writes a number with ten digits: all requests have the same length.
pub(crate) fn write_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [b'0'; NUMBER_DIGITS];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits);
}

/// Digits of an exchange's number: ten thousand million are more than any run makes.
pub(crate) const NUMBER_DIGITS: usize = 10;
/// Longest head of an answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Longest number that is read: fits 64 bits.
const DIGITS_MAX: usize = 18;

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-length:  12 \r\n\r\n{\"n\":123456}";

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let end = ANSWER.len() - 12;
        for cut in 0..end {
            assert_eq!(head(&ANSWER[..cut], 0), Ok(None), "after {cut} bytes");
            assert_eq!(head(&ANSWER[..end], cut).unwrap().unwrap().bytes, end, "searched {cut} bytes before");
        }
        assert_eq!(head(ANSWER, 0), Ok(Some(Head { status: 200, bytes: end, body: 12, fault: false })));
    }

    #[test]
    fn a_fault_of_the_exchange_is_seen() {
        let answer = b"HTTP/1.1 404 Not Found\r\nX-Road-Error: server.x\r\ncontent-length: 0\r\n\r\n";
        let head = head(answer, 0).unwrap().unwrap();
        assert!(head.fault);
        assert_eq!((head.status, head.body), (404, 0));
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        for (answer, error) in [
            (&b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"[..], WireError::NoLength),
            (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", WireError::NoLength),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 9999999999999999999\r\n\r\n", WireError::NoLength),
            (b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n", WireError::NoStatus),
            (b"HTTP/1.1 2x0 OK\r\ncontent-length: 1\r\n\r\n", WireError::NoStatus),
            (b"SSH-2.0-x\r\n\r\n", WireError::NoStatus),
        ] {
            assert_eq!(head(answer, 0), Err(error));
        }
        assert_eq!(head(&[b'x'; HEAD_BYTES_MAX + 1], 0), Err(WireError::TooLong));
    }

    #[test]
    fn numbers_have_one_length() {
        let mut out = Vec::new();
        write_number(&mut out, 0);
        write_number(&mut out, 1_234_567_890);
        assert_eq!(out, b"00000000001234567890");
    }
}
