//! How the vocabulary of other crates stands in the journal's JSON: identifiers in their text form, digests in hexadecimal,
//! certificates and keys in base64 of their DER, durations in whole seconds. An operator can read it, and so can `jq` and `openssl`.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kogge_certs::certificate::Certificate;
use kogge_certs::key::PublicKey;
use kogge_certs::snapshot::{Policy, SignedDelegation};
use kogge_certs::trust::{ApprovedCa, ApprovedTsa};
use kogge_proto::digest::Sha256;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Deserialize, Serialize)]
#[serde(remote = "Policy", deny_unknown_fields)]
pub(super) struct PolicyJson {
    #[serde(rename = "ocsp_freshness_s", with = "seconds")]
    ocsp_freshness: Duration,
    #[serde(rename = "timestamp_interval_s", with = "seconds")]
    timestamp_interval: Duration,
    #[serde(rename = "timestamp_failure_s", with = "seconds")]
    timestamp_failure: Duration,
    #[serde(rename = "clock_skew_s", with = "seconds")]
    clock_skew: Duration,
}

#[derive(Deserialize, Serialize)]
#[serde(remote = "ApprovedCa", deny_unknown_fields)]
pub(super) struct ApprovedCaJson {
    name: String,
    #[serde(with = "certificate")]
    certificate: Certificate,
    #[serde(with = "certificates")]
    intermediates: Vec<Certificate>,
    ocsp_urls: Vec<String>,
    #[serde(with = "certificates")]
    ocsp_responders: Vec<Certificate>,
}

#[derive(Deserialize, Serialize)]
#[serde(remote = "ApprovedTsa", deny_unknown_fields)]
pub(super) struct ApprovedTsaJson {
    name: String,
    url: String,
    #[serde(with = "certificate")]
    certificate: Certificate,
    policies: Vec<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(remote = "SignedDelegation", deny_unknown_fields)]
pub(super) struct SignedDelegationJson {
    #[serde(with = "bytes")]
    bytes: Vec<u8>,
    #[serde(with = "signatures")]
    signatures: Vec<(Sha256, Vec<u8>)>,
}

/// Anything with a text form.
pub(super) mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use super::{Deserialize, Deserializer, Error, Serializer};

    pub(in crate::state) fn serialize<T: Display, S: Serializer>(
        value: &T,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(in crate::state) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// A SHA-256 in lower-case hexadecimal.
pub(crate) mod digest {
    use super::{Deserialize, Deserializer, Error, Serializer, Sha256};

    pub(crate) fn serialize<S: Serializer>(value: &Sha256, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Sha256, D::Error> {
        let bytes = hex::decode(String::deserialize(from)?).map_err(D::Error::custom)?;
        Sha256::from_slice(&bytes).ok_or_else(|| D::Error::custom("not a SHA-256"))
    }
}

/// Bytes in base64.
mod bytes {
    use super::{Deserialize, Deserializer, Engine, Error, STANDARD, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(value))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// One public key.
mod key {
    use super::{Deserializer, Error, PublicKey, Serializer, bytes};

    pub(super) fn serialize<S: Serializer>(value: &PublicKey, to: S) -> Result<S::Ok, S::Error> {
        bytes::serialize(value.spki(), to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PublicKey, D::Error> {
        PublicKey::from_spki(&bytes::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[derive(Deserialize, Serialize)]
struct Key(#[serde(with = "key")] PublicKey);

/// Public keys.
pub(super) mod keys {
    use super::{Deserialize, Deserializer, Key, PublicKey, Serializer};

    pub(in crate::state) fn serialize<S: Serializer>(value: &[PublicKey], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(value.iter().map(|key| Key(key.clone())))
    }

    pub(in crate::state) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<PublicKey>, D::Error> {
        Ok(Vec::<Key>::deserialize(from)?.into_iter().map(|key| key.0).collect())
    }
}

mod certificate {
    use super::{Certificate, Deserializer, Error, Serializer, bytes};

    pub(super) fn serialize<S: Serializer>(value: &Certificate, to: S) -> Result<S::Ok, S::Error> {
        bytes::serialize(value.der(), to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Certificate, D::Error> {
        Certificate::from_der(&bytes::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[derive(Deserialize, Serialize)]
struct Der(#[serde(with = "certificate")] Certificate);

mod certificates {
    use super::{Certificate, Der, Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &[Certificate], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(value.iter().map(|certificate| Der(certificate.clone())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Certificate>, D::Error> {
        Ok(Vec::<Der>::deserialize(from)?.into_iter().map(|der| der.0).collect())
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    #[serde(with = "digest")]
    key_id: Sha256,
    #[serde(with = "bytes")]
    value: Vec<u8>,
}

mod signatures {
    use super::{Deserialize, Deserializer, Serializer, Sha256, Signature};

    pub(super) fn serialize<S: Serializer>(value: &[(Sha256, Vec<u8>)], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(
            value.iter().map(|(key_id, value)| Signature { key_id: *key_id, value: value.clone() }),
        )
    }

    pub(super) fn deserialize<'de, D>(from: D) -> Result<Vec<(Sha256, Vec<u8>)>, D::Error>
    where
        D: Deserializer<'de>,
    {
        Ok(Vec::<Signature>::deserialize(from)?.into_iter().map(|each| (each.key_id, each.value)).collect())
    }
}

mod seconds {
    use super::{Deserialize, Deserializer, Duration, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(value.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Ok(Duration::from_secs(u64::deserialize(from)?))
    }
}
