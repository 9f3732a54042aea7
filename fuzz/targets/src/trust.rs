//! What certification, OCSP and timestamping authorities send.

use std::time::Duration;

use kogge_certs::certificate::Certificate;
use kogge_certs::ocsp::{self, Freshness};
use kogge_certs::timestamp::{self, Imprint};
use kogge_proto::digest::sha256;

use crate::world::{OCSP, SIGNER_PATH, TOKEN, TRUSTED};

/// DER or PEM; every accessor of one that is read.
pub(crate) fn certificate(data: &[u8]) {
    if let Ok(certificate) = Certificate::from_der(data) {
        assert!(certificate.der() == data, "a certificate is not what was read");
        let _ = (certificate.subject(), certificate.issuer(), certificate.serial(), certificate.is_ca());
        for profile in PROFILES {
            drop(kogge_certs::profile::check(&certificate, profile));
        }
        drop(kogge_certs::path::verify(
            &certificate,
            std::slice::from_ref(&certificate),
            TRUSTED.trust(),
            kogge_certs::profile::Profile::Signing,
            TRUSTED.issued(),
        ));
    }
    if let Ok(text) = std::str::from_utf8(data) {
        drop(Certificate::from_pem(text));
    }
}

/// About a known certificate: every byte counts.
pub(crate) fn ocsp_response(data: &[u8]) {
    let freshness = Freshness { age_max: HOUR, skew_max: HOUR };
    let verified = ocsp::verify(data, &SIGNER_PATH, freshness, None, TRUSTED.issued());
    assert!(verified.is_err() || data == OCSP, "an altered OCSP response is believed");
}

/// As the development responder takes it.
pub(crate) fn ocsp_request(data: &[u8]) {
    for ca in TRUSTED.trust().cas() {
        drop(ocsp::parse_request(data, &ca.certificate));
    }
}

/// As a TSA answers.
pub(crate) fn timestamp_response(data: &[u8]) {
    if let Ok(token) = timestamp::token_of_response(data) {
        timestamp_token(&token);
    }
}

/// As the development TSA takes it.
pub(crate) fn timestamp_request(data: &[u8]) {
    drop(timestamp::parse_request(data));
}

/// Over anything: every byte counts.
pub(crate) fn timestamp_token(data: &[u8]) {
    let imprint = Imprint::Sha256(sha256(b""));
    let strictly = timestamp::verify(data, &imprint, None, TRUSTED.trust());
    assert!(strictly.is_err(), "a token over something else is believed");
    let verified = timestamp::verify_content(
        data,
        &timestamp::ContentDigests::of(b""),
        timestamp::Policies::Any,
        TRUSTED.trust(),
    );
    assert!(verified.is_err() || data == TOKEN, "an altered token is believed");
}

const HOUR: Duration = Duration::from_secs(3600);

const PROFILES: [kogge_certs::profile::Profile; 4] = {
    use kogge_certs::profile::Profile as P;
    [P::Signing, P::Authentication, P::OcspResponder, P::Timestamping]
};
