//! What can be proven later: signatures, hash trees, timestamps, containers, verification.
