//! The authority: members, subsystems, security servers, approved trust services, the signed snapshot.
