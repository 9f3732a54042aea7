//! How much one snapshot may hold, and for how long it may be valid. All of it together fits
//! [`kogge_proto::limits::SNAPSHOT_BYTES_MAX`].

use std::time::Duration;

/// Most members: twice what the largest known instance could come to if every public body of a large country joined.
pub const MEMBERS_MAX: usize = 200_000;
/// Most subsystems of all members together.
pub const SUBSYSTEMS_MAX: usize = 400_000;
/// Most security servers.
pub const SERVERS_MAX: usize = 200_000;
/// Most services.
pub const SERVICES_MAX: usize = 500_000;
/// Most addresses of one security server: they are tried one after the other while a request waits.
pub const ADDRESSES_MAX: usize = 8;
/// Most authentication certificates of one security server: the present ones of all nodes of a cluster, and their successors.
pub const AUTH_CERTIFICATES_MAX: usize = 64;
/// Most security servers that one subsystem is registered on: they are tried one after the other while a request waits. A server may
/// have any number of subsystems: a hosting provider serves many small members from one.
pub const SERVERS_OF_SUBSYSTEM_MAX: usize = 64;
/// Most approved CAs: the national ones, with room for renewals.
pub const CAS_MAX: usize = 128;
/// Most intermediate certificates, OCSP URLs, or OCSP responders of one CA.
pub const CA_ITEMS_MAX: usize = 32;
/// Most approved TSAs.
pub const TSAS_MAX: usize = 128;
/// Most timestamping policies of one TSA.
pub const TSA_POLICIES_MAX: usize = 16;
/// Longest name or title in bytes of UTF-8.
pub const TEXT_BYTES_MAX: usize = 1024;
/// Most online keys of a delegation: each of them has a signature.
pub const ONLINE_KEYS_MAX: usize = crate::anchor::ANCHOR_KEYS_MAX;

/// Longest validity of a snapshot: whoever withholds newer ones can freeze a member's view for at most this long.
pub const SNAPSHOT_LIFETIME_MAX: Duration = Duration::from_secs(31 * 86_400);
/// Longest validity of a delegation: a stolen online key that nobody noticed is of use for at most this long. A year, and time
/// for the ceremony that renews it.
pub const DELEGATION_LIFETIME_MAX: Duration = Duration::from_secs(400 * 86_400);

/// Largest age of an OCSP response that a policy may tolerate: a revocation must count within a week.
pub const OCSP_FRESHNESS_S_MAX: u32 = 7 * 86_400;
/// Longest time between two batches of timestamps that a policy may ask for.
pub const TIMESTAMP_INTERVAL_S_MAX: u32 = 86_400;
/// Largest age of an unstamped record that a policy may tolerate.
pub const TIMESTAMP_FAILURE_S_MAX: u32 = 7 * 86_400;
/// Largest difference of clocks that a policy may tolerate.
pub const CLOCK_SKEW_S_MAX: u32 = 3600;
