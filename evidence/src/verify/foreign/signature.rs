//! What the signature is about, that everything is signed, and that it is made by the certificate's key.

use std::collections::{BTreeMap, BTreeSet};

use kogge_certs::certificate::Certificate;
use kogge_certs::key::{KeyKind, SignatureScheme};

use super::archive::Archive;
use super::document::{Reference, SignatureDocument, declaration};
use super::form::Form;
use super::names::{self, HASH_CHAIN, HASH_CHAIN_RESULT, MESSAGE, is_attachment};
use super::{digest_is, method_of};
use crate::report::Report;
use crate::verify::finding::{Finding, Flaw, need, settle, wrong};
use crate::verify::hash_chain;
use crate::verify::walk::Digest;

/// What the checks of a signature leave.
pub(super) struct Signed {
    /// The certificate that was signed with.
    pub(super) certificate: Option<Certificate>,
    /// The files that it is about.
    pub(super) covered: Option<BTreeSet<String>>,
}

/// Makes the checks of the signature.
pub(super) fn judge(
    archive: &Archive,
    form: Form,
    document: Option<&SignatureDocument>,
    report: &mut Report,
) -> Signed {
    let references = settle(report, "signature.references", references(document, form));
    let covered = match form {
        Form::Message => {
            let parts = settle(report, "signature.hash_chain", parts(archive, references.as_ref()));
            settle(report, "signature.digest.message", message_digest(archive, parts.as_ref()));
            settle(report, "signature.digest.attachment", attachment_digests(archive, parts.as_ref()));
            parts.map(|parts| parts.attachments.into_keys().chain([MESSAGE.to_owned()]).collect())
        }
        Form::Extended | Form::Simple => {
            report.not_applicable("signature.hash_chain", "only signatures of messages have one");
            settle(report, "signature.digest.files", file_digests(archive, references.as_ref()));
            references.as_ref().map(References::file_names)
        }
    };
    settle(report, "signature.signed_properties", signed_properties(document, references.as_ref()));
    let certificate = settle(report, "signature.certificate", certificate(document));
    settle(report, "signature.value", value(document, certificate.as_ref()));
    Signed { certificate, covered }
}

/// What the references are about.
struct References<'d> {
    subject: Subject<'d>,
    signed_properties: &'d Reference,
}

enum Subject<'d> {
    /// Files, by name.
    Files(BTreeMap<String, &'d Digest>),
    /// The result of a hash chain.
    HashChainResult(&'d Digest),
}

impl References<'_> {
    fn file_names(&self) -> BTreeSet<String> {
        match &self.subject {
            Subject::Files(files) => files.keys().cloned().collect(),
            Subject::HashChainResult(_) => BTreeSet::new(),
        }
    }
}

/// The references are to the signed properties and to files, each once and as it is. Of a message: to the message and attachments, or to the
/// result of a hash chain.
fn references(document: Option<&SignatureDocument>, form: Form) -> Finding<References<'_>> {
    let document = need(document, "signature.xml")?;
    let own = format!("#{}", document.signed.id);
    let (properties, files): (Vec<_>, Vec<_>) =
        document.references.iter().partition(|reference| reference.uri == own);
    let [signed_properties] = properties[..] else {
        return Err(wrong("there is not one reference to the signed properties"));
    };
    if signed_properties.kind.as_deref() != Some(SIGNED_PROPERTIES_TYPE) {
        return Err(wrong("the reference to the signed properties is of another type"));
    }
    let mut by_name = BTreeMap::new();
    for reference in &files {
        let name = file_name(reference, form)?;
        if by_name.insert(name.clone(), &reference.digest).is_some() {
            return Err(wrong(format!("there are two references to {name}")));
        }
    }
    let is_of_file = |id: &String| files.iter().any(|reference| reference.id.as_ref() == Some(id));
    if !document.signed.formats.iter().all(is_of_file) {
        return Err(wrong("a data object format is about no signed file"));
    }
    let subject = subject(by_name, form)?;
    let words = match &subject {
        Subject::HashChainResult(_) => "the result of a hash chain".to_owned(),
        Subject::Files(files) => files.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
    };
    Ok((References { subject, signed_properties }, format!("exactly {words} and signed properties")))
}

fn subject(mut by_name: BTreeMap<String, &Digest>, form: Form) -> Result<Subject<'_>, Flaw> {
    if form != Form::Message {
        return if by_name.is_empty() {
            Err(wrong("the signature is about no file"))
        } else {
            Ok(Subject::Files(by_name))
        };
    }
    match by_name.remove(HASH_CHAIN_RESULT) {
        Some(result) if by_name.is_empty() => Ok(Subject::HashChainResult(result)),
        Some(_) => Err(wrong("there are references to a hash chain and to files beside it")),
        None if by_name.contains_key(MESSAGE) => Ok(Subject::Files(by_name)),
        None => Err(wrong(format!("there is no reference to {MESSAGE}"))),
    }
}

/// The file that a reference is about, as it is. X-Road's names begin with a slash, others' are relative.
fn file_name(reference: &Reference, form: Form) -> Result<String, Flaw> {
    let name = match form {
        Form::Message => reference.uri.strip_prefix('/').map(str::to_owned),
        Form::Extended | Form::Simple => names::of_uri(&reference.uri),
    };
    let name = name.filter(|name| form.can_be_signed(name));
    let name = name.ok_or_else(|| wrong(format!("there is a reference to {:?}", reference.uri)))?;
    if reference.kind.is_some() || reference.transform.is_some() {
        return Err(wrong(format!("the reference to {name} has a type or transforms")));
    }
    Ok(name)
}

/// Every file that was signed is there, and is what was signed.
fn file_digests(archive: &Archive, references: Option<&References<'_>>) -> Finding<()> {
    let Subject::Files(files) = &need(references, "signature.references")?.subject else {
        return Err(wrong("the signature is about a hash chain"));
    };
    for (name, signed) in files {
        let found = archive.digest(name, method_of(name, signed)?);
        if found.ok_or_else(|| wrong(format!("signed, and not there: {name}")))?? != signed.value {
            return Err(wrong(format!("{name} is not what was signed")));
        }
    }
    Ok(((), format!("the digests of {} files are the signed ones", files.len())))
}

/// The signed digests of the files.
struct Parts {
    message: Digest,
    attachments: BTreeMap<String, Digest>,
    /// Whether they lead to the signature by a hash chain.
    chained: bool,
}

/// A signature about a hash chain's result has that chain; another one has none.
fn parts(archive: &Archive, references: Option<&References<'_>>) -> Finding<Parts> {
    let references = need(references, "signature.references")?;
    let result = match &references.subject {
        Subject::Files(_) if archive.has(HASH_CHAIN_RESULT) || archive.has(HASH_CHAIN) => {
            return Err(wrong("there is a hash chain that the signature is not about"));
        }
        Subject::Files(files) => {
            let files = files.iter().map(|(name, digest)| (name.clone(), (*digest).clone()));
            let parts = by_kind(files.collect(), false)?;
            return Ok((parts, "the signature is about this message alone".to_owned()));
        }
        Subject::HashChainResult(digest) => *digest,
    };
    let content = archive.must(HASH_CHAIN_RESULT)?;
    method_of(HASH_CHAIN_RESULT, result)?;
    if !digest_is(result, content) {
        return Err(wrong("the result of the hash chain is not what was signed"));
    }
    let steps = archive.must(HASH_CHAIN)?;
    [content, steps].into_iter().try_for_each(declaration).map_err(wrong)?;
    let chain = hash_chain::read(content, steps).map_err(wrong)?;
    let mut files = BTreeMap::new();
    for data in chain.data() {
        let name = data.uri.strip_prefix('/').unwrap_or_default().to_owned();
        if files.insert(name, data.digest.clone()).is_some() {
            return Err(wrong(format!("the hash chain is about {:?} twice", data.uri)));
        }
    }
    let words = format!("{} steps lead to the signed result of a batch", chain.steps().len());
    Ok((by_kind(files, true)?, words))
}

fn by_kind(mut files: BTreeMap<String, Digest>, chained: bool) -> Result<Parts, Flaw> {
    let message = files.remove(MESSAGE).ok_or_else(|| wrong(format!("nothing leads from {MESSAGE}")))?;
    match files.keys().find(|name| !is_attachment(name)) {
        None => Ok(Parts { message, attachments: files, chained }),
        Some(other) => Err(wrong(format!("the hash chain is about {other:?}"))),
    }
}

fn message_digest(archive: &Archive, parts: Option<&Parts>) -> Finding<()> {
    let parts = need(parts, "signature.hash_chain")?;
    let content = archive.must(MESSAGE)?;
    method_of(MESSAGE, &parts.message)?;
    if digest_is(&parts.message, content) {
        Ok(((), "the digest of the message is the signed one".to_owned()))
    } else {
        Err(wrong("the message is not what was signed"))
    }
}

/// What is there is what was signed. X-Road keeps only the digests of some attachments of hash chains; what was signed directly must be
/// there.
fn attachment_digests(archive: &Archive, parts: Option<&Parts>) -> Finding<()> {
    let parts = need(parts, "signature.hash_chain")?;
    let attachments = || archive.data.iter().filter(|(name, _)| is_attachment(name));
    for (name, found) in attachments() {
        let found = found.as_ref().map_err(Clone::clone)?;
        let signed = parts
            .attachments
            .get(name)
            .ok_or_else(|| wrong(format!("{name} is not among what was signed")))?;
        if found.by(method_of(name, signed)?) != signed.value {
            return Err(wrong(format!("{name} is not what was signed")));
        }
    }
    let absent: Vec<&str> =
        parts.attachments.keys().map(String::as_str).filter(|name| !archive.has(name)).collect();
    match (absent.as_slice(), attachments().count()) {
        ([], 0) => Ok(((), "there are no attachments".to_owned())),
        ([], count) => Ok(((), format!("the digests of {count} attachments are the signed ones"))),
        (absent, _) if parts.chained => {
            Ok(((), format!("only the signed digests are there of {}", absent.join(", "))))
        }
        (absent, _) => Err(wrong(format!("signed, and not there: {}", absent.join(", ")))),
    }
}

fn signed_properties(
    document: Option<&SignatureDocument>,
    references: Option<&References<'_>>,
) -> Finding<()> {
    let signed = &need(document, "signature.xml")?.signed;
    let reference = need(references, "signature.references")?.signed_properties;
    let (canonical, method) = signed.canonical.as_ref().map_err(wrong)?;
    let words = method.word();
    method_of("the signed properties", &reference.digest)?;
    if digest_is(&reference.digest, canonical) {
        Ok(((), format!("the digest of the signed properties ({words} canonical form) is the signed one")))
    } else {
        Err(wrong("the signed properties are not what was signed"))
    }
}

/// The certificate whose digest was signed, among those that are there.
fn certificate(document: Option<&SignatureDocument>) -> Finding<Certificate> {
    let document = need(document, "signature.xml")?;
    let signed = &document.signed.certificate_digest;
    method_of("the certificate", signed)?;
    let found = document.certificates.iter().find(|der| digest_is(signed, der));
    let found =
        found.ok_or_else(|| wrong("the certificate in KeyInfo is not the one in the signed properties"))?;
    let certificate = Certificate::from_der(found).map_err(wrong)?;
    let words = format!("signed with the certificate of {}", certificate.subject());
    Ok((certificate, words))
}

fn value(document: Option<&SignatureDocument>, certificate: Option<&Certificate>) -> Finding<()> {
    let document = need(document, "signature.xml")?;
    let key = need(certificate, "signature.certificate")?.public_key();
    let method = document.method.as_str();
    let scheme = scheme(method, key.kind())
        .ok_or_else(|| wrong(format!("the method {method:?} is not accepted with the certificate's key")))?;
    key.verify(scheme, &document.signed_info, &document.value).map_err(wrong)?;
    Ok(((), format!("{} by the certificate's key", method.rsplit('#').next().unwrap_or(method))))
}

/// RFC 9231 sections 2.3.2 to 2.3.6, 2.3.10 and 2.3.12; RSA and ECDSA by SHA-2 only.
fn scheme(method: &str, kind: KeyKind) -> Option<SignatureScheme> {
    use SignatureScheme as S;
    let scheme = match (method.rsplit_once('#')?, kind) {
        ((MORE_2001, "rsa-sha256"), KeyKind::Rsa(_)) => S::RsaPkcs1Sha256,
        ((MORE_2001, "rsa-sha384"), KeyKind::Rsa(_)) => S::RsaPkcs1Sha384,
        ((MORE_2001, "rsa-sha512"), KeyKind::Rsa(_)) => S::RsaPkcs1Sha512,
        ((MORE_2007, "sha256-rsa-MGF1"), KeyKind::Rsa(_)) => S::RsaPssSha256,
        ((MORE_2007, "sha384-rsa-MGF1"), KeyKind::Rsa(_)) => S::RsaPssSha384,
        ((MORE_2007, "sha512-rsa-MGF1"), KeyKind::Rsa(_)) => S::RsaPssSha512,
        ((MORE_2001, "ecdsa-sha256"), KeyKind::EcdsaP256) => S::EcdsaP256Sha256Fixed,
        ((MORE_2001, "ecdsa-sha384"), KeyKind::EcdsaP256) => S::EcdsaP256Sha384Fixed,
        ((MORE_2001, "ecdsa-sha512"), KeyKind::EcdsaP256) => S::EcdsaP256Sha512Fixed,
        ((MORE_2001, "ecdsa-sha256"), KeyKind::EcdsaP384) => S::EcdsaP384Sha256Fixed,
        ((MORE_2001, "ecdsa-sha384"), KeyKind::EcdsaP384) => S::EcdsaP384Sha384Fixed,
        ((MORE_2001, "ecdsa-sha512"), KeyKind::EcdsaP384) => S::EcdsaP384Sha512Fixed,
        ((MORE_2021, "eddsa-ed25519"), KeyKind::Ed25519) => S::Ed25519,
        _ => return None,
    };
    Some(scheme)
}

const SIGNED_PROPERTIES_TYPE: &str = "http://uri.etsi.org/01903#SignedProperties";
const MORE_2001: &str = "http://www.w3.org/2001/04/xmldsig-more";
const MORE_2007: &str = "http://www.w3.org/2007/05/xmldsig-more";
const MORE_2021: &str = "http://www.w3.org/2021/04/xmldsig-more";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_goes_with_its_kind_of_key_only() {
        use SignatureScheme as S;
        let kinds = [KeyKind::Rsa(2048), KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::Ed25519];
        for (method, schemes) in [
            (
                "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
                [Some(S::RsaPkcs1Sha256), None, None, None],
            ),
            (
                "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384",
                [Some(S::RsaPkcs1Sha384), None, None, None],
            ),
            (
                "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
                [Some(S::RsaPkcs1Sha512), None, None, None],
            ),
            (
                "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1",
                [Some(S::RsaPssSha256), None, None, None],
            ),
            (
                "http://www.w3.org/2007/05/xmldsig-more#sha384-rsa-MGF1",
                [Some(S::RsaPssSha384), None, None, None],
            ),
            (
                "http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1",
                [Some(S::RsaPssSha512), None, None, None],
            ),
            (
                "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
                [None, Some(S::EcdsaP256Sha256Fixed), Some(S::EcdsaP384Sha256Fixed), None],
            ),
            (
                "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
                [None, Some(S::EcdsaP256Sha384Fixed), Some(S::EcdsaP384Sha384Fixed), None],
            ),
            (
                "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512",
                [None, Some(S::EcdsaP256Sha512Fixed), Some(S::EcdsaP384Sha512Fixed), None],
            ),
            ("http://www.w3.org/2021/04/xmldsig-more#eddsa-ed25519", [None, None, None, Some(S::Ed25519)]),
            ("http://www.w3.org/2000/09/xmldsig#rsa-sha1", [None; 4]),
            ("http://www.w3.org/2000/09/xmldsig#hmac-sha1", [None; 4]),
            ("http://www.w3.org/2001/04/xmldsig-more#hmac-sha256", [None; 4]),
            ("http://www.w3.org/2001/04/xmldsig-more#sha256-rsa-MGF1", [None; 4]),
            ("rsa-sha256", [None; 4]),
        ] {
            assert_eq!(kinds.map(|kind| scheme(method, kind)), schemes, "{method}");
        }
    }
}
