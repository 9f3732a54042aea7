//! Who may be believed: keys, certificate profiles, paths, OCSP, timestamps, registry snapshot.
