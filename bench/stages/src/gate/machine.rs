//! What instruction counts hang on beside the source.

use std::process::Command;

use super::GateError;

/// A compiler and a processor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Machine {
    /// What `rustc --version` says.
    pub rustc: String,
    /// Architecture and those features by which the cryptographic libraries choose their code, as the counted program saw them. Valgrind
    /// shows a processor of its own, much the same on every machine of the last ten years.
    pub processor: String,
}

impl Machine {
    /// `1.95` of `rustc 1.95.0 (59807616e 2026-04-14)`: releases to repair something do not change how code is generated.
    #[must_use]
    pub fn release(&self) -> &str {
        let version = self.rustc.strip_prefix("rustc ").unwrap_or_default();
        let minor = version.match_indices('.').nth(1).map_or(version.len(), |(at, _)| at);
        version.get(..minor).unwrap_or_default()
    }
}

/// What the compiler calls itself.
///
/// # Errors
/// There is none.
pub fn rustc() -> Result<String, GateError> {
    let program = "rustc";
    let output = Command::new(program)
        .arg("--version")
        .output()
        .map_err(|source| GateError::Program { program, source })?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The processor that this program sees.
#[must_use]
pub fn processor() -> String {
    let mut words = vec![std::env::consts::ARCH];
    words.extend(features());
    words.join(" ")
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    macro_rules! present {
        ($($name:tt),*) => { [$(($name, std::arch::is_x86_feature_detected!($name))),*] };
    }
    let all = present![
        "aes",
        "pclmulqdq",
        "ssse3",
        "sse4.1",
        "avx",
        "avx2",
        "bmi1",
        "bmi2",
        "adx",
        "sha",
        "avx512f"
    ];
    all.into_iter().filter(|(_, present)| *present).map(|(name, _)| name).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> Vec<&'static str> {
    Vec::new()
}
