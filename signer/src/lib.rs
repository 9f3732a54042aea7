//! The only home of private keys: the software token.
