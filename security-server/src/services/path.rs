//! The path within a service, in the one form that access rights are matched against.
//!
//! A path that two programs could understand differently is refused instead of being repaired: the register behind this server
//! may decode, merge or resolve in another way, and would then serve what the access right did not mean.

use std::fmt;
use std::str::FromStr;

/// A path as decoded segments. Has no empty segments but perhaps a last one, no dot segments, no separators inside a segment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NormalPath(Vec<String>);

/// Why a path is ambiguous.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PathError {
    /// A percent sign without two hexadecimal digits, or the result is not UTF-8.
    #[error("a percent-encoding in the path is malformed")]
    Encoding,
    /// Decoded once, there is still an encoding left (`%252e`): whoever decodes twice reads another path.
    #[error("the path is percent-encoded twice")]
    TwiceEncoded,
    /// `/` or `\` in encoded form.
    #[error("the path has an encoded separator")]
    Separator,
    /// `.` or `..`, plain, encoded, or with parameters (`..;x`).
    #[error("the path has a dot segment")]
    DotSegment,
    /// `//` within the path.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// An encoded control character.
    #[error("the path has a control character")]
    Control,
}

impl NormalPath {
    /// From the raw path within a service: empty, or starting with `/`.
    ///
    /// # Errors
    /// It is ambiguous.
    pub fn new(raw: &str) -> Result<Self, PathError> {
        let Some(raw) = raw.strip_prefix('/') else { return Ok(Self(Vec::new())) };
        let segments = raw.split('/').map(decode).collect::<Result<Vec<_>, _>>()?;
        match segments.split_last() {
            Some((_, before)) if before.iter().any(String::is_empty) => Err(PathError::EmptySegment),
            _ => Ok(Self(segments)),
        }
    }
}

fn decode(segment: &str) -> Result<String, PathError> {
    let mut bytes = segment.bytes();
    let mut out = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit =
            || bytes.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or(PathError::Encoding);
        let decoded = digit()? * 16 + digit()?;
        out.push(u8::try_from(decoded).map_err(|_| PathError::Encoding)?);
    }
    let text = String::from_utf8(out).map_err(|_| PathError::Encoding)?;
    if holds_encoding(&text) {
        return Err(PathError::TwiceEncoded);
    }
    if text.contains(['/', '\\']) {
        return Err(PathError::Separator);
    }
    // Some servers cut off ";parameters" before they resolve dots.
    let name = text.split(';').next().unwrap_or_default();
    if name == "." || name == ".." {
        return Err(PathError::DotSegment);
    }
    if text.chars().any(char::is_control) {
        return Err(PathError::Control);
    }
    Ok(text)
}

/// Whether a percent sign stands before two hexadecimal digits.
fn holds_encoding(text: &str) -> bool {
    text.as_bytes().windows(3).any(|bytes| match bytes {
        [b'%', digits @ ..] => digits.iter().all(u8::is_ascii_hexdigit),
        _ => false,
    })
}

/// A pattern over normal paths: literal segments, `*` for exactly one non-empty segment, a last `**` for any rest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PathPattern {
    segments: Vec<Segment>,
    any_rest: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Segment {
    Literal(String),
    Any,
}

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PatternError {
    /// Does not start with `/`.
    #[error("a path pattern starts with /")]
    Start,
    /// `*` stands inside a segment.
    #[error("* stands for a whole segment of the path")]
    Star,
    /// `**` stands before the end.
    #[error("** may stand only at the end of a path pattern")]
    Rest,
    /// The pattern itself is ambiguous, so nothing could match it.
    #[error("the path pattern can match nothing: {0}")]
    Path(#[from] PathError),
}

impl PathPattern {
    /// Whether the whole path fits the pattern.
    #[must_use]
    pub fn matches(&self, path: &NormalPath) -> bool {
        let long_enough = if self.any_rest {
            path.0.len() >= self.segments.len()
        } else {
            path.0.len() == self.segments.len()
        };
        long_enough
            && self.segments.iter().zip(&path.0).all(|(segment, found)| match segment {
                Segment::Literal(expected) => expected == found,
                Segment::Any => !found.is_empty(),
            })
    }
}

impl FromStr for PathPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let mut rest = text.strip_prefix('/').ok_or(PatternError::Start)?;
        let any_rest = rest == "**" || rest.ends_with("/**");
        if any_rest {
            rest = rest.strip_suffix("**").unwrap_or(rest);
            rest = rest.strip_suffix('/').unwrap_or(rest);
        }
        let mut segments = Vec::new();
        // "/**" alone has no segments; "/" is one empty segment.
        if !(any_rest && rest.is_empty()) {
            for segment in NormalPath::new(&format!("/{rest}"))?.0 {
                segments.push(match segment.as_str() {
                    "*" => Segment::Any,
                    "**" => return Err(PatternError::Rest),
                    other if other.contains('*') => return Err(PatternError::Star),
                    _ => Segment::Literal(segment),
                });
            }
        }
        Ok(Self { segments, any_rest })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Any => f.write_str("/*")?,
            }
        }
        if self.any_rest { f.write_str("/**") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        pattern.parse::<PathPattern>().unwrap().matches(&NormalPath::new(path).unwrap())
    }

    #[test]
    fn patterns() {
        for (pattern, path) in [
            ("/**", ""),
            ("/**", "/"),
            ("/**", "/a/b"),
            ("/a/**", "/a"),
            ("/a/**", "/a/"),
            ("/a/**", "/a/b/c"),
            ("/a/*", "/a/b"),
            ("/a/*/c", "/a/b/c"),
            ("/a", "/%61"),
            ("/", "/"),
            ("/süd", "/s%C3%BCd"),
            ("/a b", "/a%20b"),
            ("/*", "/100%25"),
            ("/*", "/50%25off"),
        ] {
            assert!(matches(pattern, path), "{pattern} should match {path:?}");
        }
        for (pattern, path) in [
            ("/a/**", ""),
            ("/a/**", "/ab"),
            ("/a/**", "/b/a"),
            ("/a/*", "/a"),
            ("/a/*", "/a/"),
            ("/a/*", "/a/b/c"),
            ("/a", "/a/"),
            ("/a", "/A"),
            ("/", ""),
            ("/a/*/c", "/a/b/d"),
            ("/a", "/a%20"),
        ] {
            assert!(!matches(pattern, path), "{pattern} should not match {path:?}");
        }
    }

    #[test]
    fn what_two_programs_could_read_differently_is_refused() {
        for (path, error) in [
            ("/a/../b", PathError::DotSegment),
            ("/a/./b", PathError::DotSegment),
            ("/a/..", PathError::DotSegment),
            ("/a/%2e%2E/b", PathError::DotSegment),
            ("/a/.%2e", PathError::DotSegment),
            ("/a/..;x=1/b", PathError::DotSegment),
            ("/a/%2e%2e%3b/b", PathError::DotSegment),
            ("/a%2fb", PathError::Separator),
            ("/a%2Fb", PathError::Separator),
            ("/a%5cb", PathError::Separator),
            ("/a//b", PathError::EmptySegment),
            ("//a", PathError::EmptySegment),
            ("/a/%252e%252e/b", PathError::TwiceEncoded),
            ("/a/..%252fb", PathError::TwiceEncoded),
            ("/a/%25252e/b", PathError::TwiceEncoded),
            ("/%2541", PathError::TwiceEncoded),
            ("/a%00", PathError::Control),
            ("/a%0d%0a", PathError::Control),
            ("/a%", PathError::Encoding),
            ("/a%2", PathError::Encoding),
            ("/a%zz", PathError::Encoding),
            ("/%ff", PathError::Encoding),
            ("/%c0%af", PathError::Encoding),
        ] {
            assert_eq!(NormalPath::new(path), Err(error), "{path}");
        }
    }

    #[test]
    fn patterns_that_mean_nothing_are_refused() {
        for (pattern, error) in [
            ("", PatternError::Start),
            ("a", PatternError::Start),
            ("/a*", PatternError::Star),
            ("/*.json", PatternError::Star),
            ("/**/a", PatternError::Rest),
            ("/a/**/b", PatternError::Rest),
            ("/a/../b", PatternError::Path(PathError::DotSegment)),
            ("/a//b", PatternError::Path(PathError::EmptySegment)),
        ] {
            assert_eq!(pattern.parse::<PathPattern>(), Err(error), "{pattern}");
        }
        for pattern in ["/**", "/a/*/c", "/a/**"] {
            assert_eq!(pattern.parse::<PathPattern>().unwrap().to_string(), pattern);
        }
    }

    proptest! {
        #[test]
        fn what_passes_reads_one_way_only(raw in "(/(\\PC|%2[eEfF5]|%5[cC]|%00|%|\\.|;|/){0,6}){0,4}") {
            if let Ok(path) = NormalPath::new(&raw) {
                let last = path.0.len().saturating_sub(1);
                for (place, segment) in path.0.iter().enumerate() {
                    prop_assert!(!segment.contains(['/', '\\', '\0']));
                    prop_assert!(!matches!(segment.split(';').next(), Some("." | "..")));
                    prop_assert!(place == last || !segment.is_empty());
                }
                // Normal is normal: encoded anew it is the same path.
                let encode = |segment: &String| segment.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
                let again: String = path.0.iter().map(|segment| format!("/{}", encode(segment))).collect();
                prop_assert_eq!(NormalPath::new(&again).unwrap(), path);
            }
        }
    }
}
