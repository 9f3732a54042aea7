//! Signatures of each kind of key in X-Road's layout, with a timestamp of a batch, under a configuration directory made for them.

use std::io::{Cursor, Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kogge_certs::certificate::Certificate;
use kogge_evidence::globalconf::GlobalConf;
use kogge_evidence::report::Outcome;
use kogge_evidence::verify::{self, Verdict};
use kogge_proto::digest::{sha256, sha512};
use kogge_signer::NewKeyKind;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use crate::exported::{Exported, Which};
use crate::world::{Wish, World};

/// A container of X-Road's layout, and the shared parameters that approve what it needs.
struct Stamped {
    container: Vec<u8>,
    shared_params: String,
}

impl Stamped {
    fn new(wish: &Wish) -> Self {
        let world = World::new();
        let credential = world.credential(wish);
        let exported = Exported::signed(world, Which::Request, Some(b"{\"code\":1}"), &credential);
        let own = exported.container();
        let mut own = ZipArchive::new(Cursor::new(own)).unwrap();
        let mut entry = |name: &str| {
            let mut content = Vec::new();
            own.by_name(name).unwrap().read_to_end(&mut content).unwrap();
            content
        };
        let signatures = entry("META-INF/signatures.xml");
        let (chain, result) = chain(&signatures);
        let (token, tsa) = exported.world.token(sha256(result.as_bytes()));
        let files: [(&str, Vec<u8>); 7] = [
            ("mimetype", b"application/vnd.etsi.asic-e+zip".to_vec()),
            ("message.xml", entry("message.xml")),
            ("META-INF/signatures.xml", signatures),
            ("ts-hashchainresult.xml", result.into_bytes()),
            ("ts-hashchain.xml", chain.into_bytes()),
            ("META-INF/timestamp.tst", token),
            ("attachment1", entry("attachment1")),
        ];
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in files {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(&content).unwrap();
        }
        let container = zip.finish().unwrap().into_inner();
        let ca = &exported.world.ca.certificate;
        let shared_params = shared_params(ca, &exported.world.intermediate.certificate, &tsa);
        Self { container, shared_params }
    }

    fn verdict(&self) -> Verdict {
        let conf = GlobalConf::read("TEST", [&self.shared_params]).unwrap();
        verify::container(Cursor::new(&self.container), &conf)
    }
}

/// The chain of one signature among two, and its result.
fn chain(signatures: &[u8]) -> (String, String) {
    const SHA512: &str = "http://www.w3.org/2001/04/xmlenc#sha512";
    let der = |tag: u8, content: &[u8]| {
        let length = u8::try_from(content.len()).unwrap();
        let head = if length < 128 { vec![tag, length] } else { vec![tag, 0x81, length] };
        [&head[..], content].concat()
    };
    let digests = [sha512(signatures), sha512(b"another")];
    let item = |digest: &[u8]| {
        der(0x30, &[der(0x04, digest), der(0x0c, SHA512.as_bytes()), der(0x30, b"")].concat())
    };
    let list: Vec<u8> = digests.iter().flat_map(|digest| item(digest.as_bytes())).collect();
    let value = STANDARD.encode(sha512(&der(0x30, &list)).as_bytes());
    let [own, other] = digests.map(|digest| STANDARD.encode(digest.as_bytes()));
    let names = "xmlns=\"http://www.w3.org/2000/09/xmldsig#\" xmlns:h=\"http://cyber.ee/hashchain\"";
    let chain = format!(
        "<h:HashChain {names}><h:DefaultDigestMethod Algorithm=\"{SHA512}\"/><h:HashStep id=\"STEP0\"><h:DataRef URI=\"/META-INF/signatures.xml\"><DigestValue>{own}</DigestValue></h:DataRef><h:HashValue><DigestValue>{other}</DigestValue></h:HashValue></h:HashStep></h:HashChain>"
    );
    let result = format!(
        "<h:HashChainResult {names} URI=\"/ts-hashchain.xml#STEP0\"><DigestMethod Algorithm=\"{SHA512}\"/><DigestValue>{value}</DigestValue></h:HashChainResult>"
    );
    (chain, result)
}

fn shared_params(ca: &Certificate, intermediate: &Certificate, tsa: &Certificate) -> String {
    let [ca, intermediate, tsa] = [ca, intermediate, tsa].map(|found| STANDARD.encode(found.der()));
    format!(
        "<x:conf xmlns:x=\"http://x-road.eu/xsd/xroad.xsd\"><instanceIdentifier>TEST</instanceIdentifier><approvedCA><name>CA</name><topCA><cert>{ca}</cert></topCA><intermediateCA><cert>{intermediate}</cert></intermediateCA><certificateProfileInfo>a.b.FiVRKCertificateProfileInfoProvider</certificateProfileInfo></approvedCA><approvedTSA><name>TSA</name><url/><cert>{tsa}</cert></approvedTSA><globalSettings><ocspFreshnessSeconds>3600</ocspFreshnessSeconds></globalSettings></x:conf>"
    )
}

#[test]
fn each_kind_of_key_passes() {
    for kind in [NewKeyKind::EcdsaP256, NewKeyKind::Rsa(2048), NewKeyKind::Ed25519] {
        let verdict = Stamped::new(&Wish { kind, ..Wish::default() }).verdict();
        assert!(verdict.report.passed(), "{kind:?}\n{}", verdict.report);
        assert_eq!(verdict.statement.signer.unwrap().to_string(), "TEST/GOV/70000001");
    }
}

/// X-Road keeps an OCSP response for each CA below the approved one, and so each must be there.
#[test]
fn an_intermediate_ca_needs_its_own_ocsp_response() {
    let verdict = Stamped::new(&Wish { by_intermediate: true, ..Wish::default() }).verdict();
    assert_eq!(verdict.report.outcome("signer.path"), Some(Outcome::Passed), "{}", verdict.report);
    let failed: Vec<_> = verdict.report.failed().collect();
    assert_eq!(failed.len(), 1, "{}", verdict.report);
    assert_eq!(failed[0].name, "ocsp.response");
    assert!(
        failed[0].reason.contains("shows that CN=Test Intermediate CA,O=Kogge tests was good"),
        "{}",
        verdict.report
    );
}

#[test]
fn another_token_or_ca_is_not_enough() {
    let good = Stamped::new(&Wish::default());
    let other = Stamped::new(&Wish::default());
    let mixed = Stamped { container: good.container, shared_params: other.shared_params };
    let report = mixed.verdict().report;
    assert_eq!(report.outcome("timestamp.token"), Some(Outcome::Failed), "{report}");
    assert_eq!(report.outcome("signer.path"), Some(Outcome::Indeterminate), "{report}");
}
