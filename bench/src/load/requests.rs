//! Requests that differ in everything that could be cached: number, message id, body; and go round all clients and services.

use super::wire::write_number;

/// Who asks for what.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pair {
    /// The request's path, without a query.
    pub path: String,
    /// What `X-Road-Client` says.
    pub client: String,
}

/// Requests in prepared pieces, around the number of each.
#[derive(Debug)]
pub struct Requests {
    pairs: Vec<Prepared>,
    /// Body of a POST around its number; GET if there is none.
    body: Option<[Vec<u8>; 2]>,
    answer_bytes: usize,
}

#[derive(Debug)]
struct Prepared {
    before_query: Vec<u8>,
    before_id: Vec<u8>,
    after_id: Vec<u8>,
}

impl Requests {
    /// Requests of the pairs in turn, as GET or, with a `body` of so many bytes (at least 40), as POST. Each answer must have `answer_bytes`.
    #[must_use]
    pub fn new(pairs: &[Pair], body: usize, answer_bytes: usize) -> Self {
        let body = (body > 0).then(|| {
            let (start, end) = (b"{\"number\":\"".to_vec(), b"\",\"data\":\"");
            let fixed = start.len() + super::wire::NUMBER_DIGITS + end.len() + 2;
            let rest = [&end[..], &vec![b'x'; body.saturating_sub(fixed)], b"\"}"].concat();
            [start, rest]
        });
        let length = body.as_ref().map(|[start, end]| start.len() + super::wire::NUMBER_DIGITS + end.len());
        let method = if body.is_some() { "POST" } else { "GET" };
        let content = length.map_or_else(String::new, |length| {
            format!("Content-Type: application/json\r\nContent-Length: {length}\r\n")
        });
        let prepare = |pair: &Pair| Prepared {
            before_query: format!("{method} {}?n=", pair.path).into_bytes(),
            before_id: format!(
                " HTTP/1.1\r\nHost: bench\r\nX-Road-Client: {}\r\nX-Road-Id: {ID_PREFIX}",
                pair.client
            )
            .into_bytes(),
            after_id: format!("\r\n{content}\r\n").into_bytes(),
        };
        Self { pairs: pairs.iter().map(prepare).collect(), body, answer_bytes }
    }

    /// How long each answer's body must be.
    pub(crate) fn answer_bytes(&self) -> usize {
        self.answer_bytes
    }

    /// Appends the request of an exchange.
    pub(crate) fn write(&self, out: &mut Vec<u8>, number: u64) {
        let turn = number.checked_rem(self.pairs.len() as u64).unwrap_or(0);
        let Some(pair) = self.pairs.get(turn as usize) else { return };
        out.extend_from_slice(&pair.before_query);
        write_number(out, number);
        out.extend_from_slice(&pair.before_id);
        write_number(out, number);
        out.extend_from_slice(&pair.after_id);
        if let Some([start, end]) = &self.body {
            out.extend_from_slice(start);
            write_number(out, number);
            out.extend_from_slice(end);
        }
    }
}

/// The message id of an exchange.
pub(crate) fn id_of(number: u64) -> String {
    format!("{ID_PREFIX}{number:010}")
}

/// The number of an exchange from its message id; `None` if the load generator did not make it.
#[must_use]
pub fn number_of(message_id: &str) -> Option<u64> {
    let digits = message_id.strip_prefix(ID_PREFIX)?;
    let exact =
        digits.len() == super::wire::NUMBER_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    exact.then(|| digits.parse().ok()).flatten()
}

const ID_PREFIX: &str = "bench-";

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs() -> Vec<Pair> {
        ["a", "b"].map(|name| Pair { path: format!("/{name}"), client: name.to_uppercase() }).to_vec()
    }

    fn written(requests: &Requests, number: u64) -> String {
        let mut out = Vec::new();
        requests.write(&mut out, number);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn requests_go_round_and_differ_in_number_and_id() {
        let requests = Requests::new(&pairs(), 0, 1);
        assert_eq!(
            written(&requests, 7),
            "GET /b?n=0000000007 HTTP/1.1\r\nHost: bench\r\nX-Road-Client: B\r\nX-Road-Id: bench-0000000007\r\n\r\n"
        );
        assert!(written(&requests, 8).starts_with("GET /a?n=0000000008 "));
    }

    #[test]
    fn a_post_has_a_body_of_its_own_with_the_asked_length() {
        let requests = Requests::new(&pairs(), 100, 1);
        let (first, second) = (written(&requests, 1), written(&requests, 3));
        let (head, body) = first.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with("Content-Length: 100"), "{head}");
        assert_eq!(body.len(), 100);
        assert!(body.starts_with("{\"number\":\"0000000001\"") && body.ends_with("x\"}"), "{body}");
        assert_ne!(body, second.split_once("\r\n\r\n").unwrap().1);
    }

    #[test]
    fn only_our_own_ids_have_a_number() {
        assert_eq!(number_of(&id_of(42)), Some(42));
        for other in ["bench-42", "bench-00000000042", "bench--000000042", "demo-get", "", "bench-+000000042"]
        {
            assert_eq!(number_of(other), None, "{other}");
        }
    }
}
