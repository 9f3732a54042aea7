//! What an exchange costs on disk beyond what was exchanged.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod fixture;

use bytes::Bytes;
use fixture::*;
use kogge_message_log::{NewBody, NewBodyPlace, NewMessage};
use kogge_proto::digest::{sha256, sha512};
use kogge_proto::wire::log::{Direction, Role};

/// Most bytes for an exchange and server, signed with P-256: two records and their share of the stamp.
const BYTES_MAX: usize = 550;

/// An id like those that Kogge makes itself.
fn uuid(number: u32) -> String {
    let hash = sha256(&number.to_be_bytes()).to_string();
    format!("{}-{}-4{}-8{}-{}", &hash[..8], &hash[8..12], &hash[12..15], &hash[15..18], &hash[18..30])
}

/// A record of an exchange between one of 100 clients and one of 100 services.
fn record(number: u32, direction: Direction) -> NewMessage {
    let body = Bytes::from(vec![b'x'; 1024]);
    let body = NewBody { length: 1024, sha512: sha512(&body), place: NewBodyPlace::Inline(body) };
    NewMessage {
        message_id: format!("DEMO-{}", uuid(number)),
        request_id: uuid(number + 1_000_000),
        client: format!("DEMO/GOV/10000002/client-{}", number % 100),
        service: format!("DEMO/GOV/10000001/population/persons-{}", number / 7 % 100),
        peer_server: "DEMO/GOV/10000002/server".to_owned(),
        message: Bytes::from(vec![b'm'; 300]),
        body: (direction == Direction::Response).then_some(body),
        ..message(number, Role::Provider, direction)
    }
}

#[test]
fn an_exchange_adds_few_bytes_to_what_was_exchanged() {
    const EXCHANGES: u32 = 4000;
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut payload = 0;
    let (tell, told) = std::sync::mpsc::channel();
    for number in 0..EXCHANGES {
        for direction in [Direction::Request, Direction::Response] {
            let record = record(number, direction);
            payload += record.message.len() + record.body.as_ref().map_or(0, |body| body.length as usize);
            let tell = tell.clone();
            let durability = kogge_message_log::Durability::Now;
            log.append(record, durability, Box::new(move |outcome| tell.send(outcome).unwrap()));
            if number % 50 == 49 {
                while log.unstamped_count() < 2 * (number as usize % 1000) {
                    std::thread::yield_now();
                }
            }
        }
        if number % 1000 == 999 {
            for _ in 0..2000 {
                told.recv().unwrap().unwrap();
            }
            append_stamp(&log, stamp(&log, &log.unstamped(2000))).unwrap();
        }
    }
    log.close();
    let bytes = content_end(&last_segment(dir.path()));
    let each = (bytes - payload) / EXCHANGES as usize;
    eprintln!("{each} bytes for an exchange beyond {} of payload", payload / EXCHANGES as usize);
    assert!(each <= BYTES_MAX, "{each}");
    let found = assert_sound(dir.path());
    assert_eq!(found.len(), 2 * EXCHANGES as usize);
    let expected = record(EXCHANGES - 1, Direction::Response);
    let last = &found.last().unwrap().record;
    assert_eq!((&last.client, &last.service), (&expected.client, &expected.service));
    assert_eq!((&last.message_id, &last.request_id), (&expected.message_id, &expected.request_id));
    assert_eq!(last.peer_server, expected.peer_server);
    assert_eq!(last.signature, Some(expected.signature));
    assert_eq!(last.body.as_ref().unwrap().sha512, expected.body.unwrap().sha512.as_bytes());
}
