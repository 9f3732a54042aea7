//! The load generator against a server of this test's own.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;

/// Answers each request by the next of `answers`, the last one again and again; then the connection ends.
fn server(answers: &'static [&'static str], exchanges_per_connection: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let (mut buffer, mut pending) = ([0; 4096], Vec::new());
                let mut sent = 0;
                while sent < exchanges_per_connection {
                    match stream.read(&mut buffer) {
                        Ok(0) | Err(_) => return,
                        Ok(count) => pending.extend_from_slice(&buffer[..count]),
                    }
                    while pending.ends_with(b"\r\n\r\n") {
                        pending.clear();
                        let answer = answers[sent.min(answers.len() - 1)];
                        if stream.write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                        sent += 1;
                    }
                }
            });
        }
    });
    address
}

const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

fn run(address: SocketAddr, pace: Pace) -> Outcome {
    let pairs = [Pair { path: "/a".to_owned(), client: "A".to_owned() }];
    let start = Instant::now();
    let job = Job {
        address,
        requests: Arc::new(Requests::new(&pairs, 0, 2)),
        connections: 2,
        pace,
        first: 100,
        begin: start,
        measure: start..start + Duration::from_millis(200),
        timeline: None,
    };
    perform(&job, &Stop::default()).unwrap()
}

#[test]
fn every_exchange_that_was_begun_is_answered_and_counted() {
    let outcome = run(server(&[GOOD], usize::MAX), Pace::Closed);
    assert_eq!((outcome.failed, outcome.first_failure), (0, None));
    assert_eq!(outcome.issued.start, 100);
    let issued = outcome.issued.end - outcome.issued.start;
    let counted = outcome.latency.count();
    assert!(counted > 0 && counted <= issued && issued <= counted + 2, "{counted} of {issued}");
}

#[test]
fn an_open_loop_makes_as_many_as_its_rate_says() {
    let outcome = run(server(&[GOOD], usize::MAX), Pace::Open(500.0));
    assert_eq!(outcome.failed, 0);
    let issued = outcome.issued.end - outcome.issued.start;
    assert_eq!((issued, outcome.latency.count()), (100, 100));
}

#[test]
fn what_is_not_the_backends_answer_is_a_failure() {
    for (answers, exchanges, reason) in [
        (&[GOOD, "HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\nno"][..], 9, "HTTP 500 with 2 bytes: no"),
        (&["HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{ }"], 9, "HTTP 200 with 3 bytes: { }"),
        (
            &["HTTP/1.1 200 OK\r\nx-road-error: x\r\ncontent-length: 2\r\n\r\n{}"],
            9,
            "HTTP 200 with 2 bytes: {}",
        ),
        (&[GOOD], 1, "the connection was closed instead of an answer"),
    ] {
        let outcome = run(server(answers, exchanges), Pace::Closed);
        assert!(outcome.failed > 0);
        assert_eq!(outcome.first_failure.as_deref(), Some(reason));
    }
}

#[test]
fn who_asks_to_stop_is_heard() {
    let pairs = [Pair { path: "/a".to_owned(), client: "A".to_owned() }];
    let start = Instant::now();
    let job = Job {
        address: server(&[GOOD], usize::MAX),
        requests: Arc::new(Requests::new(&pairs, 0, 2)),
        connections: 1,
        pace: Pace::Closed,
        first: 0,
        begin: start,
        measure: start..start + Duration::from_secs(3600),
        timeline: None,
    };
    let stop = Stop::default();
    stop.ask();
    assert!(matches!(perform(&job, &stop), Err(BenchError::Interrupted)));
}
