//! The entries of X-Road's containers. The verifier has its own names: a mistake in those of the writer must not vouch for itself.

pub(super) const MEDIA_TYPE: &str = "application/vnd.etsi.asic-e+zip";
pub(super) const MIMETYPE: &str = "mimetype";
pub(super) const MESSAGE: &str = "message.xml";
pub(super) const META_INF: &str = "META-INF/";
pub(super) const SIGNATURES: &str = "META-INF/signatures.xml";
pub(super) const MANIFEST: &str = "META-INF/manifest.xml";
pub(super) const ASIC_MANIFEST: &str = "META-INF/ASiCManifest.xml";
pub(super) const TIMESTAMP: &str = "META-INF/timestamp.tst";
pub(super) const HASH_CHAIN_RESULT: &str = "sig-hashchainresult.xml";
pub(super) const HASH_CHAIN: &str = "sig-hashchain.xml";
pub(super) const TIMESTAMP_CHAIN_RESULT: &str = "ts-hashchainresult.xml";
pub(super) const TIMESTAMP_CHAIN: &str = "ts-hashchain.xml";

/// `attachment1`, `attachment2` and so on.
pub(super) fn is_attachment(name: &str) -> bool {
    name.strip_prefix("attachment").is_some_and(|number| {
        !number.starts_with('0') && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}
