//! The ASN.1 of RFC 3161, RFC 2634 and RFC 5816, as far as it is used. Names follow the RFCs.

use der::asn1::{AnyRef, BitString, GeneralizedTime, IntRef, ObjectIdentifier, OctetString};
use der::{Encode, Sequence, Tag};
use kogge_proto::time::UnixMillis;
use spki::AlgorithmIdentifierRef;

use crate::asn1::{DigestAlgorithm, Extension, generalized_time, unix_millis};

/// TimeStampReq (RFC 3161 section 2.4.1).
#[derive(Clone, Debug, Sequence)]
pub(super) struct TimeStampReq<'a> {
    pub(super) version: u8,
    pub(super) message_imprint: MessageImprint<'a>,
    #[asn1(optional = "true")]
    pub(super) policy: Option<ObjectIdentifier>,
    #[asn1(optional = "true")]
    pub(super) nonce: Option<IntRef<'a>>,
    #[asn1(default = "Default::default")]
    pub(super) cert_req: bool,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub(super) extensions: Option<Vec<Extension>>,
}

/// MessageImprint.
#[derive(Clone, Debug, Eq, PartialEq, Sequence)]
pub(super) struct MessageImprint<'a> {
    pub(super) hash_algorithm: AlgorithmIdentifierRef<'a>,
    pub(super) hashed_message: OctetString,
}

impl MessageImprint<'_> {
    /// Whether it is this digest by this algorithm.
    pub(super) fn is(&self, algorithm: DigestAlgorithm, digest: &[u8]) -> bool {
        DigestAlgorithm::from_identifier(&self.hash_algorithm) == Some(algorithm)
            && self.hashed_message.as_bytes() == digest
    }
}

/// TimeStampResp (section 2.4.2).
#[derive(Clone, Debug, Sequence)]
pub(super) struct TimeStampResp<'a> {
    pub(super) status: StatusInfo,
    #[asn1(optional = "true")]
    pub(super) token: Option<AnyRef<'a>>,
}

/// PKIStatusInfo.
#[derive(Clone, Debug, Sequence)]
pub(super) struct StatusInfo {
    pub(super) status: u8,
    #[asn1(optional = "true")]
    pub(super) text: Option<Vec<String>>,
    #[asn1(optional = "true")]
    pub(super) failure: Option<BitString>,
}

/// TSTInfo.
#[derive(Clone, Debug, Sequence)]
pub(super) struct TstInfo<'a> {
    pub(super) version: u8,
    pub(super) policy: ObjectIdentifier,
    pub(super) message_imprint: MessageImprint<'a>,
    pub(super) serial_number: AnyRef<'a>,
    pub(super) gen_time: AnyRef<'a>,
    #[asn1(optional = "true")]
    pub(super) accuracy: Option<Accuracy>,
    #[asn1(default = "Default::default")]
    pub(super) ordering: bool,
    #[asn1(optional = "true")]
    pub(super) nonce: Option<IntRef<'a>>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) tsa: Option<AnyRef<'a>>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub(super) extensions: Option<Vec<Extension>>,
}

/// Accuracy.
#[derive(Clone, Debug, Sequence)]
pub(super) struct Accuracy {
    #[asn1(optional = "true")]
    pub(super) seconds: Option<u32>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) millis: Option<u16>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) micros: Option<u16>,
}

/// SigningCertificate (RFC 2634 section 5.4).
#[derive(Clone, Debug, Sequence)]
pub(super) struct SigningCertificate<'a> {
    pub(super) certificates: Vec<EssCertId<'a>>,
    #[asn1(optional = "true")]
    pub(super) policies: Option<AnyRef<'a>>,
}

/// ESSCertID.
#[derive(Clone, Debug, Sequence)]
pub(super) struct EssCertId<'a> {
    pub(super) hash: OctetString,
    #[asn1(optional = "true")]
    pub(super) issuer_serial: Option<IssuerSerial<'a>>,
}

/// SigningCertificateV2 (RFC 5035 section 3).
#[derive(Clone, Debug, Sequence)]
pub(super) struct SigningCertificateV2<'a> {
    pub(super) certificates: Vec<EssCertIdV2<'a>>,
    #[asn1(optional = "true")]
    pub(super) policies: Option<AnyRef<'a>>,
}

/// ESSCertIDv2; SHA-256 if no algorithm is named.
#[derive(Clone, Debug, Sequence)]
pub(super) struct EssCertIdV2<'a> {
    #[asn1(optional = "true")]
    pub(super) algorithm: Option<AlgorithmIdentifierRef<'a>>,
    pub(super) hash: OctetString,
    #[asn1(optional = "true")]
    pub(super) issuer_serial: Option<IssuerSerial<'a>>,
}

/// IssuerSerial.
#[derive(Clone, Debug, Sequence)]
pub(super) struct IssuerSerial<'a> {
    pub(super) issuer: Vec<AnyRef<'a>>,
    pub(super) serial: AnyRef<'a>,
}

/// Reads a genTime strictly: `YYYYMMDDhhmmss[.f…]Z`, a fraction without trailing zeros (RFC 3161 section 2.4.2), cut to milliseconds.
pub(super) fn read_gen_time(value: AnyRef<'_>) -> Option<UnixMillis> {
    let text = std::str::from_utf8(value.value()).ok()?;
    if value.header().tag() != Tag::GeneralizedTime || text.len() > GEN_TIME_BYTES_MAX {
        return None;
    }
    let (seconds, fraction) = match text.strip_suffix('Z')?.split_once('.') {
        Some((seconds, fraction)) => (seconds, Some(fraction)),
        None => (text.strip_suffix('Z')?, None),
    };
    let whole = format!("{seconds}Z");
    let whole: GeneralizedTime =
        AnyRef::new(Tag::GeneralizedTime, whole.as_bytes()).ok()?.decode_as().ok()?;
    let millis = fraction.map_or(Some(0), read_fraction)?;
    Some(unix_millis(&whole).plus(std::time::Duration::from_millis(millis)))
}

/// Milliseconds of the digits after the point.
fn read_fraction(digits: &str) -> Option<u64> {
    if digits.is_empty() || digits.ends_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.chars().chain("000".chars()).take(3).collect::<String>().parse().ok()
}

/// The content of a genTime with milliseconds.
pub(super) fn write_gen_time(at: UnixMillis) -> der::Result<Vec<u8>> {
    let whole = generalized_time(at)?.to_der()?;
    let text = AnyRef::try_from(whole.as_slice())?.value().to_vec();
    let millis = at.0.rem_euclid(1000);
    if millis == 0 {
        return Ok(text);
    }
    let fraction = format!("{millis:03}");
    let mut text = text.strip_suffix(b"Z").unwrap_or(&text).to_vec();
    text.extend_from_slice(format!(".{}Z", fraction.trim_end_matches('0')).as_bytes());
    Ok(text)
}

/// id-ct-TSTInfo.
pub(super) const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
/// id-aa-signingCertificate.
pub(super) const SIGNING_CERTIFICATE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
/// id-aa-signingCertificateV2.
pub(super) const SIGNING_CERTIFICATE_V2: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");

/// Seconds, a point, nine digits and the Z: no clock states more.
const GEN_TIME_BYTES_MAX: usize = 25;
