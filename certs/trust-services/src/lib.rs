//! Development CA, OCSP responder and TSA that speak the real protocols.
