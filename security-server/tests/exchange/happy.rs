//! What works, on both carriers: the answers, and the records that they leave.

use std::io::Read;

use bytes::Bytes;
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_evidence::verify::{self, LogRecord};
use kogge_message_log::{Filter, Found, Reader};
use kogge_proto::digest::sha512;
use kogge_proto::wire::log::body::Place;
use kogge_proto::wire::log::not_kept::Why;
use kogge_security_server::{clock, log_key};
use kogge_signer::PinSource;

use crate::instance::{Agency, Instance, PERSONS, PORTAL, Running};
use crate::{assert_logged, call};

/// Whether an auditor believes every record of a log: signature, certificate, OCSP response, timestamp, body.
fn assert_proven(instance: &Instance, server: &Running) {
    let anchor = &instance.registry.anchor;
    let snapshot = VerifiedSnapshot::verify(instance.registry.snapshot(), anchor, clock::now()).unwrap();
    let reader = Reader::open(&server.log_dir).unwrap();
    let agency = server.log_dir.parent().unwrap();
    let pin = PinSource::File(agency.join("pin"));
    let key = log_key::open_file(&agency.join("token/log.key"), pin).unwrap();
    let reader = reader.with_log_key(key);
    let mut records = Vec::new();
    let collect = &mut |found| {
        records.push(found);
        true
    };
    reader.list(&Filter::default(), collect).unwrap();
    assert_eq!(records.len(), server.records().len());
    for found in records {
        let absent =
            |place: &Place| matches!(place, Place::NotKept(absent) if absent.why() != Why::Configuration);
        assert!(!found.record.body.iter().flat_map(|body| &body.place).any(absent), "{}", found.sequence);
        let body = found.record.body.as_ref().and_then(|body| match body.place.as_ref().unwrap() {
            Place::Inline(bytes) => Some(bytes.to_vec()),
            Place::File(_) => {
                let mut bytes = Vec::new();
                reader.open_body(&found).unwrap().unwrap().read_to_end(&mut bytes).unwrap();
                Some(bytes)
            }
            Place::NotKept(_) => None,
        });
        let record = LogRecord {
            sequence: found.sequence,
            time: found.time,
            record: &found.record,
            material: &found.material,
            stamp: found.stamp.as_deref(),
            body: body.map(|body| (sha512(&body), body.len() as u64)),
        };
        let verdict = verify::record(&record, &snapshot);
        assert!(verdict.report.passed(), "record {}:\n{}", found.sequence, verdict.report);
    }
    assert_eq!(reader.audit(&mut |_| {}).unwrap(), []);
}

async fn exchanges(transport: &'static str) {
    let (instance, consumer, provider) = Instance::with_two_servers(transport).await;

    let answer = call(&consumer, "GET", "/1?full=true&x=%20y", "").await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let told = answer.json();
    assert_eq!(told["target"], "/persons/1?full=true&x=%20y");
    assert_eq!(answer.header("x-road-client"), Some(PORTAL));
    assert_eq!(answer.header("x-road-service"), Some(PERSONS));
    assert!(answer.header("x-road-id").unwrap().starts_with("DEMO-"));
    assert_ne!(answer.header("x-road-request-hash"), Some("forged"));
    assert_eq!(answer.header("x-road-error"), None);
    assert_eq!(answer.headers.get_all("x-custom").iter().count(), 2);
    assert_eq!(answer.headers.get_all("x-road-request-hash").iter().count(), 1);

    let told = call(&consumer, "POST", "", r#"{"a":1}"#).await.json();
    assert_eq!((&told["method"], &told["body_length"]), (&"POST".into(), &7.into()));

    let body: Bytes = (0..5 * 1024 * 1024).map(|place: u32| (place % 251) as u8).collect();
    let answer = call(&consumer, "POST", "/echo", body.clone()).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body == body, "the body came back altered");

    let answer = call(&consumer, "GET", "/big", "").await;
    assert_eq!(answer.body.len(), 5 * 1024 * 1024 + 7);

    let answer = call(&consumer, "GET", "/missing", "").await;
    assert_eq!((answer.status.as_u16(), answer.header("x-road-error")), (404, None));
    assert_eq!(answer.body, "no such person");

    let answer = call(&consumer, "DELETE", "/empty", "signed but not forwarded").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));

    let answer = call(&consumer, "HEAD", "/1", "").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));

    assert_eq!(instance.register.calls(), 7);
    assert_logged(&consumer, &provider, 7);
    for server in [&consumer, &provider] {
        server.status_is("stamped", |status| status["unstamped"] == 0).await;
        assert_proven(&instance, server);
    }
    consumer.stop().await;
    provider.stop().await;
}

/// One side keeps bodies and the other does not: what each log holds follows its own configuration, and both are proven.
async fn bodies_not_kept(by: &Agency) {
    let instance = Instance::new("h2").await;
    for agency in [Agency::consumer(), Agency::provider()] {
        instance.prepare(&agency);
    }
    instance.reconfigure(by, |config| {
        let subsystem = format!("subsystem = \"{PORTAL}\"\n");
        let service = format!("id = \"{PERSONS}\"\n");
        config
            .replace(&subsystem, &format!("{subsystem}keep_bodies = false\n"))
            .replace(&service, &format!("{service}keep_bodies = false\n"))
    });
    let (instance, consumer, provider) = instance.start_two_servers().await;

    let body: Bytes = (0..5 * 1024 * 1024).map(|place: u32| (place % 251) as u8).collect();
    let answer = call(&consumer, "POST", "/echo", body.clone()).await;
    assert!(answer.body == body, "the body came back altered");
    assert_eq!(call(&consumer, "POST", "/echo", "small").await.body, "small");

    assert_logged(&consumer, &provider, 2);
    for (server, agency) in [(&consumer, Agency::consumer()), (&provider, Agency::provider())] {
        let kept = agency.server != by.server;
        let is_kept = |found: &Found| match &found.record.body.as_ref().unwrap().place {
            Some(Place::NotKept(absent)) => absent.why() == Why::Sealed,
            _ => true,
        };
        assert!(server.records().iter().all(|found| is_kept(found) == kept), "{}", agency.server);
        let files = |dir: &str| std::fs::read_dir(server.log_dir.join(dir)).unwrap().count();
        assert_eq!((files("bodies"), files("spool")), (if kept { 2 } else { 0 }, 0), "{}", agency.server);
        server.status_is("stamped", |status| status["unstamped"] == 0).await;
        assert_proven(&instance, server);
    }
    consumer.stop().await;
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_keeps_digests_only() {
    bodies_not_kept(&Agency::consumer()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_keeps_digests_only() {
    bodies_not_kept(&Agency::provider()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanges_by_quic() {
    exchanges("quic").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanges_by_http2() {
    exchanges("h2").await;
}

/// Both servers sign in batches, on one thread, so that what is sent at once waits at once. Each record stands alone.
#[tokio::test]
async fn exchanges_signed_in_batches() {
    let instance = Instance::new("h2").await;
    for agency in [Agency::consumer(), Agency::provider()] {
        instance.prepare(&agency);
        instance.reconfigure(&agency, |config| format!("signature = \"batch\"\n{config}"));
    }
    let (instance, consumer, provider) = instance.start_two_servers().await;
    let at_once = instance.exchanges_max();
    for _ in 0..4 {
        let calls = (0..at_once).map(|_| call(&consumer, "POST", "", r#"{"a":1}"#));
        for answer in futures_util::future::join_all(calls).await {
            assert_eq!(answer.status, 200, "{:?}", answer.body);
        }
    }
    let answer = call(&consumer, "GET", "/1", "").await;
    assert_eq!(answer.status, 200);
    for server in [&consumer, &provider] {
        assert_eq!(server.records().len(), 2 * (4 * at_once + 1));
        server.status_is("stamped", |status| status["unstamped"] == 0).await;
        assert_proven(&instance, server);
        let signatures = server.records().into_iter().map(|found| found.record.signature.unwrap());
        let (in_batch, alone): (Vec<_>, Vec<_>) = signatures.partition(|one| one.batch.is_some());
        assert!(!in_batch.is_empty(), "no batch has formed");
        assert!(!alone.is_empty(), "a message that came alone waited for others");
    }
    consumer.stop().await;
    provider.stop().await;
}
