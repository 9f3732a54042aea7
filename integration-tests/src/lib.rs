//! Black-box tests of the real binary: real processes, real TLS, real files.
