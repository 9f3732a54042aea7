//! The tunnel between security servers: QUIC and HTTP/2 over TCP.
