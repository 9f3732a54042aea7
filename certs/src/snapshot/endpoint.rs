//! Addresses and URLs that a snapshot may name. The registry checks them when they are entered, and everybody else when they
//! are read, by these same rules.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Why an address or URL is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EndpointError {
    /// Not `HOST:PORT`.
    #[error(
        "{0:?} is not HOST:PORT (a DNS name, an IPv4 address or an IPv6 address in brackets; a port from 1 to 65535)"
    )]
    Address(String),
    /// Not a usable HTTP URL.
    #[error("{0:?} is not an http:// or https:// URL with a host, without user name, query and fragment")]
    Url(String),
}

/// `HOST:PORT`, where the host is a DNS name, an IPv4 address, or an IPv6 address in brackets.
///
/// # Errors
/// The text is anything else, or longer than [`ENDPOINT_BYTES_MAX`].
pub fn check_address(text: &str) -> Result<(), EndpointError> {
    let refused = || EndpointError::Address(shorten(text));
    let (host, port) = text.rsplit_once(':').ok_or_else(refused)?;
    if text.len() <= ENDPOINT_BYTES_MAX && is_host(host) && is_port(port) { Ok(()) } else { Err(refused()) }
}

/// `http://` or `https://`, host, optional port, optional path; visible ASCII only.
///
/// # Errors
/// The text is anything else, or longer than [`ENDPOINT_BYTES_MAX`].
pub fn check_http_url(text: &str) -> Result<(), EndpointError> {
    if is_http_url(text) { Ok(()) } else { Err(EndpointError::Url(shorten(text))) }
}

fn is_http_url(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")) else {
        return false;
    };
    // A quotation mark or a backslash has no place in a URL and would have to be escaped wherever one is written down.
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\<>^`{|}?#".contains(&byte));
    let authority = rest.split('/').next().unwrap_or_default();
    let authority_good = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => is_host(host) && is_port(port),
        _ => is_host(authority),
    };
    text.len() <= ENDPOINT_BYTES_MAX && visible && authority_good
}

fn is_host(host: &str) -> bool {
    if let Some(inside) = host.strip_prefix('[') {
        return inside.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    host.parse::<Ipv4Addr>().is_ok() || is_dns_name(host)
}

/// Letters, digits and hyphens (RFC 1123, section 2.1); underscores as container networks use them. A name whose last label
/// is a number would be a malformed IPv4 address.
fn is_dns_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_number =
        host.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    host.len() <= 253 && host.split('.').all(label) && !last_is_number
}

fn is_port(port: &str) -> bool {
    !port.starts_with(['0', '+']) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Longest address or URL.
pub const ENDPOINT_BYTES_MAX: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["ss1:5500", "ss_1.example.org:1", "127.0.0.1:65535", "[::1]:5500", "xn--4ca.example:80"]
        {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
        let bad = [
            "",
            ":5500",
            "ss1",
            "ss1:",
            "ss1:0",
            "ss1:65536",
            "ss1:+80",
            "ss1:080",
            "::1:5500",
            "[::1]",
            "[::g]:1",
            "1.2.3:80",
            "1.2.3.256:80",
            "a b:80",
            "a/b:80",
            "-a:80",
            "a-:80",
            "a..b:80",
            "süd:80",
            "user@host:80",
        ];
        for bad in bad {
            assert_eq!(check_address(bad), Err(EndpointError::Address(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn urls() {
        for good in [
            "http://a",
            "https://a.example:8443/x/y",
            "http://127.0.0.1:80/",
            "http://[::1]:80/ocsp",
            "http://[::1]",
        ] {
            assert_eq!(check_http_url(good), Ok(()), "{good}");
        }
        let bad = [
            "",
            "a",
            "ftp://a",
            "http://",
            "http:///x",
            "http://a b",
            "http://u:p@a/",
            "http://a:0/",
            "http://a/?q",
            "http://a/#f",
            "HTTP://a",
            "http://a/\"",
            "http://a/\\",
            "http://a/ü",
            "http://a\n",
        ];
        for bad in bad {
            assert_eq!(check_http_url(bad), Err(EndpointError::Url(bad.to_owned())), "{bad}");
        }
    }
}
