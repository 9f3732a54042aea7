//! What was written is what is read, and how the queries answer.

use std::collections::{BTreeMap, BTreeSet};

use kogge_proto::id::ServiceId;

use super::fixture::{DAY, NOW, anchor, auth_certificate, draft, member, server, sign, subsystem, verified};
use crate::anchor::Environment;
use crate::snapshot::{Member, SecurityServer, Subsystem, VerifiedSnapshot};

#[test]
fn everything_comes_back_as_it_was_drafted() {
    let draft = draft();
    let bytes = sign(&draft);
    let snapshot = VerifiedSnapshot::verify(bytes.clone(), &anchor(), NOW).unwrap();
    assert_eq!(*snapshot.bytes(), bytes);
    assert_eq!(
        (snapshot.instance(), snapshot.environment(), snapshot.version()),
        ("EE", Environment::Test, 7)
    );
    assert_eq!((snapshot.issued(), snapshot.expires()), (NOW, NOW.plus(DAY)));
    assert_eq!(*snapshot.policy(), draft.policy);
    assert_eq!(snapshot.members().collect::<Vec<_>>(), draft.members);
    assert_eq!(snapshot.subsystems().collect::<Vec<_>>(), draft.subsystems);
    assert_eq!(snapshot.security_servers().collect::<Vec<_>>(), draft.security_servers);
    assert_eq!(snapshot.services().collect::<Vec<_>>(), draft.services);
    let mut registrations: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (subsystem, server) in snapshot.registrations() {
        registrations.entry(subsystem).or_default().insert(server);
    }
    assert_eq!(registrations, draft.registrations);
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
    assert!(
        snapshot.service_registered(&service("persons")) && !snapshot.service_registered(&service("Persons"))
    );
    // The same codes in another instance.
    assert_eq!(snapshot.member(&"FI/GOV/2".parse().unwrap()), None);
    assert!(!snapshot.service_registered(&"FI/GOV/2/population/persons".parse().unwrap()));
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
    assert_eq!(providers("2", "population"), [server("2", "ss1"), server("1", "ss1")]);
    assert_eq!(providers("1", "portal"), [server("1", "ss1")]);
    assert_eq!(providers("1", "nothing"), []);
    let is_provider = |owner, code, name| snapshot.is_provider(&server(owner, "ss1"), &subsystem(code, name));
    assert!(is_provider("1", "2", "population") && is_provider("2", "2", "population"));
    assert!(
        !is_provider("2", "1", "portal")
            && !is_provider("3", "1", "portal")
            && !is_provider("1", "1", "nothing")
    );
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
fn the_order_of_a_draft_does_not_matter() {
    let mut shuffled = draft();
    shuffled.members.reverse();
    shuffled.subsystems.reverse();
    shuffled.security_servers.reverse();
    assert_eq!(verified(&shuffled).meta(), verified(&draft()).meta());
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
            suspended: false,
        });
        // Each is also on the next one's server, which stands behind it, except the last.
        let servers = [number, (number + 1).min(4999)].map(|number| server(&number.to_string(), "ss"));
        draft.registrations.insert(subsystem(&code, "register"), BTreeSet::from(servers));
    }
    let snapshot = verified(&draft);
    assert_eq!((snapshot.members().count(), snapshot.security_servers().count()), (4002, 4002));
    for number in 1000..5000 {
        let code = number.to_string();
        assert_eq!(snapshot.member(&member(&code)).unwrap().name, format!("Agency {code}"));
        assert_eq!(snapshot.providers(&subsystem(&code, "register"))[0].id, server(&code, "ss"));
        let by_certificate = snapshot.security_server_by_auth_certificate(&auth_certificate(&code)).unwrap();
        assert_eq!(by_certificate.id, server(&code, "ss"));
    }
    assert_eq!(snapshot.providers(&subsystem("1000", "register"))[1].id, server("1001", "ss"));
    assert_eq!(snapshot.security_server(&server("5000", "ss")), None);
}
