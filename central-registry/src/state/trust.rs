//! Approved trust services, and the policy.

use kogge_certs::snapshot::Policy;
use kogge_certs::trust::{ApprovedCa, ApprovedTsa};

use super::{Refusal, State};

impl State {
    pub(super) fn approve_ca(&mut self, ca: &ApprovedCa) -> Result<(), Refusal> {
        if self.cas.contains_key(&ca.name) {
            return Err(Refusal::Exists { what: "CA", id: ca.name.clone() });
        }
        if let Some(same) = self.cas.values().find(|each| each.certificate == ca.certificate) {
            return Err(Refusal::SameCertificate { name: same.name.clone() });
        }
        self.cas.insert(ca.name.clone(), ca.clone());
        Ok(())
    }

    pub(super) fn remove_ca(&mut self, name: &str) -> Result<(), Refusal> {
        match self.cas.remove(name) {
            Some(_) => Ok(()),
            None => Err(Refusal::Unknown { what: "CA", id: name.to_owned() }),
        }
    }

    pub(super) fn approve_tsa(&mut self, tsa: &ApprovedTsa) -> Result<(), Refusal> {
        if self.tsas.contains_key(&tsa.name) {
            return Err(Refusal::Exists { what: "TSA", id: tsa.name.clone() });
        }
        if let Some(same) = self.tsas.values().find(|each| each.certificate == tsa.certificate) {
            return Err(Refusal::SameCertificate { name: same.name.clone() });
        }
        self.tsas.insert(tsa.name.clone(), tsa.clone());
        Ok(())
    }

    pub(super) fn remove_tsa(&mut self, name: &str) -> Result<(), Refusal> {
        match self.tsas.remove(name) {
            Some(_) => Ok(()),
            None => Err(Refusal::Unknown { what: "TSA", id: name.to_owned() }),
        }
    }

    pub(super) fn change_policy(&mut self, policy: Policy) -> Result<(), Refusal> {
        if self.policy == policy {
            let (id, condition) = (self.instance.clone(), "set so");
            return Err(Refusal::Already { what: "policy of", id, condition });
        }
        self.policy = policy;
        Ok(())
    }
}
