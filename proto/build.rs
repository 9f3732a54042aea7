//! Compiles the schemas with protox, so that no system `protoc` is needed.

use std::error::Error;

const SCHEMAS: [&str; 5] = [
    "schema/evidence.proto",
    "schema/tunnel.proto",
    "schema/log.proto",
    "schema/registry.proto",
    "schema/bundle.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=schema");
    let descriptors = protox::compile(SCHEMAS, ["schema"])?;
    // `bytes::Bytes` for payloads that travel through several hands without being copied.
    prost_build::Config::new()
        .bytes([
            ".kogge.tunnel.v1.Frame",
            ".kogge.tunnel.v1.Head.message",
            ".kogge.log.v1.MessageRecord.message",
            ".kogge.log.v1.Body.inline",
            ".kogge.log.v1.StoredMessage.message",
            ".kogge.log.v1.StoredBody.inline",
            ".kogge.log.v1.SealedBody.ciphertext",
            ".kogge.evidence.v1.Material",
            ".kogge.bundle.v1",
        ])
        .compile_fds(descriptors)?;
    Ok(())
}
