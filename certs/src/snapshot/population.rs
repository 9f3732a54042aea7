//! Made-up parties in any number, to measure how an instance grows. They look like what registries hold, and none of them exists.

use kogge_proto::digest::sha256;
use kogge_proto::id::{IdError, MemberId, SecurityServerId, ServiceId, SubsystemId};

use super::{Draft, Member, SecurityServer, Service, Subsystem};

/// How many. A thousand members of a real instance have about 1,200 servers and 3,000 services.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Population {
    /// Members, each with one subsystem and every second one with a second one.
    pub members: usize,
    /// Security servers, spread evenly: the first ones are one per member.
    pub servers: usize,
    /// Services, spread evenly over the members' first subsystems.
    pub services: usize,
}

impl Population {
    /// Of so many members, with as many servers and services as they usually have.
    #[must_use]
    pub fn of(members: usize) -> Self {
        Self { members, servers: members + members / 5, services: 3 * members }
    }

    /// Adds them to a draft. Each subsystem is registered on its member's own servers, and with every fifth member also on the first
    /// server of the member before; so without servers there are no registrations.
    ///
    /// # Errors
    /// The draft's instance is not valid.
    pub fn add_to(&self, draft: &mut Draft) -> Result<(), IdError> {
        let mut neighbour = None;
        for number in 0..self.members {
            let class = if number % 10 == 9 { "COM" } else { "GOV" };
            let id = MemberId::new(&draft.instance, class, &format!("7{number:07}"))?;
            let name = format!("Agency of example affairs {number}");
            draft.members.push(Member { id: id.clone(), name, suspended: false });
            let servers = (0..share(self.servers, self.members, number))
                .map(|server| SecurityServerId::new(id.clone(), &format!("ss{server}")))
                .collect::<Result<Vec<_>, _>>()?;
            draft.security_servers.extend(servers.iter().map(server));
            let mut registered_on: std::collections::BTreeSet<_> = servers.iter().cloned().collect();
            if number % 5 == 4 {
                registered_on.extend(neighbour.take());
            }
            for code in ["register", "portal"].iter().take(1 + number % 2) {
                let subsystem = SubsystemId::new(id.clone(), code)?;
                if !registered_on.is_empty() {
                    draft.registrations.insert(subsystem.clone(), registered_on.clone());
                }
                let name = format!("The {code} of agency {number}");
                draft.subsystems.push(Subsystem { id: subsystem, name });
            }
            let subsystem = SubsystemId::new(id, "register")?;
            for service in 0..share(self.services, self.members, number) {
                let id = ServiceId::new(subsystem.clone(), &format!("service-{service}"))?;
                draft.services.push(Service { id, title: format!("Example service {service}") });
            }
            neighbour = servers.into_iter().next();
        }
        Ok(())
    }
}

fn server(id: &SecurityServerId) -> SecurityServer {
    let host = format!("{}.{}.{}.example", id.code(), id.owner().code(), id.owner().class().to_lowercase());
    SecurityServer {
        id: id.clone(),
        addresses: vec![format!("{host}:5500")],
        auth_certificates: vec![sha256(host.as_bytes())],
        suspended: false,
    }
}

/// How many of `all` fall to one of `members`.
fn share(all: usize, members: usize, number: usize) -> usize {
    all / members + usize::from(number < all % members)
}
