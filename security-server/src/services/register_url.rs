//! Where a register answers.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use kogge_certs::snapshot::{EndpointError, check_http_url};

/// A `http://` or `https://` URL without user name, query and fragment.
#[derive(Clone, Eq, PartialEq)]
pub struct RegisterUrl {
    /// Without a slash at the end.
    base: String,
    https: bool,
}

/// Why a text is no such URL.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UrlError {
    /// Not a usable HTTP URL.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The service's own path and query make it too long or malformed.
    #[error("the path and query do not make a URL of the register")]
    Target,
}

impl RegisterUrl {
    /// Whether the register is called over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The register's URL for a call: this URL, the raw path within the service (empty or starting with `/`), the raw query.
    ///
    /// # Errors
    /// The result is no URI.
    pub fn join(&self, service_path: &str, query: Option<&str>) -> Result<Uri, UrlError> {
        let question = if query.is_some() { "?" } else { "" };
        let text = format!("{}{service_path}{question}{}", self.base, query.unwrap_or_default());
        text.parse().map_err(|_| UrlError::Target)
    }
}

impl FromStr for RegisterUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        check_http_url(text)?;
        Ok(Self { base: text.trim_end_matches('/').to_owned(), https: text.starts_with("https://") })
    }
}

impl fmt::Display for RegisterUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

impl fmt::Debug for RegisterUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_as_x_road_does() {
        let join = |base: &str, path: &str, query: Option<&str>| {
            base.parse::<RegisterUrl>().unwrap().join(path, query).unwrap().to_string()
        };
        assert_eq!(join("http://r:9/persons", "/1", Some("a=b")), "http://r:9/persons/1?a=b");
        assert_eq!(join("http://r:9/persons/", "/1", None), "http://r:9/persons/1");
        assert_eq!(join("http://r:9/persons", "", Some("")), "http://r:9/persons?");
        assert_eq!(join("http://r:9/", "/%20x", None), "http://r:9/%20x");
        assert_eq!(join("https://r", "", None), "https://r/");
    }

    #[test]
    fn refuses_what_is_no_url() {
        for text in ["", "r:9", "ftp://r", "http://u:p@r", "http://r/?a=b", "http://r/#a"] {
            assert!(matches!(text.parse::<RegisterUrl>(), Err(UrlError::Endpoint(_))), "{text}");
        }
    }
}
