//! The entries of containers, X-Road's and others'. The verifier has its own names: a mistake in those of the writer must not vouch for itself.

pub(super) const MEDIA_TYPE: &str = "application/vnd.etsi.asic-e+zip";
pub(super) const MEDIA_TYPE_SIMPLE: &str = "application/vnd.etsi.asic-s+zip";
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

/// Files with XAdES signatures (EN 319 162-1 clauses 4.3.3.2 and 4.4.3.2): `META-INF/*signatures*.xml`.
pub(super) fn is_signature(name: &str) -> bool {
    within(name).is_some_and(|name| name.contains("signatures") && name.ends_with(".xml"))
}

/// Evidence records (the same clauses).
pub(super) fn is_evidence_record(name: &str) -> bool {
    within(name).is_some_and(|name| name.contains("evidencerecord") && name.ends_with(".ers"))
}

/// What evidence records are about.
pub(super) fn is_evidence_record_manifest(name: &str) -> bool {
    within(name).is_some_and(|name| name.starts_with("ASiCEvidenceRecordManifest") && name.ends_with(".xml"))
}

/// CAdES signatures, which nothing reads here.
pub(super) fn is_cades(name: &str) -> bool {
    within(name).is_some_and(|name| name.ends_with(".p7s"))
}

fn within(name: &str) -> Option<&str> {
    name.strip_prefix(META_INF).filter(|name| !name.contains('/'))
}

/// The name that a URI of a reference stands for: relative to the container's root, percent-encoded (EN 319 162-1 clause 4.4.3.2, RFC 3986
/// section 2.1). `None` for what is no such name.
pub(super) fn of_uri(uri: &str) -> Option<String> {
    let path = uri.strip_prefix('/').unwrap_or(uri);
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                bytes.push(u8::try_from(digit()? << 4 | digit()?).ok()?);
            }
            b'#' | b'?' => return None,
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok().filter(|name| is_plain(name))
}

/// A path that stays within the folder in which a container is unpacked, and means the same everywhere.
pub(super) fn is_plain(name: &str) -> bool {
    let odd = |c: char| c.is_control() || matches!(c, '\\' | ':');
    !name.contains(odd) && name.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_name_files_of_the_container_only() {
        for (uri, name) in [
            ("a.txt", "a.txt"),
            ("/message.xml", "message.xml"),
            ("sub%20folder/%C3%A4%2Btext.txt", "sub folder/ä+text.txt"),
            ("a+b", "a+b"),
        ] {
            assert_eq!(of_uri(uri).as_deref(), Some(name));
        }
        for uri in [
            "",
            "/",
            "//a",
            "../a",
            "a/../b",
            "./a",
            "a%2e%2e/%2e%2e",
            "%2e%2e/a",
            "a%",
            "a%4",
            "a%zz",
            "%ff",
            "a#b",
            "a?b",
            "http://x/a",
            "a%5cb",
            "a%00",
            "a/",
        ] {
            let name = of_uri(uri);
            assert!(name.is_none() || uri == "a%2e%2e/%2e%2e" && name.is_none(), "{uri}: {name:?}");
        }
    }

    #[test]
    fn names_say_what_a_file_is() {
        assert!(is_signature("META-INF/signatures.xml") && is_signature("META-INF/signatures001.xml"));
        assert!(is_signature("META-INF/manifest-signatures-x.xml"));
        assert!(!is_signature("signatures.xml") && !is_signature("META-INF/a/signatures.xml"));
        assert!(is_evidence_record("META-INF/evidencerecord001.ers") && !is_evidence_record("a.ers"));
        assert!(is_cades("META-INF/signature.p7s"));
    }
}
