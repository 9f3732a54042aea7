//! SHA-2 digests as types, so that a SHA-256 is never taken for a SHA-512 or for any other bytes.

use std::fmt;

use ring::digest::{self, Context};

macro_rules! digest_type {
    ($name:ident, $hasher:ident, $function:ident, $length:literal, $algorithm:expr, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $length;

            /// The digest's bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }

            /// From exactly [`Self::LEN`] bytes; `None` for any other length.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Some(Self(bytes.try_into().ok()?))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        /// Digest of `bytes`.
        #[must_use]
        pub fn $function(bytes: &[u8]) -> $name {
            let mut hasher = $hasher::new();
            hasher.update(bytes);
            hasher.finish()
        }

        /// The same digest over bytes that arrive in pieces.
        #[derive(Clone)]
        pub struct $hasher(Context);

        impl $hasher {
            /// Starts with no bytes.
            #[must_use]
            pub fn new() -> Self {
                Self(Context::new($algorithm))
            }

            /// Adds the next piece.
            pub fn update(&mut self, bytes: &[u8]) {
                self.0.update(bytes);
            }

            /// The digest of all pieces.
            #[must_use]
            pub fn finish(self) -> $name {
                let mut out = [0; $length];
                out.copy_from_slice(self.0.finish().as_ref());
                $name(out)
            }
        }

        impl Default for $hasher {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

digest_type!(
    Sha256,
    Sha256Hasher,
    sha256,
    32,
    &digest::SHA256,
    "SHA-256 (FIPS 180-4): log chain, hash trees, certificates."
);
digest_type!(
    Sha384,
    Sha384Hasher,
    sha384,
    48,
    &digest::SHA384,
    "SHA-384 (FIPS 180-4): only in what others have signed."
);
digest_type!(
    Sha512,
    Sha512Hasher,
    sha512,
    64,
    &digest::SHA512,
    "SHA-512 (FIPS 180-4): message parts, as X-Road has it."
);
