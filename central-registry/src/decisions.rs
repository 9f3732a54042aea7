//! From a list of parties to the decisions that bring them in: for taking in a whole instance at once.

use kogge_certs::snapshot::Draft;

use crate::state::Change;

/// What leads from an instance without parties to the parties of `draft`, in an order in which each decision stands on those before it.
/// To be given to [`crate::Operator::change_all`] in portions of at most [`crate::CHANGES_MAX`]. Policy and trust services are left out.
pub fn decisions(draft: &Draft) -> impl Iterator<Item = Change> {
    let members = draft
        .members
        .iter()
        .map(|member| Change::AddMember { member: member.id.clone(), name: member.name.clone() });
    let suspended = draft.members.iter().filter(|member| member.suspended);
    let suspended = suspended.map(|member| Change::SuspendMember { member: member.id.clone() });
    let servers = draft.security_servers.iter().flat_map(|server| {
        let id = || server.id.clone();
        let add = Change::AddSecurityServer { server: id(), addresses: server.addresses.clone() };
        let certificates = server.auth_certificates.iter();
        let certificates =
            certificates.map(move |sha256| Change::RegisterAuthCertificate { server: id(), sha256: *sha256 });
        let suspend = server.suspended.then(|| Change::SuspendSecurityServer { server: id() });
        std::iter::once(add).chain(certificates).chain(suspend)
    });
    let subsystems = draft.subsystems.iter().map(|subsystem| Change::AddSubsystem {
        subsystem: subsystem.id.clone(),
        name: subsystem.name.clone(),
    });
    let clients = draft.registrations.iter().flat_map(|(subsystem, servers)| {
        let register = |server: &_| Change::RegisterClient {
            server: Clone::clone(server),
            subsystem: subsystem.clone(),
        };
        servers.iter().map(register)
    });
    let services = draft
        .services
        .iter()
        .map(|service| Change::AddService { service: service.id.clone(), title: service.title.clone() });
    members.chain(servers).chain(subsystems).chain(clients).chain(services).chain(suspended)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kogge_certs::snapshot::Population;

    use super::*;
    use crate::state::{Event, State};
    use crate::testing::{Keys, NOW};

    #[test]
    fn the_decisions_lead_to_the_draft() {
        let mut state = State::create(&Keys::new().created()).unwrap();
        let mut wanted = state.draft(1, NOW, Duration::from_secs(60));
        Population::of(25).add_to(&mut wanted).unwrap();
        wanted.members[3].suspended = true;
        wanted.security_servers[4].suspended = true;
        for change in decisions(&wanted) {
            state.apply(&Event::Changed(change)).unwrap();
        }
        wanted.members.sort_by_key(|member| member.id.clone());
        wanted.subsystems.sort_by_key(|subsystem| subsystem.id.clone());
        wanted.security_servers.sort_by_key(|server| server.id.clone());
        wanted.services.sort_by_key(|service| service.id.clone());
        let reached = state.draft(1, NOW, Duration::from_secs(60));
        assert_eq!(format!("{reached:?}"), format!("{wanted:?}"));
        assert_eq!(
            (reached.members.len(), reached.security_servers.len(), reached.services.len()),
            (25, 30, 75)
        );
    }
}
