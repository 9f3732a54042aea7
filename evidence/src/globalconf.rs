//! Trust as an X-Road configuration directory has it: the `shared-params.xml` of each instance (X-Road "Protocol for Downloading
//! Configuration", section 2.6.2).
//!
//! The documents are taken as given, as X-Road's own verifier takes them: in such a directory there is nothing signed that could be checked.
//! Whoever names one has to know where it comes from.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kogge_certs::certificate::Certificate;
use kogge_certs::profile::SubjectForm;
use kogge_certs::trust::{ApprovedCa, ApprovedTsa, TrustStore};
use roxmltree::Node;

use crate::verify::walk;

/// The instances of a configuration directory.
#[derive(Clone, Debug)]
pub struct GlobalConf {
    instance: String,
    instances: BTreeMap<String, Instance>,
    tsas: TrustStore,
    passed_over: Vec<String>,
}

/// What an instance approves.
#[derive(Clone, Debug)]
pub struct Instance {
    trust: TrustStore,
    /// Digest of each approved CA's certificate, with the class of its certificate profile.
    profiles: Vec<(Certificate, String)>,
    ocsp_freshness: Duration,
}

/// Why a directory's documents are no trust.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum GlobalConfError {
    /// A document is not a `shared-params.xml` as X-Road writes it.
    #[error("not X-Road's shared parameters: {0}")]
    Malformed(String),
    /// Two documents are of the same instance.
    #[error("the instance {0:?} has shared parameters twice")]
    Twice(String),
    /// None is of the instance that the directory is for.
    #[error("there are no shared parameters of the instance {0:?}, which the directory is for")]
    Missing(String),
}

impl GlobalConf {
    /// From the content of the file `instance-identifier` and that of each `shared-params.xml`.
    ///
    /// # Errors
    /// See [`GlobalConfError`]. A CA or TSA whose certificate cannot be used is none: it is passed over, and
    /// [`Self::passed_over`] tells.
    pub fn read<D: AsRef<[u8]>>(
        instance: &str,
        shared_params: impl IntoIterator<Item = D>,
    ) -> Result<Self, GlobalConfError> {
        let instance = instance.trim().to_owned();
        let mut instances = BTreeMap::new();
        let (mut tsas, mut passed_over) = (Vec::new(), Vec::new());
        for document in shared_params {
            let read = read_shared_params(document.as_ref(), &mut passed_over)
                .map_err(GlobalConfError::Malformed)?;
            tsas.extend(read.tsas);
            if instances.insert(read.name.clone(), read.instance).is_some() {
                return Err(GlobalConfError::Twice(read.name));
            }
        }
        if !instances.contains_key(&instance) {
            return Err(GlobalConfError::Missing(instance));
        }
        Ok(Self { instance, instances, tsas: TrustStore::new(Vec::new(), tsas), passed_over })
    }

    /// The instance that the directory is for.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// All instances that it has, in the order of their names.
    pub fn instances(&self) -> impl Iterator<Item = &str> {
        self.instances.keys().map(String::as_str)
    }

    /// Which CAs and TSAs could not be used, and why, in words.
    #[must_use]
    pub fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    /// What an instance approves.
    pub(crate) fn get(&self, instance: &str) -> Option<&Instance> {
        self.instances.get(instance)
    }

    /// The TSAs of all instances: a message is stamped by the instance of whoever kept it, which may be another than the signer's.
    pub(crate) fn tsas(&self) -> &TrustStore {
        &self.tsas
    }
}

impl Instance {
    /// The approved CAs.
    pub(crate) fn trust(&self) -> &TrustStore {
        &self.trust
    }

    /// How the signing certificates of a CA name members; the class of its profile if that is not a known one.
    pub(crate) fn subject_form(&self, ca: &Certificate) -> Result<SubjectForm, &str> {
        let found = self.profiles.iter().find(|(certificate, _)| certificate == ca);
        let class = found.map_or("", |(_, class)| class.as_str());
        SubjectForm::from_class(class).ok_or(class)
    }

    /// How old an OCSP response may be.
    pub(crate) fn ocsp_freshness(&self) -> Duration {
        self.ocsp_freshness
    }
}

struct SharedParams {
    name: String,
    instance: Instance,
    tsas: Vec<ApprovedTsa>,
}

/// Only what is needed is read: the schema allows further elements for times to come.
fn read_shared_params(xml: &[u8], passed_over: &mut Vec<String>) -> Result<SharedParams, String> {
    let document = walk::parse_foreign(xml, SHARED_PARAMS_BYTES_MAX, NODES_MAX)?;
    let conf = document.root_element();
    if !conf.has_tag_name((XROAD, "conf")) {
        return Err("the document is not a conf".to_owned());
    }
    let name = text_of(conf, "instanceIdentifier")?.to_owned();
    let (mut cas, mut profiles, mut tsas) = (Vec::new(), Vec::new(), Vec::new());
    for element in children(conf, "approvedCA") {
        // Such a CA may vouch for connections only.
        if text_of(element, "authenticationOnly").is_ok_and(|text| matches!(text, "true" | "1")) {
            continue;
        }
        match read_ca(element) {
            Ok((ca, class)) => {
                profiles.push((ca.certificate.clone(), class));
                cas.push(ca);
            }
            Err(reason) => passed_over.push(format!("instance {name}, {}: {reason}", named(element))),
        }
    }
    for element in children(conf, "approvedTSA") {
        match read_tsa(element) {
            Ok(tsa) => tsas.push(tsa),
            Err(reason) => passed_over.push(format!("instance {name}, {}: {reason}", named(element))),
        }
    }
    let freshness = text_of(one(conf, "globalSettings")?, "ocspFreshnessSeconds")?;
    let freshness: u32 = freshness.parse().map_err(|_| format!("ocspFreshnessSeconds is {freshness:?}"))?;
    let trust = TrustStore::new(cas, Vec::new());
    let instance = Instance { trust, profiles, ocsp_freshness: Duration::from_secs(freshness.into()) };
    Ok(SharedParams { name, instance, tsas })
}

fn read_ca(element: Node<'_, '_>) -> Result<(ApprovedCa, String), String> {
    let top = one(element, "topCA")?;
    let class = text_of(element, "certificateProfileInfo")?.to_owned();
    let mut ca = ApprovedCa {
        name: text_of(element, "name").unwrap_or_default().to_owned(),
        certificate: certificate(one(top, "cert")?)?,
        intermediates: Vec::new(),
        ocsp_urls: Vec::new(),
        ocsp_responders: responders(top)?,
    };
    for intermediate in children(element, "intermediateCA") {
        ca.intermediates.push(certificate(one(intermediate, "cert")?)?);
        ca.ocsp_responders.extend(responders(intermediate)?);
    }
    Ok((ca, class))
}

/// Certificates of OCSP responders that may answer because they are listed.
fn responders(ca: Node<'_, '_>) -> Result<Vec<Certificate>, String> {
    children(ca, "ocsp").flat_map(|ocsp| children(ocsp, "cert")).map(certificate).collect()
}

fn read_tsa(element: Node<'_, '_>) -> Result<ApprovedTsa, String> {
    Ok(ApprovedTsa {
        name: text_of(element, "name").unwrap_or_default().to_owned(),
        url: text_of(element, "url").unwrap_or_default().to_owned(),
        certificate: certificate(one(element, "cert")?)?,
        policies: Vec::new(),
    })
}

/// X-Road writes base64 of DER, and base64 of PEM where an administrator uploaded PEM.
fn certificate(element: Node<'_, '_>) -> Result<Certificate, String> {
    let base64: String = trimmed(element).split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(base64).map_err(|error| format!("a certificate is not base64: {error}"))?;
    if !bytes.starts_with(b"-----BEGIN") {
        return Certificate::from_der(&bytes).map_err(|error| error.to_string());
    }
    let text = String::from_utf8(bytes).map_err(|_| "a certificate is not PEM".to_owned())?;
    let found = Certificate::from_pem(&text).map_err(|error| error.to_string())?;
    match <[Certificate; 1]>::try_from(found) {
        Ok([certificate]) => Ok(certificate),
        Err(_) => Err("there is more than one certificate where one is expected".to_owned()),
    }
}

fn children<'a, 'input: 'a>(
    parent: Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    parent.children().filter(move |child| child.tag_name().name() == name && child.is_element())
}

fn one<'a, 'input>(parent: Node<'a, 'input>, name: &'static str) -> Result<Node<'a, 'input>, String> {
    let mut found = children(parent, name);
    match (found.next(), found.next()) {
        (Some(child), None) => Ok(child),
        _ => Err(format!("{} does not have one {name}", parent.tag_name().name())),
    }
}

fn text_of<'a>(parent: Node<'a, '_>, name: &'static str) -> Result<&'a str, String> {
    one(parent, name).map(trimmed)
}

fn trimmed<'a>(element: Node<'a, '_>) -> &'a str {
    element.text().unwrap_or_default().trim()
}

/// An approved service, for people.
fn named(element: Node<'_, '_>) -> String {
    format!("{} {:?}", element.tag_name().name(), text_of(element, "name").unwrap_or_default())
}

/// The largest known instances have some thousand members, in a few megabytes.
pub const SHARED_PARAMS_BYTES_MAX: usize = 32 * 1024 * 1024;
/// About a hundred bytes of memory to a node; a member with ten subsystems has a hundred.
const NODES_MAX: u32 = 1_000_000;

const XROAD: &str = "http://x-road.eu/xsd/xroad.xsd";
