//! `kogge central-registry`: the authority of an instance.

mod change;
mod policy;
mod show;
mod verificationconf;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use kogge_central_registry::{Applied, Config, InitOptions, OnlineKey, RegistryError};
use kogge_certs::anchor::Environment;

use self::change::ChangeArgs;
use self::policy::PolicyArgs;
use super::serve::{self, RunArgs};
use crate::failure::{Failure, OrFail};

/// What to do with a registry.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish the signed snapshot until SIGTERM
    #[command(after_help = "Examples:
  kogge central-registry run --config central-registry.toml
  kogge central-registry run --config central-registry.toml --check-config")]
    Run(RunArgs),
    /// Bring an instance into being: keys, journal and the anchor that all who take part must get
    #[command(after_help = "Example:
  kogge central-registry init --config central-registry.toml --instance DEMO --environment test")]
    Init(InitArgs),
    /// Show what has been decided
    #[command(after_help = "Example:\n  kogge central-registry show --config central-registry.toml")]
    Show(show::ShowArgs),
    /// Admit a member
    #[command(after_help = "Example:
  kogge central-registry add-member --config central-registry.toml DEMO/GOV/1001 --name \"City of Bremen\"")]
    AddMember(ChangeArgs<change::AddMember>),
    /// Give a member another name
    #[command(after_help = "Example:
  kogge central-registry rename-member --config central-registry.toml DEMO/GOV/1001 --name \"Bremen\"")]
    RenameMember(ChangeArgs<change::RenameMember>),
    /// Register a member's information system
    #[command(after_help = "Example:
  kogge central-registry add-subsystem --config central-registry.toml DEMO/GOV/1001/portal --name \"Citizens' portal\"")]
    AddSubsystem(ChangeArgs<change::AddSubsystem>),
    /// Remove a subsystem, after its services and registrations
    #[command(after_help = "Example:
  kogge central-registry remove-subsystem --config central-registry.toml DEMO/GOV/1001/portal")]
    RemoveSubsystem(ChangeArgs<change::RemoveSubsystem>),
    /// Register a member's security server
    #[command(after_help = "Example:
  kogge central-registry add-server --config central-registry.toml DEMO/GOV/1001/SS1 --address ss1.example:5500")]
    AddServer(ChangeArgs<change::AddServer>),
    /// Change the addresses of a security server
    #[command(after_help = "Example:
  kogge central-registry set-address --config central-registry.toml DEMO/GOV/1001/SS1 --address new.example:5500")]
    SetAddress(ChangeArgs<change::SetAddress>),
    /// Register an authentication certificate of a security server
    #[command(after_help = "Example:
  kogge central-registry add-auth-certificate --config central-registry.toml DEMO/GOV/1001/SS1 auth.pem")]
    AddAuthCertificate(ChangeArgs<change::AddAuthCertificate>),
    /// Remove an authentication certificate of a security server
    #[command(after_help = "Example:
  kogge central-registry remove-auth-certificate --config central-registry.toml DEMO/GOV/1001/SS1 auth.pem")]
    RemoveAuthCertificate(ChangeArgs<change::RemoveAuthCertificate>),
    /// Register a subsystem on a security server
    #[command(after_help = "Example:
  kogge central-registry add-client --config central-registry.toml DEMO/GOV/1001/SS1 DEMO/GOV/1001/portal")]
    AddClient(ChangeArgs<change::AddClient>),
    /// Remove a subsystem from a security server
    #[command(after_help = "Example:
  kogge central-registry remove-client --config central-registry.toml DEMO/GOV/1001/SS1 DEMO/GOV/1001/portal")]
    RemoveClient(ChangeArgs<change::RemoveClient>),
    /// Put a service into the catalogue
    #[command(after_help = "Example:
  kogge central-registry add-service --config central-registry.toml DEMO/GOV/2002/population/persons --title \"Residents\"")]
    AddService(ChangeArgs<change::AddService>),
    /// Remove a service from the catalogue
    #[command(after_help = "Example:
  kogge central-registry remove-service --config central-registry.toml DEMO/GOV/2002/population/persons")]
    RemoveService(ChangeArgs<change::RemoveService>),
    /// Approve a certification authority
    #[command(after_help = "Example:
  kogge central-registry add-ca --config central-registry.toml --name \"Demo CA\" --certificate ca.pem \\
      --ocsp-url http://ca.example/ocsp")]
    AddCa(ChangeArgs<change::AddCa>),
    /// Withdraw the approval of a certification authority
    #[command(
        after_help = "Example:\n  kogge central-registry remove-ca --config central-registry.toml --name \"Demo CA\""
    )]
    RemoveCa(ChangeArgs<change::RemoveCa>),
    /// Approve a timestamping authority
    #[command(after_help = "Example:
  kogge central-registry add-tsa --config central-registry.toml --name \"Demo TSA\" --url http://tsa.example/tsa \\
      --certificate tsa.pem --policy 1.3.6.1.4.1.99999.1")]
    AddTsa(ChangeArgs<change::AddTsa>),
    /// Withdraw the approval of a timestamping authority
    #[command(
        after_help = "Example:\n  kogge central-registry remove-tsa --config central-registry.toml --name \"Demo TSA\""
    )]
    RemoveTsa(ChangeArgs<change::RemoveTsa>),
    /// Suspend a member or a security server
    #[command(after_help = "Examples:
  kogge central-registry suspend --config central-registry.toml DEMO/GOV/1001
  kogge central-registry suspend --config central-registry.toml DEMO/GOV/1001/SS1")]
    Suspend(ChangeArgs<change::Suspend>),
    /// Let a suspended member or security server take part again
    #[command(
        after_help = "Example:\n  kogge central-registry resume --config central-registry.toml DEMO/GOV/1001"
    )]
    Resume(ChangeArgs<change::Resume>),
    /// Change the instance's limits in time; what is not given stays
    #[command(after_help = "Example:
  kogge central-registry policy --config central-registry.toml --timestamp-interval 60 --timestamp-failure 14400")]
    Policy(PolicyChangeArgs),
    /// Have the root key name the online key anew, for another year
    #[command(after_help = "Examples:
  kogge central-registry renew-delegation --config central-registry.toml
  kogge central-registry renew-delegation --config central-registry.toml --new-key   (the old one may be known to others)")]
    RenewDelegation(RenewArgs),
    /// Write a snapshot as the configuration directory that X-Road's own verifier needs, and `kogge verify --globalconf`
    #[command(after_help = "Example:
  kogge central-registry export-verificationconf --anchor anchor.toml --snapshot snapshot --out verificationconf")]
    ExportVerificationconf(verificationconf::ExportArgs),
}

/// Which registry.
#[derive(Args, Debug)]
pub(crate) struct ConfigArg {
    /// The registry's configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The instance's code, first part of every identifier
    #[arg(long, value_name = "CODE")]
    instance: String,
    /// Test, or production with real data; can never be changed
    #[arg(long, value_name = "ENVIRONMENT")]
    environment: EnvironmentArg,
    #[command(flatten)]
    policy: PolicyArgs,
}

#[derive(Args, Debug)]
pub(crate) struct PolicyChangeArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    policy: PolicyArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RenewArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Make a new online key and let the old one go
    #[arg(long)]
    new_key: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EnvironmentArg {
    Test,
    Production,
}

/// Carries it out.
pub(crate) fn run(command: Command, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(args) => return serve::run(&args, Config::load, kogge_central_registry::run, out),
        Command::Init(args) => init(&args, out),
        Command::Show(args) => show::run(&args, out),
        Command::AddMember(args) => args.carry_out(out),
        Command::RenameMember(args) => args.carry_out(out),
        Command::AddSubsystem(args) => args.carry_out(out),
        Command::RemoveSubsystem(args) => args.carry_out(out),
        Command::AddServer(args) => args.carry_out(out),
        Command::SetAddress(args) => args.carry_out(out),
        Command::AddAuthCertificate(args) => args.carry_out(out),
        Command::RemoveAuthCertificate(args) => args.carry_out(out),
        Command::AddClient(args) => args.carry_out(out),
        Command::RemoveClient(args) => args.carry_out(out),
        Command::AddService(args) => args.carry_out(out),
        Command::RemoveService(args) => args.carry_out(out),
        Command::AddCa(args) => args.carry_out(out),
        Command::RemoveCa(args) => args.carry_out(out),
        Command::AddTsa(args) => args.carry_out(out),
        Command::RemoveTsa(args) => args.carry_out(out),
        Command::Suspend(args) => args.carry_out(out),
        Command::Resume(args) => args.carry_out(out),
        Command::Policy(args) => policy::run(&args, out),
        Command::RenewDelegation(args) => renew(&args, out),
        Command::ExportVerificationconf(args) => verificationconf::run(&args, out),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn init(args: &InitArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let config = args.config.load()?;
    let options = InitOptions {
        instance: args.instance.clone(),
        environment: match args.environment {
            EnvironmentArg::Test => Environment::Test,
            EnvironmentArg::Production => Environment::Production,
        },
        policy: args.policy.over(&policy::TO_BEGIN_WITH),
    };
    let anchor = kogge_central_registry::init(&config, &options).map_err(fail)?;
    let file = config.dir.join("anchor.toml");
    writeln!(
        out,
        "made the instance {}; hand {} to everybody who takes part",
        anchor.instance(),
        file.display()
    )?;
    Ok(())
}

fn renew(args: &RenewArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let config = args.config.load()?;
    let online = if args.new_key { OnlineKey::Replace } else { OnlineKey::Keep };
    tell(out, kogge_central_registry::renew_delegation(&config, online).map_err(fail)?)
}

impl ConfigArg {
    fn load(&self) -> Result<Config, Failure> {
        Config::load(&self.config).or_unusable()
    }
}

fn tell(out: &mut dyn Write, applied: Applied) -> Result<(), Failure> {
    writeln!(out, "recorded as decision {}", applied.sequence)?;
    Ok(())
}

/// A registry that is not there or does not open is an unusable input, all else a failure.
fn fail(error: RegistryError) -> Failure {
    match error {
        RegistryError::Missing(_) | RegistryError::Unfinished(_) | RegistryError::Token(_) => {
            Failure::Unusable(error.into())
        }
        _ => Failure::Failed(error.into()),
    }
}
