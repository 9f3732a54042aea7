//! `kogge central-registry show`: what has been decided so far.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::Args;
use kogge_central_registry::State;
use kogge_certs::certificate::Certificate;
use kogge_proto::id::{SecurityServerId, SubsystemId};
use serde_json::{Value, json};

use super::{ConfigArg, fail};
use crate::failure::Failure;
use crate::output::{self, line};

#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Carries it out.
pub(super) fn run(args: &ShowArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let config = args.config.load()?;
    let state = kogge_central_registry::show(&config).map_err(fail)?;
    if args.json { output::json(out, &as_json(&state)) } else { as_text(&state, out) }?;
    Ok(())
}

fn as_text(state: &State, out: &mut dyn Write) -> io::Result<()> {
    let policy = state.policy();
    writeln!(out, "instance {} ({})", state.instance(), state.environment())?;
    writeln!(
        out,
        "policy: OCSP responses at most {} s old, timestamps every {} s, no exchanges once a record has waited {} s for one, clocks within {} s",
        policy.ocsp_freshness.as_secs(),
        policy.timestamp_interval.as_secs(),
        policy.timestamp_failure.as_secs(),
        policy.clock_skew.as_secs()
    )?;
    writeln!(
        out,
        "online keys: delegation {} until {}",
        state.delegation().version,
        state.delegation().expires
    )?;
    for member in state.members() {
        writeln!(out, "member {}  {}{}", member.id, line(&member.name), suspended(member.suspended))?;
    }
    for subsystem in state.subsystems() {
        writeln!(out, "subsystem {}  {}", subsystem.id, line(&subsystem.name))?;
    }
    let clients = clients(state);
    for server in state.security_servers() {
        writeln!(
            out,
            "security server {}  {}{}",
            server.id,
            server.addresses.join(" "),
            suspended(server.suspended)
        )?;
        for certificate in &server.auth_certificates {
            writeln!(out, "    authentication certificate {certificate}")?;
        }
        for client in clients.get(&server.id).into_iter().flatten() {
            writeln!(out, "    client {client}")?;
        }
    }
    for service in state.services() {
        writeln!(out, "service {}  {}", service.id, line(&service.title))?;
    }
    for ca in state.cas() {
        writeln!(out, "CA {:?}  {}, OCSP {}", ca.name, about(&ca.certificate), ca.ocsp_urls.join(" "))?;
    }
    for tsa in state.tsas() {
        let policies = tsa.policies.join(" ");
        writeln!(out, "TSA {:?}  {}, {}, policies {policies}", tsa.name, about(&tsa.certificate), tsa.url)?;
    }
    Ok(())
}

/// The subsystems on each server.
fn clients(state: &State) -> BTreeMap<&SecurityServerId, Vec<&SubsystemId>> {
    let mut clients: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (subsystem, server) in state.registrations() {
        clients.entry(server).or_default().push(subsystem);
    }
    clients
}

fn suspended(is_suspended: bool) -> &'static str {
    if is_suspended { "  SUSPENDED" } else { "" }
}

fn about(certificate: &Certificate) -> String {
    format!("{} until {}", line(&certificate.subject()), certificate.not_after())
}

fn as_json(state: &State) -> Value {
    let policy = state.policy();
    let clients = clients(state);
    json!({
        "instance": state.instance(),
        "environment": state.environment().as_str(),
        "policy": {
            "ocsp_freshness_s": policy.ocsp_freshness.as_secs(),
            "timestamp_interval_s": policy.timestamp_interval.as_secs(),
            "timestamp_failure_s": policy.timestamp_failure.as_secs(),
            "clock_skew_s": policy.clock_skew.as_secs(),
        },
        "delegation": {
            "version": state.delegation().version,
            "expires": state.delegation().expires.to_string(),
        },
        "members": state.members().map(|member| json!({
            "id": member.id.to_string(), "name": member.name, "suspended": member.suspended,
        })).collect::<Vec<_>>(),
        "subsystems": state.subsystems().map(|subsystem| json!({
            "id": subsystem.id.to_string(), "name": subsystem.name,
        })).collect::<Vec<_>>(),
        "security_servers": state.security_servers().map(|server| json!({
            "id": server.id.to_string(), "addresses": server.addresses, "suspended": server.suspended,
            "auth_certificates": server.auth_certificates.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "clients": clients.get(&server.id).into_iter().flatten().map(ToString::to_string).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "services": state.services().map(|service| json!({
            "id": service.id.to_string(), "title": service.title,
        })).collect::<Vec<_>>(),
        "cas": state.cas().map(|ca| json!({
            "name": ca.name, "certificate_sha256": ca.certificate.sha256().to_string(), "ocsp_urls": ca.ocsp_urls,
        })).collect::<Vec<_>>(),
        "tsas": state.tsas().map(|tsa| json!({
            "name": tsa.name, "certificate_sha256": tsa.certificate.sha256().to_string(), "url": tsa.url,
            "policies": tsa.policies,
        })).collect::<Vec<_>>(),
    })
}
