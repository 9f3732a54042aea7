//! Operators' decisions: each type is the arguments of one command and becomes one [`Change`].

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use kogge_central_registry::Change;
use kogge_certs::certificate::Certificate;
use kogge_certs::trust::{ApprovedCa, ApprovedTsa};
use kogge_proto::id::{MemberId, SecurityServerId, ServiceId, SubsystemId};

use super::{ConfigArg, fail, tell};
use crate::failure::{Failure, OrFail};

/// A decision with the registry that it is for.
#[derive(Args, Debug)]
pub(crate) struct ChangeArgs<C: Args> {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    change: C,
}

/// Arguments that say one change.
pub(crate) trait Decision {
    /// The change; an error if a file that it names cannot be used.
    fn into_change(self) -> anyhow::Result<Change>;
}

impl<C: Args + Decision> ChangeArgs<C> {
    /// Records the change.
    pub(super) fn carry_out(self, out: &mut dyn Write) -> Result<(), Failure> {
        let config = self.config.load()?;
        let change = self.change.into_change().or_unusable()?;
        tell(out, kogge_central_registry::change(&config, change).map_err(fail)?)
    }
}

/// Declares the arguments of one command and the change that they become.
macro_rules! decision {
    ($name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty),* $(,)? } => $change:expr) => {
        #[derive(Args, Debug)]
        pub(crate) struct $name {
            $($(#[$attribute])* $field: $type),*
        }

        impl Decision for $name {
            fn into_change(self) -> anyhow::Result<Change> {
                let Self { $($field),* } = self;
                Ok($change)
            }
        }
    };
}

decision!(AddMember {
    /// The member
    #[arg(value_name = "INSTANCE/CLASS/CODE")]
    member: MemberId,
    /// Its name, for people
    #[arg(long, value_name = "NAME")]
    name: String,
} => Change::AddMember { member, name });

decision!(RenameMember {
    /// The member
    #[arg(value_name = "INSTANCE/CLASS/CODE")]
    member: MemberId,
    /// Its new name, for people
    #[arg(long, value_name = "NAME")]
    name: String,
} => Change::RenameMember { member, name });

decision!(AddSubsystem {
    /// The subsystem
    #[arg(value_name = "INSTANCE/CLASS/CODE/SUBSYSTEM")]
    subsystem: SubsystemId,
    /// Its name, for people
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,
} => Change::AddSubsystem { subsystem, name });

decision!(RemoveSubsystem {
    /// The subsystem
    #[arg(value_name = "INSTANCE/CLASS/CODE/SUBSYSTEM")]
    subsystem: SubsystemId,
} => Change::RemoveSubsystem { subsystem });

decision!(AddServer {
    /// The security server
    #[arg(value_name = "INSTANCE/CLASS/CODE/SERVER")]
    server: SecurityServerId,
    /// Where peers reach it; may be repeated, in the order to try
    #[arg(long = "address", value_name = "HOST:PORT", required = true)]
    addresses: Vec<String>,
} => Change::AddSecurityServer { server, addresses });

decision!(SetAddress {
    /// The security server
    #[arg(value_name = "INSTANCE/CLASS/CODE/SERVER")]
    server: SecurityServerId,
    /// Where peers reach it; may be repeated, in the order to try
    #[arg(long = "address", value_name = "HOST:PORT", required = true)]
    addresses: Vec<String>,
} => Change::ChangeAddresses { server, addresses });

decision!(AddAuthCertificate {
    /// The security server
    #[arg(value_name = "INSTANCE/CLASS/CODE/SERVER")]
    server: SecurityServerId,
    /// PEM file whose first certificate it is
    #[arg(value_name = "FILE")]
    certificate: PathBuf,
} => Change::RegisterAuthCertificate { server, sha256: certificate_of(&certificate)?.sha256() });

decision!(RemoveAuthCertificate {
    /// The security server
    #[arg(value_name = "INSTANCE/CLASS/CODE/SERVER")]
    server: SecurityServerId,
    /// PEM file whose first certificate it is, or the certificate's SHA-256 as `show` prints it
    #[arg(value_name = "FILE|SHA256")]
    certificate: String,
} => Change::RemoveAuthCertificate { server, sha256: digest_of(&certificate)? });

decision!(AddClient {
    /// The security server
    #[arg(value_name = "INSTANCE/CLASS/CODE/SERVER")]
    server: SecurityServerId,
    /// The subsystem
    #[arg(value_name = "INSTANCE/CLASS/CODE/SUBSYSTEM")]
    subsystem: SubsystemId,
} => Change::RegisterClient { server, subsystem });

decision!(RemoveClient {
    /// The security server
    #[arg(value_name = "INSTANCE/CLASS/CODE/SERVER")]
    server: SecurityServerId,
    /// The subsystem
    #[arg(value_name = "INSTANCE/CLASS/CODE/SUBSYSTEM")]
    subsystem: SubsystemId,
} => Change::UnregisterClient { server, subsystem });

decision!(AddService {
    /// The service
    #[arg(value_name = "INSTANCE/CLASS/CODE/SUBSYSTEM/SERVICE")]
    service: ServiceId,
    /// Its title, for people
    #[arg(long, value_name = "TITLE", default_value = "")]
    title: String,
} => Change::AddService { service, title });

decision!(RemoveService {
    /// The service
    #[arg(value_name = "INSTANCE/CLASS/CODE/SUBSYSTEM/SERVICE")]
    service: ServiceId,
} => Change::RemoveService { service });

decision!(AddCa {
    /// Its name, for people
    #[arg(long, value_name = "NAME")]
    name: String,
    /// PEM file of its certificate
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// PEM file of intermediate CA certificates; may be repeated
    #[arg(long = "intermediate", value_name = "FILE")]
    intermediates: Vec<PathBuf>,
    /// Where its OCSP responder answers; may be repeated
    #[arg(long = "ocsp-url", value_name = "URL", required = true)]
    ocsp_urls: Vec<String>,
    /// PEM file of OCSP responder certificates that are approved by being listed; may be repeated
    #[arg(long = "ocsp-responder", value_name = "FILE")]
    ocsp_responders: Vec<PathBuf>,
} => Change::ApproveCa(ApprovedCa {
    name,
    certificate: certificate_of(&certificate)?,
    intermediates: certificates_of(&intermediates)?,
    ocsp_urls,
    ocsp_responders: certificates_of(&ocsp_responders)?,
}));

decision!(RemoveCa {
    /// Its name
    #[arg(long, value_name = "NAME")]
    name: String,
} => Change::RemoveCa { name });

decision!(AddTsa {
    /// Its name, for people
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Where it answers
    #[arg(long, value_name = "URL")]
    url: String,
    /// PEM file of its signing certificate
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// An accepted policy as a dotted object identifier; may be repeated
    #[arg(long = "policy", value_name = "OID", required = true)]
    policies: Vec<String>,
} => Change::ApproveTsa(ApprovedTsa { name, url, certificate: certificate_of(&certificate)?, policies }));

decision!(RemoveTsa {
    /// Its name
    #[arg(long, value_name = "NAME")]
    name: String,
} => Change::RemoveTsa { name });

decision!(Suspend {
    /// A member or a security server
    #[arg(value_name = "INSTANCE/CLASS/CODE[/SERVER]")]
    party: String,
} => match Party::parse(&party)? {
    Party::Member(member) => Change::SuspendMember { member },
    Party::Server(server) => Change::SuspendSecurityServer { server },
});

decision!(Resume {
    /// A member or a security server
    #[arg(value_name = "INSTANCE/CLASS/CODE[/SERVER]")]
    party: String,
} => match Party::parse(&party)? {
    Party::Member(member) => Change::ResumeMember { member },
    Party::Server(server) => Change::ResumeSecurityServer { server },
});

/// Whoever can be suspended; told apart by the number of parts.
enum Party {
    Member(MemberId),
    Server(SecurityServerId),
}

impl Party {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let parsed = match text.split('/').count() {
            3 => MemberId::parse(text).map(Self::Member),
            _ => SecurityServerId::parse(text).map(Self::Server),
        };
        parsed.with_context(|| format!("{text:?} is neither a member nor a security server"))
    }
}

fn certificate_of(path: &Path) -> anyhow::Result<Certificate> {
    match read(path)?.into_iter().next() {
        Some(first) => Ok(first),
        None => bail!("{} has no certificate", path.display()),
    }
}

fn certificates_of(paths: &[PathBuf]) -> anyhow::Result<Vec<Certificate>> {
    Ok(paths.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?.concat())
}

fn digest_of(text: &str) -> anyhow::Result<kogge_proto::digest::Sha256> {
    let digest = hex::decode(text).ok().and_then(|bytes| kogge_proto::digest::Sha256::from_slice(&bytes));
    match digest {
        Some(digest) => Ok(digest),
        None => Ok(certificate_of(Path::new(text))?.sha256()),
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<Certificate>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Certificate::from_pem(&text).with_context(|| path.display().to_string())
}
