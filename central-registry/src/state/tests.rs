//! The rules between decisions, and the form in which decisions are kept.

mod agreement;

use kogge_certs::snapshot::SnapshotError;
use kogge_certs::trust::{ApprovedCa, ApprovedTsa};
use kogge_proto::id::{MemberId, SecurityServerId, ServiceId, SubsystemId};
use kogge_signer::{NewKeyKind, ephemeral};

use super::*;
use crate::testing::{Keys, NOW, certificate, digest, policy};

fn member(code: &str) -> MemberId {
    MemberId::new("EE", "GOV", code).unwrap()
}

fn subsystem(code: &str) -> SubsystemId {
    SubsystemId::new(member("1"), code).unwrap()
}

fn service(code: &str) -> ServiceId {
    ServiceId::new(subsystem("a"), code).unwrap()
}

fn server(code: &str) -> SecurityServerId {
    SecurityServerId::new(member("1"), code).unwrap()
}

fn ca(name: &str) -> ApprovedCa {
    let certificate = certificate(name, true);
    ApprovedCa {
        name: name.to_owned(),
        certificate,
        intermediates: vec![],
        ocsp_urls: vec!["http://ocsp.example".to_owned()],
        ocsp_responders: vec![],
    }
}

fn tsa(name: &str) -> ApprovedTsa {
    let (url, policies) = ("http://tsa.example".to_owned(), vec!["1.2.3".to_owned()]);
    ApprovedTsa { name: name.to_owned(), url, certificate: certificate(name, false), policies }
}

fn add_subsystem(code: &str) -> Change {
    Change::AddSubsystem { subsystem: subsystem(code), name: String::new() }
}

fn add_service(code: &str) -> Change {
    Change::AddService { service: service(code), title: "Title".to_owned() }
}

fn add_server(code: &str) -> Change {
    Change::AddSecurityServer { server: server(code), addresses: vec!["ss.example:5500".to_owned()] }
}

/// Member 1 with subsystem `a`, service `s`, and servers `x` and `y`, the first of which serves `a` with certificate `x`.
fn state() -> State {
    let mut state = State::create(&Keys::new().created()).unwrap();
    let changes = [
        Change::AddMember { member: member("1"), name: "One".to_owned() },
        add_subsystem("a"),
        add_service("s"),
        add_server("x"),
        add_server("y"),
        Change::RegisterAuthCertificate { server: server("x"), sha256: digest("x") },
        Change::RegisterClient { server: server("x"), subsystem: subsystem("a") },
        Change::ApproveCa(ca("CA")),
        Change::ApproveTsa(tsa("TSA")),
    ];
    for change in changes {
        state.apply(&Event::Changed(change)).unwrap();
    }
    state
}

fn refusal(change: Change) -> Refusal {
    let mut state = state();
    let before = format!("{state:?}");
    let refusal = state.apply(&Event::Changed(change)).unwrap_err();
    assert_eq!(format!("{state:?}"), before, "a refused change has changed something");
    refusal
}

fn changed(changes: impl IntoIterator<Item = Change>) -> State {
    let mut state = state();
    for change in changes {
        state.apply(&Event::Changed(change)).unwrap();
    }
    state
}

fn exists(what: &'static str, id: &str) -> Refusal {
    Refusal::Exists { what, id: id.to_owned() }
}

fn unknown(what: &'static str, id: &str) -> Refusal {
    Refusal::Unknown { what, id: id.to_owned() }
}

fn already(what: &'static str, id: &str, condition: &'static str) -> Refusal {
    Refusal::Already { what, id: id.to_owned(), condition }
}

#[test]
fn what_exists_is_not_added_again() {
    let again = Change::AddMember { member: member("1"), name: "Other".to_owned() };
    assert_eq!(refusal(again), exists("member", "EE/GOV/1"));
    assert_eq!(refusal(add_subsystem("a")), exists("subsystem", "EE/GOV/1/a"));
    assert_eq!(refusal(add_service("s")), exists("service", "EE/GOV/1/a/s"));
    assert_eq!(refusal(add_server("x")), exists("security server", "EE/GOV/1/x"));
    let client = Change::RegisterClient { server: server("x"), subsystem: subsystem("a") };
    assert_eq!(refusal(client), exists("client", "EE/GOV/1/a of EE/GOV/1/x"));
    assert_eq!(refusal(Change::ApproveCa(ca("CA"))), exists("CA", "CA"));
    assert_eq!(refusal(Change::ApproveTsa(tsa("TSA"))), exists("TSA", "TSA"));
}

#[test]
fn what_does_not_exist_is_not_changed_or_built_upon() {
    let two = || unknown("member", "EE/GOV/2");
    assert_eq!(refusal(Change::RenameMember { member: member("2"), name: String::new() }), two());
    assert_eq!(refusal(Change::SuspendMember { member: member("2") }), two());
    let orphan = SubsystemId::new(member("2"), "a").unwrap();
    assert_eq!(refusal(Change::AddSubsystem { subsystem: orphan, name: String::new() }), two());
    let orphan = SecurityServerId::new(member("2"), "x").unwrap();
    assert_eq!(refusal(Change::AddSecurityServer { server: orphan, addresses: vec![] }), two());
    let b = || unknown("subsystem", "EE/GOV/1/b");
    assert_eq!(refusal(Change::RemoveSubsystem { subsystem: subsystem("b") }), b());
    let orphan = ServiceId::new(subsystem("b"), "s").unwrap();
    assert_eq!(refusal(Change::AddService { service: orphan, title: String::new() }), b());
    assert_eq!(refusal(Change::RegisterClient { server: server("x"), subsystem: subsystem("b") }), b());
    let z = || unknown("security server", "EE/GOV/1/z");
    assert_eq!(refusal(Change::RegisterClient { server: server("z"), subsystem: subsystem("a") }), z());
    assert_eq!(refusal(Change::ChangeAddresses { server: server("z"), addresses: vec![] }), z());
    assert_eq!(refusal(Change::SuspendSecurityServer { server: server("z") }), z());
    assert_eq!(refusal(Change::RegisterAuthCertificate { server: server("z"), sha256: digest("z") }), z());
}

#[test]
fn what_does_not_exist_is_not_removed() {
    assert_eq!(refusal(Change::RemoveService { service: service("t") }), unknown("service", "EE/GOV/1/a/t"));
    let client = Change::UnregisterClient { server: server("y"), subsystem: subsystem("a") };
    assert_eq!(refusal(client), unknown("client", "EE/GOV/1/a of EE/GOV/1/y"));
    // Registered, but for the other server.
    let certificate = Change::RemoveAuthCertificate { server: server("y"), sha256: digest("x") };
    let id = format!("{} of EE/GOV/1/y", digest("x"));
    assert_eq!(refusal(certificate), unknown("authentication certificate", &id));
    assert_eq!(refusal(Change::RemoveCa { name: "ca".to_owned() }), unknown("CA", "ca"));
    assert_eq!(refusal(Change::RemoveTsa { name: "tsa".to_owned() }), unknown("TSA", "tsa"));
}

#[test]
fn what_is_so_already_is_said_to_be() {
    let same = Change::RenameMember { member: member("1"), name: "One".to_owned() };
    assert_eq!(refusal(same), already("member", "EE/GOV/1", "named so"));
    assert_eq!(
        refusal(Change::ResumeMember { member: member("1") }),
        already("member", "EE/GOV/1", "active")
    );
    let active = already("security server", "EE/GOV/1/x", "active");
    assert_eq!(refusal(Change::ResumeSecurityServer { server: server("x") }), active);
    let same = Change::ChangeAddresses { server: server("x"), addresses: vec!["ss.example:5500".to_owned()] };
    assert_eq!(refusal(same), already("security server", "EE/GOV/1/x", "reached there"));
    assert_eq!(refusal(Change::ChangePolicy(policy())), already("policy of", "EE", "set so"));
}

#[test]
fn what_is_needed_is_not_removed() {
    let in_use = |user_kind, user: &str| Refusal::InUse {
        what: "subsystem",
        id: "EE/GOV/1/a".to_owned(),
        user_kind,
        user: user.to_owned(),
    };
    let remove = Change::RemoveSubsystem { subsystem: subsystem("a") };
    assert_eq!(refusal(remove.clone()), in_use("service", "EE/GOV/1/a/s"));
    let mut state = changed([Change::RemoveService { service: service("s") }]);
    let refused = state.apply(&Event::Changed(remove.clone())).unwrap_err();
    assert_eq!(refused, in_use("client registration on security server", "EE/GOV/1/x"));
    let unregister = Change::UnregisterClient { server: server("x"), subsystem: subsystem("a") };
    state.apply(&Event::Changed(unregister)).unwrap();
    state.apply(&Event::Changed(remove)).unwrap();
    assert_eq!(state.subsystems().len(), 0);
}

#[test]
fn a_certificate_belongs_to_one_server_at_a_time() {
    let register = |code| Change::RegisterAuthCertificate { server: server(code), sha256: digest("x") };
    let taken = || Refusal::CertificateTaken { certificate: digest("x"), server: server("x") };
    assert_eq!(refusal(register("y")), taken());
    assert_eq!(refusal(register("x")), taken());
    let remove = Change::RemoveAuthCertificate { server: server("x"), sha256: digest("x") };
    let state = changed([remove, register("y")]);
    let with: Vec<_> = state.security_servers().map(|server| server.auth_certificates.len()).collect();
    assert_eq!(with, [0, 1]);
}

#[test]
fn trust_services_do_not_come_back_under_another_name() {
    let state = state();
    let same = ApprovedCa { name: "CA 2".to_owned(), ..state.cas().next().unwrap().clone() };
    let refused = state.clone().apply(&Event::Changed(Change::ApproveCa(same))).unwrap_err();
    assert_eq!(refused, Refusal::SameCertificate { name: "CA".to_owned() });
    let same = ApprovedTsa { name: "TSA 2".to_owned(), ..state.tsas().next().unwrap().clone() };
    let refused = state.clone().apply(&Event::Changed(Change::ApproveTsa(same))).unwrap_err();
    assert_eq!(refused, Refusal::SameCertificate { name: "TSA".to_owned() });
}

#[test]
fn identifiers_of_other_instances_are_refused() {
    let abroad = MemberId::new("FI", "GOV", "1").unwrap();
    let expected = Refusal::OtherInstance { id: "FI/GOV/1".to_owned(), instance: "EE".to_owned() };
    assert_eq!(refusal(Change::AddMember { member: abroad.clone(), name: String::new() }), expected);
    let subsystem = SubsystemId::new(abroad.clone(), "a").unwrap();
    assert_eq!(refusal(Change::RegisterClient { server: server("x"), subsystem }), expected);
    let server = SecurityServerId::new(abroad, "x").unwrap();
    assert_eq!(refusal(Change::SuspendSecurityServer { server }), expected);
}

#[test]
fn changes_show_in_the_draft() {
    let state = changed([
        Change::RenameMember { member: member("1"), name: "Uno".to_owned() },
        Change::SuspendMember { member: member("1") },
        Change::SuspendSecurityServer { server: server("y") },
        Change::ChangeAddresses { server: server("y"), addresses: vec!["other.example:1".to_owned()] },
        Change::RemoveCa { name: "CA".to_owned() },
        Change::RemoveTsa { name: "TSA".to_owned() },
        Change::ChangePolicy(Policy { clock_skew: Duration::from_secs(1), ..policy() }),
    ]);
    let draft = state.draft(9, NOW, Duration::from_secs(60));
    assert_eq!((draft.version, draft.issued, draft.expires), (9, NOW, NOW.plus(Duration::from_secs(60))));
    assert_eq!((draft.members[0].name.as_str(), draft.members[0].suspended), ("Uno", true));
    let [x, y] = &draft.security_servers[..] else { panic!("two servers") };
    assert_eq!((x.suspended, x.auth_certificates.len()), (false, 1));
    assert_eq!(draft.registrations, [(subsystem("a"), [server("x")].into())].into());
    assert_eq!((y.suspended, y.addresses.as_slice()), (true, &["other.example:1".to_owned()][..]));
    assert_eq!((draft.cas.len(), draft.tsas.len(), draft.services.len()), (0, 0, 1));
    assert_eq!(draft.policy.clock_skew, Duration::from_secs(1));
    let resumed =
        [Change::SuspendMember { member: member("1") }, Change::ResumeMember { member: member("1") }];
    assert!(!changed(resumed).members().next().unwrap().suspended);
}

#[test]
fn only_root_keys_delegate_and_only_forwards() {
    let keys = Keys::new();
    let mut state = State::create(&keys.created()).unwrap();
    let next = ephemeral(NewKeyKind::EcdsaP256).unwrap();
    let same = Event::Delegated(keys.delegation(1, &next));
    let refused = state.apply(&same).unwrap_err();
    assert_eq!(refused, Refusal::DelegationVersion { current: 1, offered: 1 });
    let stranger = Event::Delegated(Keys::new().delegation(2, &next));
    let refused = state.apply(&stranger).unwrap_err();
    assert!(matches!(refused, Refusal::Delegation(SnapshotError::UnknownSigner { .. })), "{refused}");
    state.apply(&Event::Delegated(keys.delegation(2, &next))).unwrap();
    assert_eq!(state.delegation().online_keys, [next.public_key().clone()]);
    assert_eq!(state.apply(&Event::Created(keys.created())).unwrap_err(), Refusal::Created);
}

#[test]
fn a_creation_stands_on_its_own_root_keys() {
    let keys = Keys::new();
    let created = Created { root_threshold: 2, ..keys.created() };
    let refused = State::create(&created).unwrap_err();
    assert!(matches!(refused, Refusal::Delegation(SnapshotError::TooFewSignatures { .. })), "{refused}");
    let created = Created { instance: "FI".to_owned(), ..keys.created() };
    let refused = State::create(&created).unwrap_err();
    assert!(matches!(refused, Refusal::Delegation(SnapshotError::Instance { .. })), "{refused}");
}

/// Journals outlive programs: these texts are in files already.
#[test]
fn decisions_keep_their_form() {
    let x = || server("x");
    let sha256 = digest("x");
    let hex = sha256.to_string();
    let forms = [
        (
            Change::AddMember { member: member("70 1"), name: "Müller".to_owned() },
            r#"{"add_member":{"member":"EE/GOV/70%201","name":"Müller"}}"#.to_owned(),
        ),
        (
            Change::RenameMember { member: member("1"), name: "One".to_owned() },
            r#"{"rename_member":{"member":"EE/GOV/1","name":"One"}}"#.to_owned(),
        ),
        (
            Change::SuspendMember { member: member("1") },
            r#"{"suspend_member":{"member":"EE/GOV/1"}}"#.to_owned(),
        ),
        (
            Change::ResumeMember { member: member("1") },
            r#"{"resume_member":{"member":"EE/GOV/1"}}"#.to_owned(),
        ),
        (add_subsystem("a"), r#"{"add_subsystem":{"subsystem":"EE/GOV/1/a","name":""}}"#.to_owned()),
        (
            Change::RemoveSubsystem { subsystem: subsystem("a") },
            r#"{"remove_subsystem":{"subsystem":"EE/GOV/1/a"}}"#.to_owned(),
        ),
        (add_service("s"), r#"{"add_service":{"service":"EE/GOV/1/a/s","title":"Title"}}"#.to_owned()),
        (
            Change::RemoveService { service: service("s") },
            r#"{"remove_service":{"service":"EE/GOV/1/a/s"}}"#.to_owned(),
        ),
        (
            add_server("x"),
            r#"{"add_security_server":{"server":"EE/GOV/1/x","addresses":["ss.example:5500"]}}"#.to_owned(),
        ),
        (
            Change::ChangeAddresses { server: x(), addresses: vec!["a:1".to_owned(), "b:2".to_owned()] },
            r#"{"change_addresses":{"server":"EE/GOV/1/x","addresses":["a:1","b:2"]}}"#.to_owned(),
        ),
        (
            Change::SuspendSecurityServer { server: x() },
            r#"{"suspend_security_server":{"server":"EE/GOV/1/x"}}"#.to_owned(),
        ),
        (
            Change::ResumeSecurityServer { server: x() },
            r#"{"resume_security_server":{"server":"EE/GOV/1/x"}}"#.to_owned(),
        ),
        (
            Change::RegisterAuthCertificate { server: x(), sha256 },
            format!(r#"{{"register_auth_certificate":{{"server":"EE/GOV/1/x","sha256":"{hex}"}}}}"#),
        ),
        (
            Change::RemoveAuthCertificate { server: x(), sha256 },
            format!(r#"{{"remove_auth_certificate":{{"server":"EE/GOV/1/x","sha256":"{hex}"}}}}"#),
        ),
        (
            Change::RegisterClient { server: x(), subsystem: subsystem("a") },
            r#"{"register_client":{"server":"EE/GOV/1/x","subsystem":"EE/GOV/1/a"}}"#.to_owned(),
        ),
        (
            Change::UnregisterClient { server: x(), subsystem: subsystem("a") },
            r#"{"unregister_client":{"server":"EE/GOV/1/x","subsystem":"EE/GOV/1/a"}}"#.to_owned(),
        ),
        (Change::RemoveCa { name: "CA".to_owned() }, r#"{"remove_ca":{"name":"CA"}}"#.to_owned()),
        (Change::RemoveTsa { name: "TSA".to_owned() }, r#"{"remove_tsa":{"name":"TSA"}}"#.to_owned()),
        (
            Change::ChangePolicy(policy()),
            "{\"change_policy\":{\"ocsp_freshness_s\":3600,\"timestamp_interval_s\":60,\
             \"timestamp_failure_s\":14400,\"clock_skew_s\":60}}"
                .to_owned(),
        ),
    ];
    for (change, text) in forms {
        assert_eq!(serde_json::to_string(&change).unwrap(), text);
        assert_eq!(serde_json::from_str::<Change>(&text).unwrap(), change);
    }
}

#[test]
fn trust_services_and_delegations_keep_their_form() {
    let ca = Change::ApproveCa(ApprovedCa { intermediates: vec![certificate("I", true)], ..ca("CA") });
    let text = serde_json::to_value(&ca).unwrap();
    let keys = ["name", "certificate", "intermediates", "ocsp_urls", "ocsp_responders"];
    assert_eq!(text["approve_ca"].as_object().unwrap().len(), keys.len());
    assert!(keys.iter().all(|key| text["approve_ca"].get(key).is_some()), "{text}");
    assert_eq!(serde_json::from_value::<Change>(text).unwrap(), ca);
    let tsa = Change::ApproveTsa(tsa("TSA"));
    let text = serde_json::to_value(&tsa).unwrap();
    assert!(
        ["name", "url", "certificate", "policies"].iter().all(|key| text["approve_tsa"].get(key).is_some())
    );
    assert_eq!(serde_json::from_value::<Change>(text).unwrap(), tsa);

    let created = Keys::new().created();
    let text = serde_json::to_value(Event::Created(created.clone())).unwrap();
    assert_eq!(text["created"]["environment"], "test");
    assert_eq!(text["created"]["policy"]["clock_skew_s"], 60);
    let signature = &text["created"]["delegation"]["signatures"][0];
    assert_eq!(signature["key_id"], created.root_keys[0].key_id().to_string());
    let Event::Created(read) = serde_json::from_value(text).unwrap() else { panic!("not a creation") };
    assert_eq!((read.delegation, read.root_keys), (created.delegation, created.root_keys));
}

#[test]
fn decisions_that_this_version_does_not_know_are_refused() {
    for text in [
        r#"{"abolish_member":{"member":"EE/GOV/1"}}"#,
        r#"{"suspend_member":{"member":"EE/GOV/1","until":1}}"#,
        r#"{"suspend_member":{"member":"EE/GOV"}}"#,
        r#"{"suspend_member":{}}"#,
        r#"{"register_auth_certificate":{"server":"EE/GOV/1/x","sha256":"00"}}"#,
        r#"{"change_policy":{"ocsp_freshness_s":1,"timestamp_interval_s":1,"timestamp_failure_s":1}}"#,
        r#"{"approve_ca":{"name":"CA","certificate":"AAAA","intermediates":[],"ocsp_urls":[],"ocsp_responders":[]}}"#,
    ] {
        assert!(serde_json::from_str::<Change>(text).is_err(), "{text}");
    }
}
