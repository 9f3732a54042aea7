//! What was written is what is read, and how the queries answer.

use std::collections::BTreeSet;

use kogge_proto::id::ServiceId;

use super::fixture::{DAY, NOW, anchor, auth_certificate, draft, member, server, sign, subsystem, verified};
use crate::anchor::Environment;
use crate::snapshot::{Member, SecurityServer, Subsystem, VerifiedSnapshot};

#[test]
fn everything_comes_back_as_it_was_drafted() {
    let draft = draft();
    let bytes = sign(&draft);
    let snapshot = VerifiedSnapshot::verify(&bytes, &anchor(), NOW).unwrap();
    assert_eq!(snapshot.bytes(), bytes);
    assert_eq!(
        (snapshot.instance(), snapshot.environment(), snapshot.version()),
        ("EE", Environment::Test, 7)
    );
    assert_eq!((snapshot.issued(), snapshot.expires()), (NOW, NOW.plus(DAY)));
    assert_eq!(*snapshot.policy(), draft.policy);
    assert_eq!(snapshot.members().cloned().collect::<Vec<_>>(), draft.members);
    assert_eq!(snapshot.subsystems().cloned().collect::<Vec<_>>(), draft.subsystems);
    assert_eq!(snapshot.security_servers().cloned().collect::<Vec<_>>(), draft.security_servers);
    assert_eq!(snapshot.services().cloned().collect::<Vec<_>>(), draft.services);
    assert_eq!(snapshot.trust().cas().iter().map(|ca| (**ca).clone()).collect::<Vec<_>>(), draft.cas);
    assert_eq!(snapshot.trust().tsas().iter().map(|tsa| (**tsa).clone()).collect::<Vec<_>>(), draft.tsas);
}

#[test]
fn the_same_draft_is_the_same_snapshot_however_often_it_is_signed() {
    assert_eq!(verified(&draft()).meta(), verified(&draft()).meta());
}

#[test]
fn parties_are_found_by_identifier() {
    let snapshot = verified(&draft());
    assert_eq!(snapshot.member(&member("2")).unwrap().name, "Väestörekisteri");
    assert_eq!(snapshot.member(&member("3")), None);
    assert_eq!(snapshot.subsystem(&subsystem("2", "population")).unwrap().name, "Population register");
    assert_eq!(snapshot.subsystem(&subsystem("1", "population")), None);
    assert_eq!(snapshot.security_server(&server("2", "ss1")).unwrap().addresses, ["[2001:db8::1]:5500"]);
    assert_eq!(snapshot.security_server(&server("2", "ss2")), None);
    let service = |code| ServiceId::new(subsystem("2", "population"), code).unwrap();
    assert_eq!(snapshot.service(&service("persons")).unwrap().title, "Persons");
    assert_eq!(snapshot.service(&service("Persons")), None);
}

#[test]
fn servers_are_found_by_each_of_their_certificates() {
    let snapshot = verified(&draft());
    for (certificate, owner) in [("ss1", "1"), ("ss1 next", "1"), ("ss2", "2")] {
        let found = snapshot.security_server_by_auth_certificate(&auth_certificate(certificate)).unwrap();
        assert_eq!(found.id, server(owner, "ss1"), "{certificate}");
    }
    assert_eq!(snapshot.security_server_by_auth_certificate(&auth_certificate("ss3")), None);
}

#[test]
fn providers_are_the_servers_on_which_a_subsystem_is_registered() {
    let snapshot = verified(&draft());
    let providers = |code, name| {
        let found = snapshot.providers(&subsystem(code, name));
        found.iter().map(|server| server.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(providers("2", "population"), [server("1", "ss1"), server("2", "ss1")]);
    assert_eq!(providers("1", "portal"), [server("1", "ss1")]);
    assert_eq!(providers("1", "nothing"), []);
}

#[test]
fn a_suspended_member_takes_no_part() {
    let mut draft = draft();
    draft.members[0].suspended = true;
    let snapshot = verified(&draft);
    assert!(!snapshot.subsystem_registered(&subsystem("1", "portal")));
    assert!(snapshot.providers(&subsystem("1", "portal")).is_empty());
    // Its server does not serve others either.
    let providers = snapshot.providers(&subsystem("2", "population"));
    assert_eq!(providers.iter().map(|server| &server.id).collect::<Vec<_>>(), [&server("2", "ss1")]);
    let found = snapshot.security_server_by_auth_certificate(&auth_certificate("ss1")).unwrap();
    assert!(!snapshot.server_active(found));
}

#[test]
fn a_suspended_server_takes_no_part_but_its_owner_does() {
    let mut draft = draft();
    draft.security_servers[1].suspended = true;
    let snapshot = verified(&draft);
    assert!(!snapshot.server_active(snapshot.security_server(&server("2", "ss1")).unwrap()));
    assert!(snapshot.subsystem_registered(&subsystem("2", "population")));
    let providers = snapshot.providers(&subsystem("2", "population"));
    assert_eq!(providers.iter().map(|server| &server.id).collect::<Vec<_>>(), [&server("1", "ss1")]);
}

#[test]
fn thousands_of_members_load() {
    let mut draft = draft();
    for number in 1000..5000 {
        let code = number.to_string();
        draft.members.push(Member { id: member(&code), name: format!("Agency {code}"), suspended: false });
        draft.subsystems.push(Subsystem { id: subsystem(&code, "register"), name: String::new() });
        draft.security_servers.push(SecurityServer {
            id: server(&code, "ss"),
            addresses: vec![format!("ss{code}.example:5500")],
            auth_certificates: vec![auth_certificate(&code)],
            clients: BTreeSet::from([subsystem(&code, "register")]),
            suspended: false,
        });
    }
    let snapshot = verified(&draft);
    assert_eq!((snapshot.members().len(), snapshot.security_servers().len()), (4002, 4002));
    assert_eq!(snapshot.providers(&subsystem("4999", "register"))[0].id, server("4999", "ss"));
}
