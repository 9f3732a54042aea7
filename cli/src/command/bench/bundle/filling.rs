//! Writes a consumer's message log.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use kogge_evidence::evidence_record::batch_root;
use kogge_evidence::material::Material;
use kogge_evidence::signature::{Parts, ReadyCredential};
use kogge_evidence::xades;
use kogge_message_log::{Durability, MessageLog, NewBody, NewBodyPlace, NewMessage, Options};
use kogge_proto::digest::{Sha256, Sha512, sha512};
use kogge_proto::id::SecurityServerId;
use kogge_proto::limits::BATCH_LEAVES_MAX;
use kogge_proto::message::{RequestParts, ResponseParts, RestRequest, RestResponse, request_hash};
use kogge_proto::wire::log::{Direction, Role, StampLeaf, StampRecord};
use kogge_security_server::clock::now;

use super::instance::{Instance, member};

/// Writes so many exchanges with bodies of so many bytes, each record timestamped.
pub(super) fn fill(dir: &Path, instance: &Instance, exchanges: u32, body_bytes: usize) -> anyhow::Result<()> {
    let options = Options {
        server: SecurityServerId::new(member(0)?, "ss0")?,
        segment_bytes: 128 * 1024 * 1024,
        index_cache_bytes: 16 * 1024 * 1024,
        replay_window: Duration::from_secs(3600),
        log_key: None,
        clock: now,
    };
    let (log, _) = MessageLog::open(dir, options)?;
    let mut filling = Filling { log, instance, leaves: Vec::new() };
    let mut credentials = Vec::new();
    for number in 0..exchanges {
        // Each minute of a real day has some; here they are renewed as often as a busy log would see new ones.
        if number % EXCHANGES_PER_RESPONSE == 0 {
            let all = (0..instance.members()).map(|number| instance.credential(number));
            credentials = all.collect::<anyhow::Result<_>>()?;
        }
        filling.exchange(number, &credentials, body_bytes)?;
    }
    filling.stamp()?;
    filling.log.close();
    Ok(())
}

struct Filling<'a> {
    log: MessageLog,
    instance: &'a Instance,
    /// Of records without a timestamp.
    leaves: Vec<(u64, Sha256)>,
}

impl Filling<'_> {
    fn exchange(
        &mut self,
        number: u32,
        credentials: &[ReadyCredential],
        body_bytes: usize,
    ) -> anyhow::Result<()> {
        let provider = 1 + number as usize % (credentials.len() - 1);
        let [asks, answers] = [0, provider].map(|at| credentials.get(at).context("there is no such member"));
        let service = format!("{}/register/service-{}", member(provider)?, number % 3);
        let request = RestRequest::build(RequestParts {
            method: "POST",
            target: &format!("/r1/{service}/persons/{number}"),
            headers: vec![
                ("X-Road-Client".into(), format!("{}/register", member(0)?).into()),
                ("Content-Type".into(), "application/json".into()),
            ],
            request_id: &format!("5b4b0ba2-7b28-4b0c-9d32-{number:012x}"),
            fallback_message_id: &format!("7c4b0ba2-7b28-4b0c-9d32-{number:012x}"),
        })?;
        let [question, answer] = [0, 1].map(|side| body(number, side, body_bytes));
        let hash = request_hash(&sha512(request.bytes()), Some(&sha512(&question)));
        let headers = vec![("Content-Type".into(), "application/json".into())];
        let response = RestResponse::build(
            &request,
            ResponseParts { status: 200, reason: "OK", headers, request_hash: &hash },
        )?;
        self.append(Direction::Request, request.bytes(), &request, &question, asks?)?;
        self.append(Direction::Response, response.bytes(), &request, &answer, answers?)?;
        if self.leaves.len() + 2 > BATCH_LEAVES_MAX {
            self.stamp()?;
        }
        Ok(())
    }

    fn append(
        &mut self,
        direction: Direction,
        message: &Bytes,
        request: &RestRequest,
        body: &Bytes,
        credential: &ReadyCredential,
    ) -> anyhow::Result<()> {
        let parts = Parts { message: sha512(message), body: Some(sha512(body)) };
        let signed = credential.sign(&parts, now())?;
        let leaf = xades::leaf(&signed.signature, &parts, &Material::new(&signed.material)?)?;
        let new = NewMessage {
            role: Role::Consumer,
            direction,
            message_id: request.message_id().to_owned(),
            request_id: request.request_id().to_owned(),
            client: request.client().to_string(),
            service: request.service().to_string(),
            peer_server: format!("{}/ss0", request.service().subsystem().member()),
            message: message.clone(),
            body: Some(new_body(body, &parts)),
            signature: signed.signature,
            material: signed.material,
            subject: None,
            follows: None,
        };
        let (tell, told) = mpsc::channel();
        let acknowledge = Box::new(move |outcome| drop(tell.send(outcome)));
        self.log.append(new, Durability::WithNext, acknowledge);
        self.leaves.push((told.recv()??.sequence, leaf));
        Ok(())
    }

    /// One token over all records that have none.
    fn stamp(&mut self) -> anyhow::Result<()> {
        let leaves = std::mem::take(&mut self.leaves);
        if leaves.is_empty() {
            return Ok(());
        }
        let digests: Vec<Sha256> = leaves.iter().map(|(_, digest)| *digest).collect();
        let previous = self.log.last_root();
        let Some(root) = batch_root(previous, &digests) else { return Ok(()) };
        let leaf = |(sequence, digest): (u64, Sha256)| StampLeaf { sequence, sha256: digest.0.to_vec() };
        let stamp = StampRecord {
            token: self.instance.token(root)?,
            leaves: leaves.into_iter().map(leaf).collect(),
            previous_root: previous.map_or_else(Vec::new, |root| root.0.to_vec()),
            root: root.0.to_vec(),
            ..StampRecord::default()
        };
        let (tell, told) = mpsc::channel();
        self.log.append_stamp(stamp, Box::new(move |outcome| drop(tell.send(outcome))));
        told.recv()??;
        Ok(())
    }
}

fn new_body(body: &Bytes, parts: &Parts) -> NewBody {
    let sha512 = parts.body.unwrap_or(Sha512([0; 64]));
    NewBody { length: body.len() as u64, sha512, place: NewBodyPlace::Inline(body.clone()) }
}

/// JSON of about so many bytes, another for each message.
fn body(number: u32, side: u32, bytes: usize) -> Bytes {
    let head = format!("{{\"number\":{number},\"side\":{side},\"text\":\"");
    let rest = bytes.saturating_sub(head.len() + 2);
    format!("{head}{}\"}}", "x".repeat(rest)).into()
}

/// With 20 members one response for each 500 of their signatures.
const EXCHANGES_PER_RESPONSE: u32 = 10_000;
