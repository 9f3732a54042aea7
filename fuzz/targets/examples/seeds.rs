//! Makes the world and the first corpus out of what a demo has left: `cargo run -p kogge-fuzz-targets --example seeds -- DEMO_DIR`. The bundle's seed is written by
//! `kogge log bundle --dir DEMO_DIR/consumer/log --snapshot DEMO_DIR/evidence/snapshot --out fuzz/corpus/bundle/seed-demo`.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a development tool stops at the first surprise"
)]

use std::fs;
use std::path::{Path, PathBuf};

use kogge_evidence::evidence_record::EvidenceRecord;
use kogge_fuzz_targets::world::{XROAD_CONTAINER, entries};
use kogge_message_log::{Found, Reader};
use prost::Message;

fn main() {
    let demo = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "demo-data".to_owned()));
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let world = fuzz.join("world");
    let seed = |target: &str, name: &str, bytes: &[u8]| {
        let dir = fuzz.join("corpus").join(target);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(format!("seed-{name}")), bytes).unwrap();
    };
    let read = |path: &str| fs::read(demo.join(path)).unwrap();

    let (anchor, snapshot) = (read("anchor.toml"), read("evidence/snapshot"));
    fs::write(world.join("anchor.toml"), &anchor).unwrap();
    fs::write(world.join("snapshot"), &snapshot).unwrap();
    seed("anchor", "demo", &anchor);
    seed("snapshot", "demo", &snapshot);
    let (decisions, head) = (read("registry/journal/decisions"), read("registry/journal/head"));
    fs::write(world.join("journal-decisions"), &decisions).unwrap();
    fs::write(world.join("journal-head"), head).unwrap();
    seed("journal", "demo", &decisions);

    let response = read("evidence/consumer-demo-post-json-response.asice");
    fs::write(world.join("response.asice"), &response).unwrap();
    seed("container", "response", &response);
    let request = read("evidence/consumer-demo-get-request.asice");
    fs::write(world.join("request.asice"), &request).unwrap();
    seed("container", "request", &request);
    for (index, (name, content)) in entries(&response).into_iter().enumerate() {
        part(&seed, "container_part", index, &name, &content);
        match name.as_str() {
            "message.xml" => seed("message", "response", &content),
            "META-INF/signatures.xml" | "META-INF/manifest.xml" => {
                seed("canonical_xml", &file_name(&name), &content);
            }
            "META-INF/evidencerecord.ers" => {
                let token = EvidenceRecord::from_der(&content).unwrap().first.token;
                fs::write(world.join("token.tst"), &token).unwrap();
                seed("timestamp_token", "demo", &token);
                seed("evidence_record", "demo", &content);
            }
            _ => {}
        }
    }
    for (index, (name, content)) in entries(XROAD_CONTAINER).into_iter().enumerate() {
        part(&seed, "xroad_part", index, &name, &content);
    }
    seed("xroad_container", "batch", XROAD_CONTAINER);

    let found = records(&seed, &demo);
    signer(&seed, &world, &found);
    seed("certificate", "tsa-pem", &read("trust-services/tsa.pem"));

    let segment = read("consumer/log/segments/0000000001.log");
    let used = segment.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    seed("segment", "demo", &segment[..used]);
    seed("segment_entries", "demo", &segment[..used]);
    texts(&seed);
}

/// Every small record of the consumer's log, each with its material and stamp.
fn records(seed: &impl Fn(&str, &str, &[u8]), demo: &Path) -> Vec<Found> {
    let reader = Reader::open(&demo.join("consumer/log")).unwrap();
    let mut found = Vec::new();
    reader.audit(&mut |record| found.push(record)).unwrap();
    for record in found.iter().filter(|record| record.record.encoded_len() < 10_000) {
        let stamp = record.stamp.as_ref().map(|stamp| stamp.encode_to_vec()).unwrap_or_default();
        let pieces = [record.record.encode_to_vec(), record.material.encode_to_vec(), stamp];
        let framed: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| [&u16::try_from(piece.len()).unwrap().to_be_bytes()[..], piece].concat())
            .collect();
        seed("record", &record.sequence.to_string(), &framed);
    }
    found
}

/// The certificate that the world's container is signed with, and what was said of it.
fn signer(seed: &impl Fn(&str, &str, &[u8]), world: &Path, found: &[Found]) {
    // Of the response that the world's container is about.
    let signer = found.iter().find(|record| record.record.message_id == "demo-post-json").unwrap();
    let [certificate, ocsp] = der_items(&signer.material.items);
    fs::write(world.join("signer.der"), &certificate).unwrap();
    fs::write(world.join("signer.ocsp"), &ocsp).unwrap();
    seed("certificate", "signer", &certificate);
    seed("ocsp_response", "signer", &ocsp);
}

fn texts(seed: &impl Fn(&str, &str, &[u8])) {
    seed("identifier", "service", b"DEMO/GOV/1001/portal/persons%2Fall");
    seed("checkpoint", "short", b"DEMO/GOV/1001/SS1\n15\n703slXvj/nFHwD9z1miGZyViZ1ZbC2O+4EM10Du0iII=\n");
    let note = "DEMO/GOV/1001/SS1\n15\n703slXvj/nFHwD9z1miGZyViZ1ZbC2O+4EM10Du0iII=\n\n\u{2014} nobody AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    seed("note", "unsigned", note.as_bytes());
    seed("tile", "partial", &[b"tile/0/x001/067.p/1\n".as_slice(), &[7; 32]].concat());
    seed("frame", "end", &[0x22, 0x00]);
    let imprint = kogge_certs::timestamp::Imprint::Sha256(kogge_proto::digest::sha256(b""));
    seed("timestamp_request", "nonce", &kogge_certs::timestamp::request(&imprint, Some(7)));
    seed("timestamp_response", "refusal", &kogge_certs::timestamp::reject(2));
    seed("ocsp_request", "empty", &[0x30, 0x04, 0x30, 0x02, 0x30, 0x00]);
    let shared =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../evidence/tests/xroad/globalconf/DEV/shared-params.xml");
    seed("shared_params", "dev", &fs::read(shared).unwrap());
}

fn part(seed: &impl Fn(&str, &str, &[u8]), target: &str, index: usize, name: &str, content: &[u8]) {
    let mut bytes = vec![u8::try_from(index).unwrap()];
    bytes.extend_from_slice(content);
    seed(target, &file_name(name), &bytes);
}

fn file_name(entry: &str) -> String {
    entry.rsplit('/').next().unwrap_or_default().to_owned()
}

/// The certificate, which X.509 begins otherwise than an OCSP response.
fn der_items(items: &[bytes::Bytes]) -> [Vec<u8>; 2] {
    let is_certificate = |der: &[u8]| kogge_certs::certificate::Certificate::from_der(der).is_ok();
    let find = |wanted: bool| items.iter().find(|der| is_certificate(der) == wanted).unwrap().to_vec();
    [find(true), find(false)]
}
