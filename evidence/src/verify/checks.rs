//! The checks of a message and its signature, in the order in which they are reported.

use kogge_certs::certificate::Certificate;
use kogge_certs::key::{KeyKind, SignatureScheme};
use kogge_certs::path::{PathError, VerifiedPath};
use kogge_certs::profile::{self, Profile};
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_proto::digest::{Sha512, sha512};
use kogge_proto::id::MemberId;
use kogge_proto::limits::EXCHANGE_TIME_MAX;
use kogge_proto::message::AnyMessage;
use kogge_proto::time::UnixMillis;

use super::Statement;
use super::document::{self, EXCLUSIVE_C14N, Reference, SignatureDocument};
use super::finding::{Finding, Flaw, depend, need, settle, wrong};
use super::hash_chain::{self, ChainFiles, HashChain};
use super::known::Known;
use super::stamp::{self, Stamp};
use super::walk::Digest;
use crate::report::Report;

/// What is to be checked, from a container or a log record; parts that could not be read carry the reason.
pub(super) struct Evidence<'a> {
    /// The message part.
    pub(super) message: Result<&'a [u8], Flaw>,
    /// Digest of the body part; `None` if there is none.
    pub(super) body: Option<Result<BodyDigest, Flaw>>,
    /// The signature document.
    pub(super) signatures: Result<&'a [u8], Flaw>,
    /// Result and chain of a batch signature; `None` if there is neither.
    pub(super) hash_chain: Option<ChainFiles<&'a [u8]>>,
    /// The timestamp.
    pub(super) stamp: Result<Stamp<'a>, Flaw>,
}

/// What is known of a body.
#[derive(Clone, Copy, Debug)]
pub(super) enum BodyDigest {
    /// Computed from the body itself.
    Computed(Sha512),
    /// As the record has it: the body was not kept.
    Recorded(Sha512),
}

/// What the checks leave for others.
#[derive(Default)]
pub(super) struct Judged {
    /// What was read.
    pub(super) statement: Statement,
    /// The message, if it is one.
    pub(super) message: Option<AnyMessage>,
    /// The signature document, if it has the expected structure.
    pub(super) document: Option<SignatureDocument>,
    /// The hash chain of a batch signature, if it leads to the signed result.
    pub(super) hash_chain: Option<HashChain>,
}

/// Makes every check that does not depend on what stands around the evidence.
pub(super) fn judge(
    evidence: &Evidence<'_>,
    snapshot: &VerifiedSnapshot,
    known: &mut Known,
    report: &mut Report,
) -> Judged {
    let message = settle(report, "message.parse", parse_message(&evidence.message));
    let document = settle(report, "signature.xml", parse_document(&evidence.signatures));

    let references =
        settle(report, "signature.references", references(document.as_ref(), evidence.body.is_some()));
    let chained = settle(report, "signature.hash_chain", chained(evidence, references.as_ref()));
    let parts = chained.as_ref().map(|chained| &chained.parts);
    settle(report, "signature.digest.message", message_digest(&evidence.message, parts));
    settle(report, "signature.digest.attachment", body_digest(evidence.body.as_ref(), parts));
    settle(report, "signature.signed_properties", signed_properties(document.as_ref(), references.as_ref()));

    let certificate = settle(report, "signature.certificate", certificate(document.as_ref(), known));
    settle(report, "signature.value", value(document.as_ref(), certificate.as_ref()));
    settle(report, "signer.usage", usage(certificate.as_ref()));
    let path =
        settle(report, "signer.path", signer_path(document.as_ref(), certificate.as_ref(), snapshot, known));
    let signer = settle(report, "signer.member", signer(certificate.as_ref(), message.as_ref(), known));
    settle(report, "ocsp.response", ocsp_response(document.as_ref(), path.as_ref(), snapshot, known));

    let signing_time = document.as_ref().map(|document| document.signing_time);
    let timestamp = stamp::judge(&evidence.stamp, &evidence.signatures, signing_time, snapshot, report);
    settle(report, "registry.instance", instance(message.as_ref(), snapshot));
    settle(report, "registry.time", registry_time(signing_time, snapshot));
    Judged {
        statement: Statement {
            certificate: certificate.as_ref().map(Certificate::subject),
            ..statement(message.as_ref(), signer, signing_time, timestamp)
        },
        message,
        document,
        hash_chain: chained.and_then(|chained| chained.chain),
    }
}

fn statement(
    message: Option<&AnyMessage>,
    signer: Option<MemberId>,
    signing_time: Option<UnixMillis>,
    timestamp: Option<UnixMillis>,
) -> Statement {
    let (kind, client, service) = match message {
        Some(AnyMessage::Request(request)) => {
            (Some("request"), Some(request.client()), Some(request.service()))
        }
        Some(AnyMessage::Response(response)) => {
            (Some("response"), Some(response.client()), Some(response.service()))
        }
        None => (None, None, None),
    };
    Statement {
        kind,
        client: client.map(ToString::to_string),
        service: service.map(ToString::to_string),
        message_id: message.map(|message| message.message_id().to_owned()),
        signer,
        signing_time,
        timestamp,
        ..Statement::default()
    }
}

fn parse_message(bytes: &Result<&[u8], Flaw>) -> Finding<AnyMessage> {
    let bytes = bytes.as_ref().map_err(Clone::clone)?;
    let message = AnyMessage::parse(bytes).map_err(wrong)?;
    let words = match &message {
        AnyMessage::Request(request) => format!("a request of {} to {}", request.client(), request.service()),
        AnyMessage::Response(response) => {
            format!("a response of {} to {}", response.service(), response.client())
        }
    };
    Ok((message, words))
}

fn parse_document(bytes: &Result<&[u8], Flaw>) -> Finding<SignatureDocument> {
    let bytes = bytes.as_ref().map_err(Clone::clone)?;
    let document = document::read(bytes).map_err(wrong)?;
    Ok((document, "one signature of the expected structure".to_owned()))
}

/// The digests of the references, by what they are about.
struct References {
    subject: Subject,
    signed_properties: Vec<u8>,
}

/// What the signature is about, beside its own properties.
enum Subject {
    /// The parts of one message.
    Parts(PartDigests),
    /// The result of a hash chain: the messages of a batch.
    HashChainResult(Vec<u8>),
}

/// The signed digests of the parts.
#[derive(Clone)]
struct PartDigests {
    message: Vec<u8>,
    body: Option<Vec<u8>>,
}

/// The signature is about exactly the message and the body if there is one, or about exactly the result of a hash chain; and about its own
/// signed properties. Each digest is over the file itself, not over something that a transform makes of it.
fn references(document: Option<&SignatureDocument>, has_body: bool) -> Finding<References> {
    let document = need(document, "signature.xml")?;
    let mut rest = document.references.iter();
    let mut next = |what: &str| rest.next().ok_or_else(|| wrong(format!("there is no reference to {what}")));
    let first = next(MESSAGE_URI)?;
    let (subject, files, words) = if first.uri == HASH_CHAIN_RESULT_URI {
        let result = file_digest(first, HASH_CHAIN_RESULT_URI)?;
        (Subject::HashChainResult(result), 1, "exactly the result of a hash chain and signed properties")
    } else {
        let message = file_digest(first, MESSAGE_URI)?;
        let body = has_body
            .then(|| next(BODY_URI).and_then(|reference| file_digest(reference, BODY_URI)))
            .transpose()?;
        let words = if has_body {
            "exactly message, body and signed properties"
        } else {
            "exactly message and signed properties"
        };
        (Subject::Parts(PartDigests { message, body }), 1 + usize::from(has_body), words)
    };
    let signed_properties = signed_properties_digest(next("the signed properties")?, document)?;
    if let Some(more) = rest.next() {
        return Err(wrong(format!("there is a reference to {:?} too many", more.uri)));
    }
    let files = document.references.iter().take(files);
    if !files.map(|reference| reference.id.as_ref()).eq(document.formats.iter().map(Some)) {
        return Err(wrong("the data object formats are not about the signed files, in their order"));
    }
    Ok((References { subject, signed_properties }, words.to_owned()))
}

/// The signed digests of the parts, with the chain that leads from them to the signature if there is one.
struct Chained {
    parts: PartDigests,
    chain: Option<HashChain>,
}

/// A signature about a hash chain's result has that chain, and it is about exactly the parts; another one has none.
fn chained(evidence: &Evidence<'_>, references: Option<&References>) -> Finding<Chained> {
    let references = need(references, "signature.references")?;
    match (&references.subject, &evidence.hash_chain) {
        (Subject::Parts(parts), None) => {
            let chained = Chained { parts: parts.clone(), chain: None };
            Ok((chained, "the signature is about this message alone".to_owned()))
        }
        (Subject::Parts(_), Some(_)) => Err(wrong("there is a hash chain that the signature is not about")),
        (Subject::HashChainResult(_), None) => {
            Err(wrong("there is no hash chain that leads to what was signed"))
        }
        (Subject::HashChainResult(digest), Some(files)) => follow(files, digest, evidence.body.is_some()),
    }
}

/// The way from the parts to the signed result.
fn follow(files: &ChainFiles<&[u8]>, signed: &[u8], has_body: bool) -> Finding<Chained> {
    let result = files.result.as_ref().map_err(Clone::clone)?;
    let chain = files.chain.as_ref().map_err(Clone::clone)?;
    if sha512(result).as_bytes() != signed {
        return Err(wrong("the result of the hash chain is not what was signed"));
    }
    let chain = hash_chain::read(result, chain).map_err(wrong)?;
    let parts = chained_parts(&chain, has_body)?;
    let words = format!("{} steps lead from the parts to the signed result of a batch", chain.steps().len());
    Ok((Chained { parts, chain: Some(chain) }, words))
}

fn chained_parts(chain: &HashChain, has_body: bool) -> Result<PartDigests, Flaw> {
    let mut rest = chain.data();
    let mut next = |uri: &str| {
        let data = rest.next().filter(|data| data.uri == uri);
        let data = data.ok_or_else(|| wrong(format!("the hash chain is not about {uri} at its place")))?;
        sha512_value(uri, &data.digest)
    };
    let message = next(MESSAGE_URI)?;
    let body = has_body.then(|| next(BODY_URI)).transpose()?;
    match rest.next() {
        None => Ok(PartDigests { message, body }),
        Some(more) => Err(wrong(format!("the hash chain is about {:?} as well", more.uri))),
    }
}

fn file_digest(reference: &Reference, uri: &str) -> Result<Vec<u8>, Flaw> {
    if reference.uri != uri {
        return Err(wrong(format!("the reference to {uri} is about {:?}", reference.uri)));
    }
    if reference.kind.is_some() || !reference.transforms.is_empty() {
        return Err(wrong(format!("the reference to {uri} has a type or transforms")));
    }
    sha512_value(&reference.uri, &reference.digest)
}

fn signed_properties_digest(reference: &Reference, document: &SignatureDocument) -> Result<Vec<u8>, Flaw> {
    if reference.uri.strip_prefix('#') != Some(&document.signed_properties_id)
        || reference.kind.as_deref() != Some(SIGNED_PROPERTIES_TYPE)
        || reference.transforms != [EXCLUSIVE_C14N]
    {
        return Err(wrong("the last reference is not to the signed properties in exclusive canonical form"));
    }
    sha512_value(&reference.uri, &reference.digest)
}

fn sha512_value(uri: &str, digest: &Digest) -> Result<Vec<u8>, Flaw> {
    if digest.method == SHA512 && digest.value.len() == Sha512::LEN {
        Ok(digest.value.clone())
    } else {
        Err(wrong(format!("the digest of {uri:?} is not SHA-512")))
    }
}

fn message_digest(message: &Result<&[u8], Flaw>, parts: Option<&PartDigests>) -> Finding<()> {
    let parts = need(parts, "signature.hash_chain")?;
    let message = depend(message)?;
    compare(&sha512(message), &parts.message, "the message")
}

fn body_digest(body: Option<&Result<BodyDigest, Flaw>>, parts: Option<&PartDigests>) -> Finding<()> {
    let parts = need(parts, "signature.hash_chain")?;
    match (body, &parts.body) {
        (Some(body), Some(signed)) => match body.as_ref().map_err(Clone::clone)? {
            BodyDigest::Computed(digest) => compare(digest, signed, "the body"),
            BodyDigest::Recorded(digest) => {
                let ((), reason) = compare(digest, signed, "the body that the record has")?;
                Ok(((), format!("{reason}; the body itself was not kept")))
            }
        },
        (None, None) => Ok(((), "the message has no body".to_owned())),
        (Some(_), None) | (None, Some(_)) => {
            Err(wrong("the signature and the message differ in having a body"))
        }
    }
}

fn signed_properties(document: Option<&SignatureDocument>, references: Option<&References>) -> Finding<()> {
    let document = need(document, "signature.xml")?;
    let references = need(references, "signature.references")?;
    compare(&sha512(&document.signed_properties), &references.signed_properties, "the signed properties")
}

fn compare(found: &Sha512, signed: &[u8], what: &str) -> Finding<()> {
    if found.as_bytes() == signed {
        Ok(((), format!("the digest of {what} is the signed one")))
    } else {
        Err(wrong(format!("{what} is not what was signed")))
    }
}

fn certificate(document: Option<&SignatureDocument>, known: &mut Known) -> Finding<Certificate> {
    let document = need(document, "signature.xml")?;
    let certificate = known.certificate(&document.certificate).map_err(wrong)?;
    let signed = &document.certificate_digest;
    if signed.method != SHA256 || signed.value != certificate.sha256().as_bytes() {
        return Err(wrong("the certificate in KeyInfo is not the one in the signed properties"));
    }
    let words = format!("signed with the certificate of {}", known.owner(&certificate).subject);
    Ok((certificate, words))
}

fn value(document: Option<&SignatureDocument>, certificate: Option<&Certificate>) -> Finding<()> {
    let document = need(document, "signature.xml")?;
    let certificate = need(certificate, "signature.certificate")?;
    let key = certificate.public_key();
    let method = document.method.as_str();
    let scheme = match (key.kind(), method) {
        (KeyKind::EcdsaP256, ECDSA_SHA256) => SignatureScheme::EcdsaP256Sha256Fixed,
        (KeyKind::Rsa(_), RSA_SHA512) => SignatureScheme::RsaPkcs1Sha512,
        (KeyKind::Rsa(_), RSA_PSS_SHA512) => SignatureScheme::RsaPssSha512,
        (KeyKind::Ed25519, ED25519) => SignatureScheme::Ed25519,
        (KeyKind::EcdsaP384, _) => return Err(wrong("messages are not signed with P-384 keys")),
        (KeyKind::EcdsaP256 | KeyKind::Rsa(_) | KeyKind::Ed25519, _) => {
            return Err(wrong(format!("the method {method:?} does not fit the certificate's key")));
        }
    };
    key.verify(scheme, &document.signed_info, &document.value).map_err(wrong)?;
    Ok(((), format!("{} by the certificate's key", method.rsplit('#').next().unwrap_or(method))))
}

fn usage(certificate: Option<&Certificate>) -> Finding<()> {
    let certificate = need(certificate, "signature.certificate")?;
    profile::check(certificate, Profile::Signing).map_err(wrong)?;
    Ok(((), "a signing certificate".to_owned()))
}

fn signer_path(
    document: Option<&SignatureDocument>,
    certificate: Option<&Certificate>,
    snapshot: &VerifiedSnapshot,
    known: &mut Known,
) -> Finding<VerifiedPath> {
    let document = need(document, "signature.xml")?;
    let certificate = need(certificate, "signature.certificate")?;
    let issuers = document.issuers.iter().map(|der| known.certificate(der));
    let issuers: Vec<Certificate> = issuers.collect::<Result<_, _>>().map_err(wrong)?;
    let time = document.signing_time;
    let path = known.path(certificate, &issuers, snapshot, time).map_err(|error| match error {
        PathError::Profile(_) => Flaw::Missing("not checked: signer.usage failed".to_owned()),
        other => wrong(other),
    })?;
    let words = format!("issued under the approved CA {} and valid at {time}", path.ca().name);
    Ok((path, words))
}

fn signer(
    certificate: Option<&Certificate>,
    message: Option<&AnyMessage>,
    known: &mut Known,
) -> Finding<MemberId> {
    let certificate = need(certificate, "signature.certificate")?;
    let found = known.owner(certificate).member.clone().map_err(wrong)?;
    let expected = need(message, "message.parse")?.signer_member();
    if found == *expected {
        let words = found.to_string();
        Ok((found, words))
    } else {
        Err(wrong(format!("signed by {found}, but {expected} must have signed")))
    }
}

fn ocsp_response(
    document: Option<&SignatureDocument>,
    path: Option<&VerifiedPath>,
    snapshot: &VerifiedSnapshot,
    known: &mut Known,
) -> Finding<()> {
    let document = need(document, "signature.xml")?;
    let path = need(path, "signer.path")?;
    let freshness = snapshot.policy().freshness();
    let status = known.answer(&document.ocsp, path, freshness, document.signing_time).map_err(wrong)?;
    Ok(((), format!("the certificate was good at {}", status.this_update)))
}

fn instance(message: Option<&AnyMessage>, snapshot: &VerifiedSnapshot) -> Finding<()> {
    let (client, service) = match need(message, "message.parse")? {
        AnyMessage::Request(request) => (request.client(), request.service()),
        AnyMessage::Response(response) => (response.client(), response.service()),
    };
    let instance = snapshot.instance();
    for found in [client.member().instance(), service.subsystem().member().instance()] {
        if found != instance {
            return Err(wrong(format!("the message is of the instance {found}, the snapshot of {instance}")));
        }
    }
    Ok(((), format!("{instance}, by snapshot {} of {}", snapshot.version(), snapshot.issued())))
}

/// The snapshot speaks of the time of the signature. One that had expired by then may still approve what the registry has dropped
/// since; a later one is good, for it approves what is approved even now.
pub(super) fn registry_time(signing_time: Option<UnixMillis>, snapshot: &VerifiedSnapshot) -> Finding<()> {
    let signed = *need(signing_time.as_ref(), "signature.xml")?;
    let expires = snapshot.expires();
    // An exchange is judged by the snapshot of its beginning, and its answer is signed at its end.
    if signed >= expires.plus(EXCHANGE_TIME_MAX).plus(snapshot.policy().clock_skew) {
        return Err(Flaw::Missing(format!(
            "signed at {signed}, when the snapshot had expired at {expires}: take one of that time or later"
        )));
    }
    Ok(((), format!("signed before the snapshot expired at {expires}")))
}

// The verifier has its own names: a mistake in the template's must not vouch for itself.
const MESSAGE_URI: &str = "/message.xml";
const BODY_URI: &str = "/attachment1";
const HASH_CHAIN_RESULT_URI: &str = "/sig-hashchainresult.xml";
const SIGNED_PROPERTIES_TYPE: &str = "http://uri.etsi.org/01903#SignedProperties";
const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";
const SHA512: &str = "http://www.w3.org/2001/04/xmlenc#sha512";
const ECDSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256";
const RSA_SHA512: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512";
const RSA_PSS_SHA512: &str = "http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1";
const ED25519: &str = "http://www.w3.org/2021/04/xmldsig-more#eddsa-ed25519";
