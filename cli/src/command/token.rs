//! `kogge token`: keys and certificates in a software token.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand, ValueEnum};
use kogge_certs::certificate::Certificate;
use kogge_certs::profile::{self, Subject};
use kogge_signer::{KeyEntry, KeyUse, NewKeyKind, PinSource, SoftToken};
use serde_json::json;

use super::subject::SubjectArgs;
use crate::failure::{Failure, OrFail};
use crate::output;

/// What to do with a token.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an empty token under a PIN
    #[command(
        after_help = "Example:\n  kogge token init --dir /var/lib/kogge/token --pin file:/etc/kogge/pin"
    )]
    Init(InitArgs),
    /// Generate a key and print its id
    #[command(after_help = "Examples:
  kogge token generate --dir token --use signing --label \"signing 2026\"
  kogge token generate --dir token --use authentication --pin file:pin")]
    Generate(GenerateArgs),
    /// List keys and certificates; needs no PIN
    #[command(after_help = "Example:\n  kogge token list --dir token")]
    List(ListArgs),
    /// Make a certificate request (PKCS#10) for a key, to be handed to an approved CA
    #[command(after_help = "Examples:
  kogge token request --dir token --key 3f2a --name \"City of Bremen\" \\
      --member DEMO/GOV/1001 --server DEMO/GOV/1001/SS1 --out signing.csr      (a signing key)
  kogge token request --dir token --key 91bc --name \"City of Bremen\" \\
      --server DEMO/GOV/1001/SS1 --out auth.csr                                (an authentication key)
  kogge token request --dir token --key 77d0 --dns-name registry.example --out tls.csr   (a service key)")]
    Request(RequestArgs),
    /// Import certificates that a CA has issued; needs no PIN
    #[command(after_help = "Example:\n  kogge token import --dir token signing.pem auth.pem")]
    Import(ImportArgs),
}

/// Which token.
#[derive(Args, Debug)]
pub(crate) struct TokenDir {
    /// Directory of the token
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

/// Where the PIN comes from.
#[derive(Args, Debug)]
pub(crate) struct PinArgs {
    /// Where the PIN comes from: file:PATH, env:NAME or prompt
    // Parsed later: a parser's error would repeat what was given, and that may be a PIN in the wrong place.
    #[arg(long, value_name = "SOURCE", default_value = "prompt")]
    pin: String,
}

#[derive(Args, Debug)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    token: TokenDir,
    #[command(flatten)]
    pin: PinArgs,
}

#[derive(Args, Debug)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    token: TokenDir,
    #[command(flatten)]
    pin: PinArgs,
    /// What the key is for
    #[arg(long = "use", value_name = "USE")]
    key_use: UseArg,
    /// Kind of key
    #[arg(long, value_name = "KIND", default_value = "p256")]
    kind: KindArg,
    /// Your own words for it
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,
}

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    token: TokenDir,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RequestArgs {
    #[command(flatten)]
    token: TokenDir,
    #[command(flatten)]
    pin: PinArgs,
    /// The key, by its id or the first characters of it
    #[arg(long, value_name = "ID")]
    key: String,
    #[command(flatten)]
    subject: SubjectArgs,
    /// Common name of a CA, OCSP responder or TSA (service keys)
    #[arg(long, value_name = "NAME", conflicts_with = "dns_names")]
    common_name: Option<String>,
    /// Where to write the request (PEM); standard output if absent
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    token: TokenDir,
    /// PEM files, each with a certificate followed by its intermediates
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum UseArg {
    /// A member's message signatures
    Signing,
    /// A security server's connections to its peers
    Authentication,
    /// Anything else: HTTPS, a trust service, the registry
    Service,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KindArg {
    P256,
    #[value(name = "rsa-2048")]
    Rsa2048,
    #[value(name = "rsa-3072")]
    Rsa3072,
    #[value(name = "rsa-4096")]
    Rsa4096,
    Ed25519,
}

/// Carries it out.
pub(crate) fn run(command: Command, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    match command {
        Command::Init(args) => init(&args, out),
        Command::Generate(args) => generate(&args, out),
        Command::List(args) => list(&args, out),
        Command::Request(args) => request(&args, out),
        Command::Import(args) => import(&args, out),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn init(args: &InitArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let pin = args.pin.source()?.read_new().or_unusable()?;
    SoftToken::create(&args.token.dir, &pin).or_failed()?;
    writeln!(out, "made a token in {}; generate keys with `kogge token generate`", args.token.dir.display())?;
    Ok(())
}

fn generate(args: &GenerateArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let token = open(&args.token.dir, &args.pin)?;
    let id = token.generate(args.kind.into(), args.key_use.into(), &args.label).or_failed()?;
    writeln!(out, "{id}")?;
    Ok(())
}

fn list(args: &ListArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let entries = kogge_signer::entries(&args.token.dir).or_unusable()?;
    if args.json {
        let keys: Vec<_> = entries.iter().map(key_json).collect();
        return Ok(output::json(out, &keys)?);
    }
    if entries.is_empty() {
        writeln!(out, "no keys yet; make one with `kogge token generate`")?;
    }
    for entry in &entries {
        writeln!(
            out,
            "{}  {:<14}  {:?}  {}",
            entry.id,
            entry.key_use.as_str(),
            entry.public_key.kind(),
            entry.label
        )?;
        if entry.chains.is_empty() {
            writeln!(out, "    no certificate: make a request with `kogge token request`")?;
        }
        for leaf in entry.chains.iter().filter_map(|chain| chain.first()) {
            let (subject, issuer) = (output::line(&leaf.subject()), output::line(&leaf.issuer()));
            writeln!(out, "    {subject}, by {issuer}, until {}", leaf.not_after())?;
        }
    }
    Ok(())
}

fn key_json(entry: &KeyEntry) -> serde_json::Value {
    let certificate = |leaf: &Certificate| {
        json!({
            "sha256": leaf.sha256().to_string(), "subject": leaf.subject(), "issuer": leaf.issuer(),
            "not_before": leaf.not_before().to_string(), "not_after": leaf.not_after().to_string(),
        })
    };
    let certificates: Vec<_> =
        entry.chains.iter().filter_map(|chain| chain.first()).map(certificate).collect();
    json!({
        "id": entry.id.to_string(), "use": entry.key_use.as_str(), "label": entry.label,
        "kind": format!("{:?}", entry.public_key.kind()), "certificates": certificates,
    })
}

fn request(args: &RequestArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let entries = kogge_signer::entries(&args.token.dir).or_unusable()?;
    let entry = find(&entries, &args.key).or_unusable()?;
    let subject = subject(args, entry.key_use).or_unusable()?;
    let key = open(&args.token.dir, &args.pin)?.key(&entry.id).or_failed()?;
    let pem = pem(&profile::request(&*key, &subject).or_failed()?);
    match &args.out {
        Some(path) => kogge_durable::write_atomic(path, pem.as_bytes(), false).or_failed()?,
        None => out.write_all(pem.as_bytes())?,
    }
    Ok(())
}

fn find<'a>(entries: &'a [KeyEntry], id: &str) -> anyhow::Result<&'a KeyEntry> {
    let mut found = entries.iter().filter(|entry| entry.id.to_string().starts_with(id));
    match (found.next(), found.next()) {
        (Some(entry), None) => Ok(entry),
        (Some(_), Some(_)) => bail!("more than one key begins with {id:?}: give more of the id"),
        _ => bail!("no key begins with {id:?}: see `kogge token list`"),
    }
}

fn subject(args: &RequestArgs, key_use: KeyUse) -> anyhow::Result<Subject> {
    match (key_use, &args.common_name) {
        (KeyUse::Signing, _) => args.subject.signing(),
        (KeyUse::Authentication, _) => args.subject.authentication(),
        (KeyUse::Service, Some(common_name)) => Ok(args.subject.service(common_name)),
        (KeyUse::Service, None) => {
            args.subject.tls().context("or --common-name, if it is for a trust service")
        }
    }
}

fn import(args: &ImportArgs, out: &mut dyn Write) -> Result<(), Failure> {
    for path in &args.files {
        let text =
            std::fs::read_to_string(path).or_unusable_with(format_args!("cannot read {}", path.display()))?;
        let chain = Certificate::from_pem(&text).or_unusable_with(path.display())?;
        let id = kogge_signer::import_chain(&args.token.dir, &chain).or_failed()?;
        writeln!(out, "{}: imported for key {id}", path.display())?;
    }
    Ok(())
}

fn open(dir: &Path, pin: &PinArgs) -> Result<SoftToken, Failure> {
    if !dir.is_dir() {
        return Err(Failure::Unusable(kogge_signer::TokenError::Missing(dir.to_path_buf()).into()));
    }
    let pin = pin.source()?.read().or_unusable()?;
    SoftToken::open(dir, &pin).or_unusable()
}

impl PinArgs {
    fn source(&self) -> Result<PinSource, Failure> {
        PinSource::parse(&self.pin).or_unusable()
    }
}

/// RFC 7468 section 7.
fn pem(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = String::from("-----BEGIN CERTIFICATE REQUEST-----\n");
    let mut rest = base64.as_str();
    while let Some((line, more)) =
        rest.split_at_checked(PEM_LINE.min(rest.len())).filter(|(line, _)| !line.is_empty())
    {
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str("-----END CERTIFICATE REQUEST-----\n");
    text
}

impl From<UseArg> for KeyUse {
    fn from(arg: UseArg) -> Self {
        match arg {
            UseArg::Signing => Self::Signing,
            UseArg::Authentication => Self::Authentication,
            UseArg::Service => Self::Service,
        }
    }
}

impl From<KindArg> for NewKeyKind {
    fn from(arg: KindArg) -> Self {
        match arg {
            KindArg::P256 => Self::EcdsaP256,
            KindArg::Rsa2048 => Self::Rsa(2048),
            KindArg::Rsa3072 => Self::Rsa(3072),
            KindArg::Rsa4096 => Self::Rsa(4096),
            KindArg::Ed25519 => Self::Ed25519,
        }
    }
}

/// Characters of base64 per line.
const PEM_LINE: usize = 64;
