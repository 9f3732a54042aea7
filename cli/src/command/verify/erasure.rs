//! The erasures in a message log: what the log says was erased must have been asked for by who may.

use kogge_certs::certificate::Certificate;
use kogge_certs::key::SignatureScheme;
use kogge_certs::path;
use kogge_certs::profile::{self, Profile};
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_evidence::report::{Check, Outcome};
use kogge_message_log::{FoundErasure, LogError, erasure_bytes};
use kogge_proto::id::SecurityServerId;
use kogge_proto::time::UnixMillis;

use crate::output;

/// The name of all of these checks.
const NAME: &str = "log.erasure";

/// Whether the erasures of this server's log are signed by its owner, by a member that it serves, or by the server itself: those that are not, and a word on the others.
pub(super) fn check(
    erasures: Result<Vec<FoundErasure>, LogError>,
    server: &str,
    snapshot: &VerifiedSnapshot,
) -> Vec<Check> {
    let erasures = match erasures {
        Ok(erasures) => erasures,
        // Nothing is known of them: that must not look like none.
        Err(error) => {
            let reason = format!("what was erased cannot be read: {error}");
            return vec![Check { name: NAME, outcome: Outcome::Indeterminate, reason }];
        }
    };
    let mut checks = Vec::new();
    let mut passed = 0_u64;
    for found in &erasures {
        match signer(found, server, snapshot) {
            Ok(_) => passed += 1,
            Err((outcome, reason)) => {
                let reason = format!("entry {}: {reason}", found.sequence);
                checks.push(Check { name: NAME, outcome, reason });
            }
        }
    }
    if passed > 0 {
        let reason =
            format!("{passed} erasures are signed by who may erase; the last: {}", describe(erasures.last()));
        checks.push(Check { name: NAME, outcome: Outcome::Passed, reason });
    }
    checks
}

fn describe(last: Option<&FoundErasure>) -> String {
    last.map_or_else(String::new, |found| {
        let statement = &found.statement;
        format!(
            "entry {} of {}, asked for by {}: {}",
            found.sequence,
            found.time,
            output::line(&statement.actor),
            output::line(&statement.reason)
        )
    })
}

/// Whose certificate it is signed with, or why that does not count.
fn signer(
    found: &FoundErasure,
    server: &str,
    snapshot: &VerifiedSnapshot,
) -> Result<String, (Outcome, String)> {
    let failed = |reason: &str| (Outcome::Failed, reason.to_owned());
    if found.statement.security_server != server {
        return Err(failed("it is of another server's log"));
    }
    let apart = found.time.since(UnixMillis(found.statement.time_ms));
    let ahead = UnixMillis(found.statement.time_ms).since(found.time);
    if apart.max(ahead) > snapshot.policy().clock_skew {
        return Err(failed("it was signed at another time than it was logged"));
    }
    let chain: Vec<Certificate> = found
        .erasure
        .certificates
        .iter()
        .map(|der| Certificate::from_der(der))
        .collect::<Result<_, _>>()
        .map_err(|error| failed(&format!("a certificate cannot be read: {error}")))?;
    let (leaf, issuers) = chain.split_first().ok_or_else(|| failed("there is no certificate"))?;
    let scheme = SignatureScheme::from_wire(found.erasure.method)
        .ok_or_else(|| failed("it is signed by an unknown method"))?;
    leaf.public_key()
        .verify(scheme, &erasure_bytes(&found.erasure.statement), &found.erasure.signature)
        .map_err(|error| failed(&error.to_string()))?;
    may_erase(leaf, issuers, server, found.time, snapshot)?;
    Ok(leaf.subject())
}

fn may_erase(
    leaf: &Certificate,
    issuers: &[Certificate],
    server: &str,
    at: UnixMillis,
    snapshot: &VerifiedSnapshot,
) -> Result<(), (Outcome, String)> {
    let failed = |reason: String| (Outcome::Failed, reason);
    let server = SecurityServerId::parse(server).map_err(|error| failed(error.to_string()))?;
    let signing = profile::check(leaf, Profile::Signing).is_ok();
    let profile = if signing { Profile::Signing } else { Profile::Authentication };
    path::verify(leaf, issuers, snapshot.trust(), profile, at).map_err(|error| failed(error.to_string()))?;
    let is_known = if signing {
        let member = profile::signing_member(leaf).map_err(|error| failed(error.to_string()))?;
        member == *server.owner()
            || snapshot.registrations().any(|(subsystem, at)| at == server && *subsystem.member() == member)
    } else {
        let owner = snapshot.security_server_by_auth_certificate(&leaf.sha256());
        owner.is_some_and(|found| found.id == server)
    };
    // A newer or older snapshot may know it.
    let reason = || format!("{} is not of this server in this snapshot", leaf.subject());
    if is_known { Ok(()) } else { Err((Outcome::Indeterminate, reason())) }
}
