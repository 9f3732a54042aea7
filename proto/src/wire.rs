//! The generated protobuf types; the schemas in `proto/schema/` are their documentation.

/// Compact signatures and the certificates and OCSP responses they refer to.
pub mod evidence {
    pub use v1::*;

    /// Version 1.
    #[allow(missing_docs, reason = "generated; documented in schema/evidence.proto")]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/kogge.evidence.v1.rs"));
    }
}

/// Frames between two security servers.
pub mod tunnel {
    pub use v1::*;

    /// Version 1.
    #[allow(
        missing_docs,
        clippy::large_enum_variant,
        reason = "generated; documented in schema/tunnel.proto"
    )]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/kogge.tunnel.v1.rs"));
    }
}

/// Entries of the message log.
pub mod log {
    pub use v1::*;

    /// Version 1.
    #[allow(missing_docs, clippy::large_enum_variant, reason = "generated; documented in schema/log.proto")]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/kogge.log.v1.rs"));
    }
}

/// The registry snapshot and its signatures.
pub mod registry {
    pub use v1::*;

    /// Version 1.
    #[allow(missing_docs, reason = "generated; documented in schema/registry.proto")]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/kogge.registry.v1.rs"));
    }
}

/// What stands in the blocks of an auditor's bundle.
pub mod bundle {
    pub use v1::*;

    /// Version 1.
    #[allow(
        missing_docs,
        clippy::large_enum_variant,
        reason = "generated; documented in schema/bundle.proto"
    )]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/kogge.bundle.v1.rs"));
    }
}
