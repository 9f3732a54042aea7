//! Whom a certificate is for, as options: the same for requests and for the development CA that grants them.

use anyhow::{anyhow, bail};
use clap::Args;
use kogge_certs::profile::Subject;
use kogge_proto::id::{MemberId, SecurityServerId};

/// The subject of a certificate; which options it takes depends on what the certificate is for.
#[derive(Args, Debug)]
pub(crate) struct SubjectArgs {
    /// Name of the organisation
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,
    /// The member that signs (signing)
    #[arg(long, value_name = "INSTANCE/CLASS/CODE")]
    member: Option<MemberId>,
    /// The security server (signing and authentication)
    #[arg(long, value_name = "INSTANCE/CLASS/CODE/SERVER")]
    server: Option<SecurityServerId>,
    /// DNS name or IP address of an HTTPS server; may be repeated
    #[arg(long = "dns-name", value_name = "NAME")]
    dns_names: Vec<String>,
}

impl SubjectArgs {
    /// Of a signing certificate.
    pub(super) fn signing(&self) -> anyhow::Result<Subject> {
        let member =
            self.member.clone().ok_or_else(|| anyhow!("a certificate for signing needs --member"))?;
        Ok(Subject::Signing { member, name: self.name()?, server: self.server("signing")? })
    }

    /// Of an authentication certificate.
    pub(super) fn authentication(&self) -> anyhow::Result<Subject> {
        Ok(Subject::Authentication { server: self.server("authentication")?, name: self.name()? })
    }

    /// Of an HTTPS server's certificate.
    pub(super) fn tls(&self) -> anyhow::Result<Subject> {
        if self.dns_names.is_empty() {
            bail!("a certificate for HTTPS needs --dns-name");
        }
        Ok(Subject::Tls { names: self.dns_names.clone() })
    }

    /// Of a trust service or the registry, under this common name.
    pub(super) fn service(&self, common_name: &str) -> Subject {
        Subject::Service { common_name: common_name.to_owned(), organisation: self.name.clone() }
    }

    fn name(&self) -> anyhow::Result<String> {
        if self.name.is_empty() {
            bail!("--name is missing: the name of the organisation")
        } else {
            Ok(self.name.clone())
        }
    }

    fn server(&self, what: &str) -> anyhow::Result<SecurityServerId> {
        self.server.clone().ok_or_else(|| anyhow!("a certificate for {what} needs --server"))
    }
}
