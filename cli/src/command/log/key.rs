//! The log key, for who wants to read encrypted bodies.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use kogge_message_log::LogKey;
use kogge_security_server::log_key;
use kogge_signer::PinSource;

use crate::failure::{Failure, OrFail};

/// Where the log key is.
#[derive(Args, Debug)]
pub(crate) struct LogKeyArgs {
    /// The key of the log's encrypted bodies: log.key in the security server's token
    #[arg(long, value_name = "FILE")]
    log_key: Option<PathBuf>,
    /// Where the PIN of that token comes from: file:PATH, env:NAME or prompt
    // Parsed later: a parser's error would repeat what was given, and that may be a PIN in the wrong place.
    #[arg(long, value_name = "SOURCE", default_value = "prompt", requires = "log_key")]
    pin: String,
}

impl LogKeyArgs {
    /// The key, if it was given.
    pub(crate) fn open(&self) -> Result<Option<Arc<dyn LogKey>>, Failure> {
        let Some(file) = &self.log_key else { return Ok(None) };
        let pin = PinSource::parse(&self.pin).or_unusable()?;
        log_key::open_file(file, pin).map(Some).or_unusable()
    }
}
