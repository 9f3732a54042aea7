//! Whatever operators do, in whatever order: what the rules let pass can be published, and means the same after a restart.

use kogge_certs::snapshot::{VerifiedSnapshot, sign_snapshot};
use proptest::prelude::*;

use super::*;

/// Decisions over so few names that they meet.
fn changes() -> impl Strategy<Value = Change> {
    let member = || (1..3u8).prop_map(|code| super::member(&code.to_string()));
    let subsystem = || (member(), "[ab]").prop_map(|(member, code)| SubsystemId::new(member, &code).unwrap());
    let server = || (member(), "[xy]").prop_map(|(owner, code)| SecurityServerId::new(owner, &code).unwrap());
    let service =
        || (subsystem(), "[st]").prop_map(|(subsystem, code)| ServiceId::new(subsystem, &code).unwrap());
    let sha256 = || "[12]".prop_map(|name| digest(&name));
    let addresses = || "[ab]".prop_map(|host| vec![format!("{host}.example:5500")]);
    prop_oneof![
        (member(), "[AB]").prop_map(|(member, name)| Change::AddMember { member, name }),
        (member(), "[AB]").prop_map(|(member, name)| Change::RenameMember { member, name }),
        member().prop_map(|member| Change::SuspendMember { member }),
        member().prop_map(|member| Change::ResumeMember { member }),
        (subsystem(), "[AB]?").prop_map(|(subsystem, name)| Change::AddSubsystem { subsystem, name }),
        subsystem().prop_map(|subsystem| Change::RemoveSubsystem { subsystem }),
        (service(), "[AB]?").prop_map(|(service, title)| Change::AddService { service, title }),
        service().prop_map(|service| Change::RemoveService { service }),
        (server(), addresses())
            .prop_map(|(server, addresses)| Change::AddSecurityServer { server, addresses }),
        (server(), addresses()).prop_map(|(server, addresses)| Change::ChangeAddresses { server, addresses }),
        server().prop_map(|server| Change::SuspendSecurityServer { server }),
        server().prop_map(|server| Change::ResumeSecurityServer { server }),
        (server(), sha256()).prop_map(|(server, sha256)| Change::RegisterAuthCertificate { server, sha256 }),
        (server(), sha256()).prop_map(|(server, sha256)| Change::RemoveAuthCertificate { server, sha256 }),
        (server(), subsystem()).prop_map(|(server, subsystem)| Change::RegisterClient { server, subsystem }),
        (server(), subsystem())
            .prop_map(|(server, subsystem)| Change::UnregisterClient { server, subsystem }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_the_rules_let_pass_is_what_readers_accept(changes in prop::collection::vec(changes(), 1..80)) {
        let keys = Keys::new();
        let created = keys.created();
        let (mut state, mut again) = (State::create(&created).unwrap(), State::create(&created).unwrap());
        for change in changes {
            let event = Event::Changed(change);
            if state.apply(&event).is_ok() {
                // As it would come back from the journal.
                let text = serde_json::to_string(&event).unwrap();
                again.apply(&serde_json::from_str(&text).unwrap()).unwrap();
            }
        }
        prop_assert_eq!(format!("{state:?}"), format!("{again:?}"));
        let draft = state.draft(1, NOW, Duration::from_secs(60));
        let bytes = sign_snapshot(&draft, state.signed_delegation(), &[&*keys.online]).unwrap();
        let anchor = state.anchor("http://registry.example").unwrap();
        let snapshot = VerifiedSnapshot::verify(bytes, &anchor, NOW).unwrap();
        prop_assert!(snapshot.members().eq(state.members().cloned()));
        prop_assert!(snapshot.subsystems().eq(state.subsystems().cloned()));
        prop_assert!(snapshot.security_servers().eq(state.security_servers().cloned()));
        prop_assert!(snapshot.services().eq(state.services().cloned()));
    }
}
