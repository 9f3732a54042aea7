//! Members, their subsystems and services.

use kogge_certs::snapshot::{Member, Service, Subsystem};
use kogge_proto::id::{MemberId, ServiceId, SubsystemId};

use super::{Refusal, State};

impl State {
    pub(super) fn add_member(&mut self, id: &MemberId, name: &str) -> Result<(), Refusal> {
        self.own(id)?;
        if self.members.contains_key(id) {
            return Err(Refusal::Exists { what: "member", id: id.to_string() });
        }
        self.members.insert(id.clone(), Member { id: id.clone(), name: name.to_owned(), suspended: false });
        Ok(())
    }

    pub(super) fn rename_member(&mut self, id: &MemberId, name: &str) -> Result<(), Refusal> {
        let member = self.member_mut(id)?;
        if member.name == name {
            return Err(Refusal::Already { what: "member", id: id.to_string(), condition: "named so" });
        }
        name.clone_into(&mut member.name);
        Ok(())
    }

    pub(super) fn suspend_member(&mut self, id: &MemberId, suspended: bool) -> Result<(), Refusal> {
        let member = self.member_mut(id)?;
        if member.suspended == suspended {
            return Err(Refusal::Already {
                what: "member",
                id: id.to_string(),
                condition: condition(suspended),
            });
        }
        member.suspended = suspended;
        Ok(())
    }

    pub(super) fn add_subsystem(&mut self, id: &SubsystemId, name: &str) -> Result<(), Refusal> {
        let member = self.known_member(id.member())?;
        if self.subsystems.contains_key(id) {
            return Err(Refusal::Exists { what: "subsystem", id: id.to_string() });
        }
        let id = &SubsystemId::new(member, id.code()).unwrap_or_else(|_| id.clone());
        self.subsystems.insert(id.clone(), Subsystem { id: id.clone(), name: name.to_owned() });
        Ok(())
    }

    pub(super) fn remove_subsystem(&mut self, id: &SubsystemId) -> Result<(), Refusal> {
        self.known_subsystem(id)?;
        let in_use =
            |user_kind, user| Refusal::InUse { what: "subsystem", id: id.to_string(), user_kind, user };
        if let Some(service) = self.first_service(id) {
            return Err(in_use("service", service.to_string()));
        }
        if let Some(server) = self.registrations.get(id).and_then(|servers| servers.first()) {
            return Err(in_use("client registration on security server", server.to_string()));
        }
        self.subsystems.remove(id);
        Ok(())
    }

    pub(super) fn add_service(&mut self, id: &ServiceId, title: &str) -> Result<(), Refusal> {
        let subsystem = self.known_subsystem(id.subsystem())?;
        if self.services.contains_key(id) {
            return Err(Refusal::Exists { what: "service", id: id.to_string() });
        }
        let id = &ServiceId::new(subsystem, id.code()).unwrap_or_else(|_| id.clone());
        self.services.insert(id.clone(), Service { id: id.clone(), title: title.to_owned() });
        Ok(())
    }

    pub(super) fn remove_service(&mut self, id: &ServiceId) -> Result<(), Refusal> {
        match self.services.remove(id) {
            Some(_) => Ok(()),
            None => Err(Refusal::Unknown { what: "service", id: id.to_string() }),
        }
    }

    /// The identifier as it is kept, for others to share its memory.
    pub(super) fn known_member(&self, id: &MemberId) -> Result<MemberId, Refusal> {
        self.own(id)?;
        let known = self.members.get_key_value(id).map(|(known, _)| known.clone());
        known.ok_or_else(|| Refusal::Unknown { what: "member", id: id.to_string() })
    }

    /// The identifier as it is kept, for others to share its memory.
    pub(super) fn known_subsystem(&self, id: &SubsystemId) -> Result<SubsystemId, Refusal> {
        self.known_member(id.member())?;
        let known = self.subsystems.get_key_value(id).map(|(known, _)| known.clone());
        known.ok_or_else(|| Refusal::Unknown { what: "subsystem", id: id.to_string() })
    }

    /// Services stand in the order of their subsystems, and no code comes before one blank.
    fn first_service(&self, of: &SubsystemId) -> Option<&ServiceId> {
        let least = ServiceId::new(of.clone(), " ").ok()?;
        let (first, _) = self.services.range(least..).next()?;
        (first.subsystem() == of).then_some(first)
    }

    fn member_mut(&mut self, id: &MemberId) -> Result<&mut Member, Refusal> {
        self.own(id)?;
        self.members.get_mut(id).ok_or_else(|| Refusal::Unknown { what: "member", id: id.to_string() })
    }
}

pub(super) fn condition(suspended: bool) -> &'static str {
    if suspended { "suspended" } else { "active" }
}
