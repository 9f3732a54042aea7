//! Why a decision cannot be.

use kogge_certs::snapshot::SnapshotError;
use kogge_proto::digest::Sha256;
use kogge_proto::id::SecurityServerId;

/// Why a decision cannot be: it contradicts what has been decided before.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// An instance is created once, by the first decision.
    #[error("the instance has been created already")]
    Created,
    /// The first decision is not the creation of an instance.
    #[error("the journal does not begin with the creation of an instance")]
    NotCreated,
    /// The identifier is of another instance.
    #[error("{id} is not of this instance: its identifiers begin with {instance}/")]
    OtherInstance {
        /// As given.
        id: String,
        /// This instance's code.
        instance: String,
    },
    /// Something is there already.
    #[error("the {what} {id} exists already")]
    Exists {
        /// Kind of thing.
        what: &'static str,
        /// Which.
        id: String,
    },
    /// Something is not there.
    #[error("there is no {what} {id}: check the spelling, or add it first")]
    Unknown {
        /// Kind of thing.
        what: &'static str,
        /// Which.
        id: String,
    },
    /// It is so already; somebody else may have done the same at the same time.
    #[error("the {what} {id} is {condition} already: nothing to change")]
    Already {
        /// Kind of thing.
        what: &'static str,
        /// Which.
        id: String,
        /// How it is.
        condition: &'static str,
    },
    /// Something else still needs it.
    #[error("the {what} {id} is still needed by the {user_kind} {user}: remove that first")]
    InUse {
        /// Kind of thing.
        what: &'static str,
        /// Which.
        id: String,
        /// Kind of what needs it.
        user_kind: &'static str,
        /// What needs it.
        user: String,
    },
    /// An authentication certificate belongs to one server only.
    #[error(
        "the authentication certificate {certificate} is registered for {server}: make a new key for each server"
    )]
    CertificateTaken {
        /// Its SHA-256.
        certificate: Sha256,
        /// Whose it is.
        server: SecurityServerId,
    },
    /// A CA or TSA of another name has the same certificate.
    #[error("the certificate is already approved under the name {name:?}: remove that first")]
    SameCertificate {
        /// The other one.
        name: String,
    },
    /// The delegation is not signed by this instance's root keys, or not valid.
    #[error("the delegation is refused: {0}")]
    Delegation(SnapshotError),
    /// The delegation is not newer than the one in force.
    #[error("the delegation has version {offered}, which is not higher than {current}")]
    DelegationVersion {
        /// The one in force.
        current: u64,
        /// The one offered.
        offered: u64,
    },
}
