//! `kogge trust-services`: a CA, an OCSP responder and a timestamping authority for development.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use kogge_certs::certificate::Certificate;
use kogge_certs::profile::Profile;
use kogge_security_server::clock::now;
use kogge_trust_services::{Config, Serial, TrustServicesError};

use super::serve::{self, RunArgs};
use super::subject::SubjectArgs;
use crate::failure::{Failure, OrFail};

/// What to do with the trust services.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answer OCSP and timestamp requests until SIGTERM
    #[command(after_help = "Examples:
  kogge trust-services run --config trust-services.toml
  kogge trust-services run --config trust-services.toml --check-config")]
    Run(RunArgs),
    /// Make the CA, the OCSP responder and the timestamping authority
    #[command(after_help = "Example:\n  kogge trust-services init --config trust-services.toml")]
    Init(InitArgs),
    /// Issue a certificate for a request
    #[command(after_help = "Examples:
  kogge trust-services issue --config trust-services.toml --profile signing --name \"City of Bremen\" \\
      --member DEMO/GOV/1001 --server DEMO/GOV/1001/SS1 --out signing.pem signing.csr
  kogge trust-services issue --config trust-services.toml --profile tls --dns-name registry.example --out tls.pem tls.csr")]
    Issue(IssueArgs),
    /// Revoke a certificate
    #[command(after_help = "Examples:
  kogge trust-services revoke --config trust-services.toml --certificate signing.pem
  kogge trust-services revoke --config trust-services.toml --serial 01a2b3")]
    Revoke(StatusArgs),
    /// Take a revocation back
    #[command(
        after_help = "Example:\n  kogge trust-services reinstate --config trust-services.toml --certificate signing.pem"
    )]
    Reinstate(StatusArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ConfigArg {
    /// The configuration file of the trust services
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Args, Debug)]
pub(crate) struct IssueArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// What the certificate is for
    #[arg(long, value_name = "PROFILE")]
    profile: ProfileArg,
    #[command(flatten)]
    subject: SubjectArgs,
    /// For how many days it is valid
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// Where to write the certificate and, if there is one, the issuing CA's (PEM)
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The request (PKCS#10 in PEM or DER)
    #[arg(value_name = "REQUEST")]
    request: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    which: Which,
}

/// Which certificate.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct Which {
    /// PEM file whose first certificate it is
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Its serial number in hexadecimal
    #[arg(long, value_name = "HEX")]
    serial: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProfileArg {
    /// A member's message signatures
    Signing,
    /// A security server's connections to its peers
    Authentication,
    /// HTTPS
    Tls,
}

/// Carries it out.
pub(crate) fn run(command: &Command, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(args) => return serve::run(args, Config::load, kogge_trust_services::run, out),
        Command::Init(args) => init(args, out),
        Command::Issue(args) => issue(args, out),
        Command::Revoke(args) => revoke(args, out),
        Command::Reinstate(args) => reinstate(args, out),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn init(args: &InitArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let config = args.config.load()?;
    kogge_trust_services::init(&config, now()).map_err(fail)?;
    let (dir, policy) = (config.dir().display(), config.tsa_policy());
    writeln!(
        out,
        "made {dir}/ca.pem, ocsp.pem and tsa.pem; approve them in the registry (timestamp policy {policy})"
    )?;
    Ok(())
}

fn issue(args: &IssueArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let config = args.config.load()?;
    let (profile, subject) = match args.profile {
        ProfileArg::Signing => (Profile::Signing, args.subject.signing()),
        ProfileArg::Authentication => (Profile::Authentication, args.subject.authentication()),
        ProfileArg::Tls => (Profile::Tls, args.subject.tls()),
    };
    let subject = subject.or_unusable()?;
    let request = std::fs::read(&args.request)
        .or_unusable_with(format_args!("cannot read {}", args.request.display()))?;
    let lifetime = Duration::from_secs(u64::from(args.days) * 24 * 3600);
    let certificate =
        kogge_trust_services::issue(&config, &request, profile, &subject, lifetime, now()).map_err(fail)?;
    let issuing = config.dir().join("issuing.pem");
    let issuing = match std::fs::read_to_string(&issuing) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read.or_unusable_with(format_args!("cannot read {}", issuing.display()))?,
    };
    let chain = certificate.to_pem() + &issuing;
    kogge_durable::write_atomic(&args.out, chain.as_bytes(), false).or_failed()?;
    writeln!(out, "issued the certificate {}: {}", Serial::from(&certificate), args.out.display())?;
    Ok(())
}

fn revoke(args: &StatusArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let serial = args.which.serial()?;
    kogge_trust_services::revoke(&args.config.load()?, &serial, now()).map_err(fail)?;
    writeln!(out, "revoked {serial}; the OCSP responder says so from now on")?;
    Ok(())
}

fn reinstate(args: &StatusArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let serial = args.which.serial()?;
    kogge_trust_services::reinstate(&args.config.load()?, &serial, now()).map_err(fail)?;
    writeln!(out, "reinstated {serial}; the OCSP responder says so from now on")?;
    Ok(())
}

impl ConfigArg {
    fn load(&self) -> Result<Config, Failure> {
        Config::load(&self.config).or_unusable()
    }
}

impl Which {
    fn serial(&self) -> Result<Serial, Failure> {
        if let Some(text) = &self.serial {
            return Serial::parse(text).or_unusable();
        }
        self.certificate_serial().or_unusable()
    }

    fn certificate_serial(&self) -> anyhow::Result<Serial> {
        let path = self.certificate.as_deref().context("say which with --certificate or --serial")?;
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let chain = Certificate::from_pem(&text).with_context(|| path.display().to_string())?;
        Ok(Serial::from(chain.first().context("the file has no certificate")?))
    }
}

/// Trust services that are not there or do not open, and a bad request, are unusable inputs; all else a failure.
fn fail(error: TrustServicesError) -> Failure {
    match error {
        TrustServicesError::Missing(_) | TrustServicesError::Token(_) | TrustServicesError::Profile(_) => {
            Failure::Unusable(error.into())
        }
        _ => Failure::Failed(error.into()),
    }
}
