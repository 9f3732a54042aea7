use proptest::prelude::*;

use super::*;
use crate::digest::sha512;

/// The request of X-Road facts, appendix A: 183 bytes with known digests.
const KNOWN_REQUEST: &[u8] = b"POST\r\n\
    /r1/TEST/GOV/1234/prov/svc/a%20b?x=1\r\n\
    X-Road-Client:TEST/GOV/5678/cons\r\n\
    Content-Type:application/json\r\n\
    x-road-request-id:11111111-2222-3333-4444-555555555555\r\n\
    x-road-id:TEST-1\r\n";

fn header(name: &str, value: &str) -> Header {
    (name.into(), value.into())
}

fn known_parts() -> RequestParts<'static> {
    RequestParts {
        method: "POST",
        target: "/r1/TEST/GOV/1234/prov/svc/a%20b?x=1",
        headers: vec![
            header("Host", "localhost"),
            header("X-Road-Client", "TEST/GOV/5678/cons"),
            header("Content-Type", "application/json"),
            header("Content-Length", "8"),
            header("X-Road-Request-Id", "chosen-by-the-client"),
        ],
        request_id: "11111111-2222-3333-4444-555555555555",
        fallback_message_id: "TEST-1",
    }
}

#[test]
fn builds_the_bytes_that_x_road_signs() {
    let request = RestRequest::build(known_parts()).unwrap();
    assert_eq!(request.bytes(), KNOWN_REQUEST);
    assert_eq!(request.bytes().len(), 183);
    assert_eq!(request.service_path(), "/a%20b");
    assert_eq!(request.query(), Some("x=1"));
    assert_eq!(
        request_hash(&sha512(request.bytes()), None),
        "CtAZq+f2j1HAr2lufWWapX3nX6gFYPv6LjqNZeJbPjUTFh1hoJJEzlityVYCvW3u0tquGC5Zax01XE4xXDY06w=="
    );
    assert_eq!(
        request_hash(&sha512(request.bytes()), Some(&sha512(b"{\"a\":1}\n"))),
        "BSYdAgc5yvvzTGAOEua7RP5yDq+UwlEC6SUH44HyczV9vcqQpyqRKHKUuM686Ok4vPehAjnnacTVEtTZCJp8Rw=="
    );
}

#[test]
fn an_answer_ends_in_five_fixed_lines() {
    let request = RestRequest::build(known_parts()).unwrap();
    let parts = ResponseParts {
        status: 200,
        reason: "OK",
        headers: vec![header("Content-Type", "text/plain"), header("x-road-request-hash", "forged")],
        request_hash: "aGFzaA==",
    };
    let response = RestResponse::build(&request, parts).unwrap();
    let expected = "200\r\nOK\r\nContent-Type:text/plain\r\nx-road-id:TEST-1\r\n\
        x-road-client:TEST/GOV/5678/cons\r\nx-road-service:TEST/GOV/1234/prov/svc\r\n\
        x-road-request-id:11111111-2222-3333-4444-555555555555\r\nx-road-request-hash:aGFzaA==\r\n";
    assert_eq!(response.bytes(), expected.as_bytes());
    let read = AnyMessage::parse(response.bytes()).unwrap();
    assert_eq!(read.signer_member().code(), "1234");
    assert_eq!(AnyMessage::parse(request.bytes()).unwrap().signer_member().code(), "5678");
}

#[test]
fn each_malformed_request_is_refused_for_its_own_reason() {
    let with = |change: &dyn Fn(&mut RequestParts<'_>)| {
        let mut parts = known_parts();
        change(&mut parts);
        RestRequest::build(parts).unwrap_err()
    };
    assert_eq!(with(&|p| p.method = "BREW"), MessageError::Method);
    assert_eq!(with(&|p| p.method = "get"), MessageError::Method);
    assert_eq!(with(&|p| p.target = "/r2/TEST/GOV/1234/prov/svc"), MessageError::Target);
    assert_eq!(with(&|p| p.target = "/r1/TEST/GOV/1234/prov"), MessageError::Target);
    assert_eq!(with(&|p| p.target = "/r1/T/G/1/s/svc/a b"), MessageError::TargetCharacter);
    assert_eq!(with(&|p| p.target = "/r1/T/G/1/s/svc#x"), MessageError::TargetCharacter);
    assert!(matches!(with(&|p| p.target = "/r1/T//1/s/svc"), MessageError::Identifier { .. }));
    assert_eq!(with(&|p| p.headers.clear()), MessageError::Missing(CLIENT));
    assert_eq!(
        with(&|p| p.headers.push(header("x-road-client", "TEST/GOV/1/other"))),
        MessageError::Repeated(CLIENT)
    );
    assert!(matches!(with(&|p| p.headers[1].1 = "TEST".into()), MessageError::Identifier { .. }));
    assert_eq!(
        with(&|p| p.headers.push(header("X-Road-Represented-Party", "a/b/c"))),
        MessageError::Header("X-Road-Represented-Party".into())
    );
    assert_eq!(with(&|p| p.headers.push(header("a", "b\nc"))), MessageError::Header("a".into()));
    for name in ["x_road_client", "X_ROAD-Client", "x-road_represented_party"] {
        let expected = MessageError::Header(name.into());
        assert_eq!(with(&|p| p.headers.push(header(name, "TEST/GOV/1/other"))), expected);
    }
    assert_eq!(with(&|p| p.headers = vec![header("a", "b"); 101]), MessageError::Missing(CLIENT));
    assert_eq!(with(&|p| p.headers.extend(vec![header("a", "b"); 101])), MessageError::TooManyHeaders);
    let long = "y".repeat(MESSAGE_BYTES_MAX);
    assert_eq!(with(&|p| p.headers.push(header("a", &long))), MessageError::TooLong);
}

#[test]
fn only_a_final_status_is_an_answer() {
    let request = RestRequest::build(known_parts()).unwrap();
    let of = |status| {
        let parts = ResponseParts { status, reason: "", headers: vec![], request_hash: "aGFzaA==" };
        RestResponse::build(&request, parts)
    };
    for status in [0, 99, 100, 101, 103, 199, 1000] {
        assert_eq!(of(status).unwrap_err(), MessageError::Status, "{status}");
    }
    let good = of(200).unwrap();
    assert_eq!(of(999).unwrap().status(), 999);
    for status in ["101", "20", "0200", "+20"] {
        let text = std::str::from_utf8(good.bytes()).unwrap().replacen("200", status, 1);
        assert_eq!(RestResponse::parse(text.as_bytes()).unwrap_err(), MessageError::Status, "{status}");
    }
}

#[test]
fn reading_is_strict() {
    let text = std::str::from_utf8(KNOWN_REQUEST).unwrap();
    for (bad, error) in [
        (text.replace("\r\n", "\n"), MessageError::Line),
        (format!("{text}\r\n"), MessageError::Line),
        (text.replace("Content-Type:", "Host:"), MessageError::HopHeader("Host".into())),
        (text.replace("x-road-id:TEST-1\r\n", ""), MessageError::Missing(MESSAGE_ID)),
        (text.trim_end().to_owned(), MessageError::Line),
    ] {
        assert_eq!(RestRequest::parse(bad.as_bytes()).unwrap_err(), error, "{bad:?}");
    }
    assert_eq!(RestRequest::parse(b"\xFF\r\n").unwrap_err(), MessageError::NotText);
    assert_eq!(RestResponse::parse(KNOWN_REQUEST).unwrap_err(), MessageError::Status);
}

proptest! {
    #[test]
    fn what_is_read_is_what_was_written(at in 0..KNOWN_REQUEST.len(), byte: u8) {
        let mut bytes = KNOWN_REQUEST.to_vec();
        bytes[at] = byte;
        if let Ok(request) = RestRequest::parse(&bytes) {
            prop_assert_eq!(&request.bytes()[..], &bytes[..]);
            prop_assert_eq!(write([request.method(), request.target()], request.headers()).unwrap(), bytes.clone());
        }
        if let Ok(AnyMessage::Response(response)) = AnyMessage::parse(&bytes) {
            let status = response.status().to_string();
            prop_assert_eq!(write([&status, response.reason()], response.headers()).unwrap(), bytes.clone());
            prop_assert_eq!(&response.bytes()[..], &bytes[..]);
        }
    }
}
