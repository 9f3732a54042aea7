//! More of everything: client subsystems, services, and members that take no part.

use kogge_central_registry::{Change, Operator};
use kogge_proto::digest::sha256;
use kogge_proto::id::{MemberId, SecurityServerId, ServiceId, SubsystemId};

use super::Shape;

/// Registers them.
///
/// # Errors
/// The registry refuses a change.
pub(super) fn register(
    shape: &Shape,
    consumer_server: &str,
    provider: &str,
    operator: &mut Operator,
) -> anyhow::Result<()> {
    let server = SecurityServerId::parse(consumer_server)?;
    let mut changes = Vec::new();
    for client in clients(shape, &server.owner().to_string()) {
        let subsystem = SubsystemId::parse(&client)?;
        changes.push(Change::AddSubsystem { subsystem: subsystem.clone(), name: client });
        changes.push(Change::RegisterClient { server: server.clone(), subsystem });
    }
    for service in services(shape, provider) {
        changes.push(Change::AddService { service: ServiceId::parse(&service)?, title: service });
    }
    if !changes.is_empty() {
        operator.change_all(changes)?;
    }
    let bystanders: Vec<u32> = (1..=shape.bystanders).collect();
    for some in bystanders.chunks(BYSTANDERS_AT_ONCE) {
        let changes = some.iter().map(|number| bystander(*number)).collect::<anyhow::Result<Vec<_>>>()?;
        operator.change_all(changes.into_iter().flatten())?;
    }
    Ok(())
}

/// A member with everything that one has; its certificate is of nobody.
fn bystander(number: u32) -> anyhow::Result<Vec<Change>> {
    let text = format!("DEMO/COM/{number:07}");
    let member = MemberId::parse(&text)?;
    let subsystem = SubsystemId::parse(&format!("{text}/records"))?;
    let server = SecurityServerId::parse(&format!("{text}/SS1"))?;
    let service = ServiceId::parse(&format!("{text}/records/entries"))?;
    Ok(vec![
        Change::AddMember { member, name: format!("Bystander {number}") },
        Change::AddSubsystem { subsystem: subsystem.clone(), name: format!("Records of {number}") },
        Change::AddService { service, title: "Entries".to_owned() },
        Change::AddSecurityServer {
            server: server.clone(),
            addresses: vec![format!("ss1.m{number}.example:5500")],
        },
        Change::RegisterAuthCertificate { server: server.clone(), sha256: sha256(text.as_bytes()) },
        Change::RegisterClient { server, subsystem },
    ])
}

/// The identifiers of the further client subsystems.
pub(super) fn clients(shape: &Shape, member: &str) -> Vec<String> {
    (1..=shape.clients).map(|number| format!("{member}/c{number:03}")).collect()
}

/// The identifiers of the further services of a subsystem.
pub(super) fn services(shape: &Shape, subsystem: &str) -> Vec<String> {
    (1..=shape.services).map(|number| format!("{subsystem}/s{number:03}")).collect()
}

/// Who may call what: each service is open to [`CLIENTS_PER_SERVICE`] clients, beginning with the one of its own number.
pub(super) fn clients_of(service: usize, clients: &[String]) -> impl Iterator<Item = &String> {
    clients.iter().cycle().skip(service).take(CLIENTS_PER_SERVICE.min(clients.len()))
}

/// Enough that most pairs are refused and a thousand are not.
const CLIENTS_PER_SERVICE: usize = 10;
/// Members in one decision of the registry, which takes some changes for each.
const BYSTANDERS_AT_ONCE: usize = 10_000;
