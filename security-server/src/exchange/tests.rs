use std::collections::VecDeque;

use super::*;

struct Script(VecDeque<Frame>);

impl Frames for Script {
    async fn next(&mut self) -> Result<Option<Frame>, TransportError> {
        Ok(self.0.pop_front())
    }
}

fn chunk(bytes: &[u8]) -> Frame {
    Frame { kind: Some(Kind::BodyChunk(Bytes::copy_from_slice(bytes))) }
}

fn head(body: Option<&[u8]>) -> Head {
    Head {
        protocol_version: PROTOCOL_VERSION,
        has_body: body.is_some(),
        body_length: body.map_or(0, |body| body.len() as u64),
        body_sha512: body.map_or(Vec::new(), |body| sha512(body).as_bytes().to_vec()),
        signature: Some(wire::Signature::default()),
        ..Head::default()
    }
}

async fn arrive_script(head: Head, frames: Vec<Frame>) -> Result<Arrived, ArrivalError> {
    let dir = tempfile::tempdir().unwrap();
    let intake = Intake { spool: dir.path().into(), body_bytes_max: 10, retention: Retention::Kept };
    arrive(&mut Script(frames.into()), head, intake).await
}

#[tokio::test]
async fn what_was_announced_arrives() {
    let arrived = arrive_script(head(Some(b"abcdef")), vec![chunk(b"abc"), chunk(b"def")]).await.unwrap();
    assert_eq!(arrived.parts().body, Some(sha512(b"abcdef")));
    let arrived = arrive_script(head(Some(b"")), vec![]).await.unwrap();
    assert_eq!(arrived.parts().body, Some(sha512(b"")));
    let arrived = arrive_script(head(None), vec![]).await.unwrap();
    assert_eq!(arrived.parts().body, None);
}

#[tokio::test]
async fn what_differs_from_the_announcement_is_refused() {
    type Check = fn(&ArrivalError) -> bool;
    let other_version = Head { protocol_version: 2, ..head(None) };
    let unsigned = Head { signature: None, ..head(None) };
    let body_and_none = Head { body_length: 1, ..head(None) };
    let digest_and_none = Head { body_sha512: vec![0; 64], ..head(None) };
    let short_digest = Head { body_sha512: vec![0; 63], ..head(Some(b"abc")) };
    let fault = Frame { kind: Some(Kind::Fault(Default::default())) };
    let cases: Vec<(&str, Head, Vec<Frame>, Check)> = vec![
        ("version", other_version, vec![], |e| matches!(e, ArrivalError::Head(_))),
        ("no signature", unsigned, vec![], |e| matches!(e, ArrivalError::Head(_))),
        ("length without body", body_and_none, vec![], |e| matches!(e, ArrivalError::Head(_))),
        ("digest without body", digest_and_none, vec![], |e| matches!(e, ArrivalError::Head(_))),
        ("digest of 63 bytes", short_digest, vec![chunk(b"abc")], |e| matches!(e, ArrivalError::Head(_))),
        ("over the limit", head(Some(b"12345678901")), vec![], |e| {
            matches!(e, ArrivalError::TooLarge { length: 11, limit: 10 })
        }),
        ("too short", head(Some(b"abc")), vec![chunk(b"ab")], |e| matches!(e, ArrivalError::Incomplete)),
        ("too long", head(Some(b"abc")), vec![chunk(b"abcd")], |e| {
            matches!(e, ArrivalError::OtherBody("length"))
        }),
        ("altered", head(Some(b"abc")), vec![chunk(b"abd")], |e| {
            matches!(e, ArrivalError::OtherBody("digest"))
        }),
        ("empty chunk", head(Some(b"abc")), vec![chunk(b""), chunk(b"abc")], |e| {
            matches!(e, ArrivalError::OutOfPlace)
        }),
        ("chunk after the end", head(Some(b"abc")), vec![chunk(b"abc"), chunk(b"d")], |e| {
            matches!(e, ArrivalError::OutOfPlace)
        }),
        ("chunk without body", head(None), vec![chunk(b"a")], |e| matches!(e, ArrivalError::OutOfPlace)),
        ("fault within", head(Some(b"abc")), vec![fault], |e| matches!(e, ArrivalError::OutOfPlace)),
    ];
    for (name, head, frames, check) in cases {
        let error = arrive_script(head, frames).await.unwrap_err();
        assert!(check(&error), "{name}: {error:?}");
    }
}

#[test]
fn headers_that_are_not_text_are_refused() {
    let mut headers = HeaderMap::new();
    headers.append("a", HeaderValue::from_static("1"));
    headers.append("b", HeaderValue::from_static("2"));
    headers.append("a", HeaderValue::from_bytes("ü".as_bytes()).unwrap());
    let text = text_headers(&headers).unwrap();
    assert_eq!(text.len(), 3);
    assert!(text.contains(&("a".into(), "ü".into())));
    headers.append("c", HeaderValue::from_bytes(b"\xff").unwrap());
    assert_eq!(text_headers(&headers), Err(HeaderNotText("c".to_owned())));
}
