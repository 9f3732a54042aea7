//! Policy, approved CAs and approved TSAs.

use std::collections::HashSet;
use std::time::Duration;

use const_oid::ObjectIdentifier;
use kogge_proto::wire::registry as wire;

use super::{at_most, limits, name};
use crate::certificate::Certificate;
use crate::snapshot::{ContentError, Policy, check_http_url};
use crate::trust::{ApprovedCa, ApprovedTsa, TrustStore};

pub(super) fn policy(wire: Option<&wire::Policy>) -> Result<Policy, ContentError> {
    let wire = wire.ok_or_else(|| ContentError::Missing { what: "policy", of: "the snapshot".to_owned() })?;
    Ok(Policy {
        ocsp_freshness: limit("ocsp_freshness_s", wire.ocsp_freshness_s, limits::OCSP_FRESHNESS_S_MAX)?,
        timestamp_interval: limit(
            "timestamp_interval_s",
            wire.timestamp_interval_s,
            limits::TIMESTAMP_INTERVAL_S_MAX,
        )?,
        timestamp_failure: limit(
            "timestamp_failure_s",
            wire.timestamp_failure_s,
            limits::TIMESTAMP_FAILURE_S_MAX,
        )?,
        clock_skew: limit("clock_skew_s", wire.clock_skew_s, limits::CLOCK_SKEW_S_MAX)?,
    })
}

pub(super) fn store(
    cas: &[wire::ApprovedCa],
    tsas: &[wire::ApprovedTsa],
) -> Result<TrustStore, ContentError> {
    at_most(cas, limits::CAS_MAX, "approved CAs")?;
    at_most(tsas, limits::TSAS_MAX, "approved TSAs")?;
    let mut distinct = Distinct::default();
    let cas = cas.iter().map(|each| ca(each, &mut distinct)).collect::<Result<_, _>>()?;
    let mut distinct = Distinct::default();
    let tsas = tsas.iter().map(|each| tsa(each, &mut distinct)).collect::<Result<_, _>>()?;
    Ok(TrustStore::new(cas, tsas))
}

fn ca(wire: &wire::ApprovedCa, distinct: &mut Distinct) -> Result<ApprovedCa, ContentError> {
    let name = name(&wire.name, "a CA")?;
    let of = format!("the CA {name:?}");
    let certificate = ca_certificate(&of, &wire.certificate)?;
    distinct.add(("CA", "CA certificate"), &name, &certificate)?;
    at_most(&wire.intermediates, limits::CA_ITEMS_MAX, "intermediate certificates of one CA")?;
    at_most(&wire.ocsp_responders, limits::CA_ITEMS_MAX, "OCSP responders of one CA")?;
    at_most(&wire.ocsp_urls, limits::CA_ITEMS_MAX, "OCSP URLs of one CA")?;
    wire.ocsp_urls.iter().try_for_each(|url| check_http_url(url))?;
    Ok(ApprovedCa {
        certificate,
        intermediates: wire
            .intermediates
            .iter()
            .map(|der| ca_certificate(&of, der))
            .collect::<Result<_, _>>()?,
        ocsp_urls: wire.ocsp_urls.clone(),
        ocsp_responders: wire
            .ocsp_responders
            .iter()
            .map(|der| certificate_of(&of, der))
            .collect::<Result<_, _>>()?,
        name,
    })
}

fn tsa(wire: &wire::ApprovedTsa, distinct: &mut Distinct) -> Result<ApprovedTsa, ContentError> {
    let name = name(&wire.name, "a TSA")?;
    let of = format!("the TSA {name:?}");
    let certificate = certificate_of(&of, &wire.certificate)?;
    distinct.add(("TSA", "TSA certificate"), &name, &certificate)?;
    check_http_url(&wire.url)?;
    if wire.policies.is_empty() {
        return Err(ContentError::Missing { what: "timestamping policy", of });
    }
    at_most(&wire.policies, limits::TSA_POLICIES_MAX, "timestamping policies of one TSA")?;
    for policy in &wire.policies {
        // Compared as text with what a token says, so only the one usual form will do.
        if !ObjectIdentifier::new(policy).is_ok_and(|oid| oid.to_string() == *policy) {
            return Err(ContentError::TimestampPolicy { policy: policy.chars().take(80).collect(), of });
        }
    }
    Ok(ApprovedTsa { url: wire.url.clone(), certificate, policies: wire.policies.clone(), name })
}

/// Operators name trust services by name, and verifiers find them by certificate: both must be clear.
#[derive(Default)]
struct Distinct {
    names: HashSet<String>,
    certificates: HashSet<[u8; 32]>,
}

impl Distinct {
    fn add(
        &mut self,
        (what_name, what_certificate): (&'static str, &'static str),
        name: &str,
        certificate: &Certificate,
    ) -> Result<(), ContentError> {
        if !self.names.insert(name.to_owned()) {
            return Err(ContentError::Duplicate { what: what_name, id: name.to_owned() });
        }
        if !self.certificates.insert(certificate.sha256().0) {
            return Err(ContentError::Duplicate {
                what: what_certificate,
                id: certificate.sha256().to_string(),
            });
        }
        Ok(())
    }
}

fn ca_certificate(of: &str, der: &[u8]) -> Result<Certificate, ContentError> {
    let certificate = certificate_of(of, der)?;
    if !certificate.is_ca() {
        let reason = "its basic constraints do not say that it is a CA".to_owned();
        return Err(ContentError::Certificate { of: of.to_owned(), reason });
    }
    Ok(certificate)
}

fn certificate_of(of: &str, der: &[u8]) -> Result<Certificate, ContentError> {
    Certificate::from_der(der)
        .map_err(|error| ContentError::Certificate { of: of.to_owned(), reason: error.to_string() })
}

fn limit(name: &'static str, seconds: u32, max: u32) -> Result<Duration, ContentError> {
    if seconds == 0 || seconds > max {
        return Err(ContentError::Policy { name, seconds, max });
    }
    Ok(Duration::from_secs(u64::from(seconds)))
}
