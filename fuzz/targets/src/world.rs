//! The instance whose evidence the corpus is made of: an anchor, a snapshot, and what it approves. Made by `examples/seeds.rs`; the keys are gone.

use std::io::{Cursor, Read};
use std::sync::LazyLock;

use kogge_certs::anchor::Anchor;
use kogge_certs::certificate::Certificate;
use kogge_certs::path::{self, VerifiedPath};
use kogge_certs::profile::Profile;
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_evidence::globalconf::GlobalConf;
use zip::ZipArchive;

/// The anchor file.
pub const ANCHOR: &str = include_str!("../../world/anchor.toml");
/// A snapshot that its keys have signed.
pub const SNAPSHOT: &[u8] = include_bytes!("../../world/snapshot");
/// A container of this instance with a body.
pub const CONTAINER: &[u8] = include_bytes!("../../world/response.asice");
/// Another, without a body.
pub const REQUEST: &[u8] = include_bytes!("../../world/request.asice");
/// DER of the certificate that has signed it.
pub const SIGNER: &[u8] = include_bytes!("../../world/signer.der");
/// The OCSP response about the signer.
pub const OCSP: &[u8] = include_bytes!("../../world/signer.ocsp");
/// The token in the container.
pub const TOKEN: &[u8] = include_bytes!("../../world/token.tst");
/// The registry's journal, and its head.
pub const JOURNAL: [&[u8]; 2] =
    [include_bytes!("../../world/journal-decisions"), include_bytes!("../../world/journal-head")];

/// X-Road's own containers of its verifier's tests (NIIS, MIT), and the shared parameters that they are good under.
pub const XROAD_CONTAINER: &[u8] = include_bytes!("../../../evidence/tests/xroad/valid-batch-ts.asice");
const XROAD_SHARED_PARAMS: &[u8] =
    include_bytes!("../../../evidence/tests/xroad/globalconf/DEV/shared-params.xml");
const XROAD_INSTANCE: &str = include_str!("../../../evidence/tests/xroad/globalconf/instance-identifier");

/// What everything is checked against.
pub static TRUSTED: LazyLock<VerifiedSnapshot> = LazyLock::new(|| {
    let anchor = Anchor::parse(ANCHOR).unwrap_or_else(|error| panic!("the anchor: {error}"));
    VerifiedSnapshot::verify_archived(SNAPSHOT, &anchor)
        .unwrap_or_else(|error| panic!("the snapshot: {error}"))
});

/// What X-Road's containers are checked against.
pub static GLOBALCONF: LazyLock<GlobalConf> = LazyLock::new(|| {
    let documents = [XROAD_SHARED_PARAMS];
    GlobalConf::read(XROAD_INSTANCE, documents)
        .unwrap_or_else(|error| panic!("the global configuration: {error}"))
});

/// The certification path of the signer.
pub static SIGNER_PATH: LazyLock<VerifiedPath> = LazyLock::new(|| {
    let leaf = Certificate::from_der(SIGNER).unwrap_or_else(|error| panic!("the signer: {error}"));
    let (trust, at) = (TRUSTED.trust(), TRUSTED.issued());
    path::verify(&leaf, &[], trust, Profile::Signing, at).unwrap_or_else(|error| panic!("the path: {error}"))
});

/// The entries of a container, in their order.
#[must_use]
pub fn entries(container: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = ZipArchive::new(Cursor::new(container)).unwrap_or_else(|error| panic!("{error}"));
    (0..archive.len())
        .map(|index| {
            let mut entry = archive.by_index(index).unwrap_or_else(|error| panic!("{error}"));
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap_or_else(|error| panic!("{error}"));
            let name = entry.name().unwrap_or_else(|error| panic!("{error}")).into_owned();
            (name, content)
        })
        .collect()
}
