//! Correctly signed content that contradicts itself: refused by readers, and by the writer before it signs.

use std::time::Duration;

use bytes::Bytes;
use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::id::{IdError, MemberId, SecurityServerId, SubsystemId};
use kogge_proto::wire::registry as wire;
use prost::Message;

use super::fixture::{
    CA, KEYS, NOW, TSA, anchor, auth_certificate, delegation, draft, forge, parts, server, subsystem,
};
use crate::snapshot::content::Content;
use crate::snapshot::cursor::Cursor;
use crate::snapshot::{
    ContentError, Draft, EndpointError, SnapshotError, VerifiedSnapshot, limits, sign_snapshot,
};

/// What readers say about the small instance after `change`.
fn refusal(change: impl FnOnce(&mut wire::Snapshot)) -> ContentError {
    let (signed, mut snapshot) = parts(&draft());
    change(&mut snapshot);
    let bytes = forge(&signed.delegation, &snapshot.encode_to_vec());
    match VerifiedSnapshot::verify(bytes.clone(), &anchor(), NOW).unwrap_err() {
        SnapshotError::Content(error) => error,
        other => panic!("{other}"),
    }
}

/// What the writer says about the small instance after `change`.
fn unsigned(change: impl FnOnce(&mut Draft)) -> SnapshotError {
    let mut draft = draft();
    change(&mut draft);
    sign_snapshot(&draft, &delegation(), &[&KEYS.online]).unwrap_err()
}

fn duplicate(what: &'static str, id: &str) -> ContentError {
    ContentError::Duplicate { what, id: id.to_owned() }
}

fn dangling(from: &str, what: &'static str, id: &str) -> ContentError {
    ContentError::Dangling { from: from.to_owned(), what, id: id.to_owned() }
}

fn missing(what: &'static str, of: &str) -> ContentError {
    ContentError::Missing { what, of: of.to_owned() }
}

#[test]
fn identifiers_follow_the_rules_of_identifiers() {
    assert_eq!(refusal(|s| s.members[0].member_code = String::new()), ContentError::Id(IdError::Empty));
    let slash = ContentError::Id(IdError::Character('/'));
    assert_eq!(refusal(|s| s.members[0].member_class = "a/b".to_owned()), slash);
    assert_eq!(refusal(|s| s.members[0].member_code = "a/b".to_owned()), slash);
    assert_eq!(refusal(|s| s.members[0].security_servers[0].server_code = "a/b".to_owned()), slash);
    assert_eq!(refusal(|s| s.members[0].subsystems[0].subsystem_code = "a/b".to_owned()), slash);
    assert_eq!(refusal(|s| population(s).security_servers[0].server_code = "a/b".to_owned()), slash);
    assert_eq!(refusal(|s| population(s).security_servers[1].owner_code = "a/b".to_owned()), slash);
    assert_eq!(refusal(|s| population(s).services[0].service_code = "a/b".to_owned()), slash);
    let long = refusal(|s| s.members[1].member_code = "2".repeat(256));
    assert_eq!(long, ContentError::Id(IdError::TooLong));
}

/// The subsystem 2/population, with the servers 2/ss1 and 1/ss1 and the service `persons`.
fn population(snapshot: &mut wire::Snapshot) -> &mut wire::Subsystem {
    &mut snapshot.members[1].subsystems[0]
}

#[test]
fn nothing_is_there_twice() {
    assert_eq!(refusal(|s| s.members.insert(1, s.members[0].clone())), duplicate("member", "EE/GOV/1"));
    let twice = refusal(|s| s.members[0].subsystems.extend_from_within(..1));
    assert_eq!(twice, duplicate("subsystem", "EE/GOV/1/portal"));
    let twice = refusal(|s| s.members[0].security_servers.extend_from_within(..1));
    assert_eq!(twice, duplicate("security server", "EE/GOV/1/ss1"));
    let twice = refusal(|s| population(s).services.extend_from_within(..1));
    assert_eq!(twice, duplicate("service", "EE/GOV/2/population/persons"));
    let twice = refusal(|s| population(s).security_servers.insert(1, reference("", "", "ss1")));
    assert_eq!(twice, duplicate("client", "EE/GOV/2/population of EE/GOV/2/ss1"));
    let twice = refusal(|s| population(s).security_servers.push(reference("GOV", "1", "ss1")));
    assert_eq!(twice, duplicate("client", "EE/GOV/2/population of EE/GOV/1/ss1"));
    let twice = refusal(|s| s.members[1].security_servers[0].addresses.push("[2001:db8::1]:5500".to_owned()));
    assert_eq!(twice, duplicate("address", "[2001:db8::1]:5500 of EE/GOV/2/ss1"));
}

fn reference(owner_class: &str, owner_code: &str, server_code: &str) -> wire::ServerRef {
    wire::ServerRef {
        owner_class: owner_class.to_owned(),
        owner_code: owner_code.to_owned(),
        server_code: server_code.to_owned(),
    }
}

#[test]
fn everything_stands_in_order() {
    let order = |what, id: &str| ContentError::Order { what, id: id.to_owned() };
    assert_eq!(refusal(|s| s.members.reverse()), order("member", "EE/GOV/1"));
    // By class before code: COM/9 stands before GOV/1.
    let misplaced = refusal(|s| {
        let member = wire::Member {
            member_class: "COM".to_owned(),
            member_code: "9".to_owned(),
            ..s.members[0].clone()
        };
        s.members.push(wire::Member { security_servers: vec![], subsystems: vec![], ..member });
    });
    assert_eq!(misplaced, order("member", "EE/COM/9"));
    // As bytes, not as numbers.
    let misplaced = refusal(|s| {
        let member = wire::Member { member_code: "10".to_owned(), ..s.members[0].clone() };
        s.members.push(wire::Member { security_servers: vec![], subsystems: vec![], ..member });
    });
    assert_eq!(misplaced, order("member", "EE/GOV/10"));
    let misplaced = refusal(|s| {
        let server = s.members[0].security_servers[0].clone();
        s.members[0].security_servers.push(wire::SecurityServer { server_code: "a".to_owned(), ..server });
    });
    assert_eq!(misplaced, order("security server", "EE/GOV/1/a"));
    let misplaced = refusal(|s| {
        let portal = s.members[0].subsystems[0].clone();
        s.members[0].subsystems.push(wire::Subsystem { subsystem_code: "a".to_owned(), ..portal });
    });
    assert_eq!(misplaced, order("subsystem", "EE/GOV/1/a"));
    let misplaced = refusal(|s| {
        population(s).services.push(wire::Service { service_code: "a".to_owned(), title: String::new() });
    });
    assert_eq!(misplaced, order("service", "EE/GOV/2/population/a"));
    let misplaced = refusal(|s| population(s).security_servers.reverse());
    assert_eq!(misplaced, order("client", "EE/GOV/2/population of EE/GOV/2/ss1"));
}

#[test]
fn a_server_of_the_own_member_has_one_name_only() {
    let (signed, mut snapshot) = parts(&draft());
    population(&mut snapshot).security_servers = vec![reference("GOV", "2", "ss1")];
    let bytes = forge(&signed.delegation, &snapshot.encode_to_vec());
    let error = VerifiedSnapshot::verify(bytes, &anchor(), NOW).unwrap_err();
    assert_eq!(error, SnapshotError::NotCanonical("snapshot"));
}

#[test]
fn an_authentication_certificate_belongs_to_one_server() {
    let ss1 = auth_certificate("ss1");
    let expected = duplicate("authentication certificate", &ss1.to_string());
    let shared = refusal(|s| s.members[1].security_servers[0].auth_certificate_sha256.push(ss1.0.to_vec()));
    assert_eq!(shared, expected);
    let repeated = refusal(|s| s.members[0].security_servers[0].auth_certificate_sha256.push(ss1.0.to_vec()));
    assert_eq!(repeated, expected);
}

#[test]
fn trust_services_are_told_apart_by_name_and_by_certificate() {
    assert_eq!(refusal(|s| s.approved_cas.push(s.approved_cas[0].clone())), duplicate("CA", "Test CA"));
    assert_eq!(refusal(|s| s.approved_tsas.push(s.approved_tsas[0].clone())), duplicate("TSA", "Test TSA"));
    let renamed = refusal(|s| {
        let name = "Another CA".to_owned();
        s.approved_cas.push(wire::ApprovedCa { name, ..s.approved_cas[0].clone() });
    });
    assert_eq!(renamed, duplicate("CA certificate", &CA.sha256().to_string()));
    let renamed = refusal(|s| {
        let name = "Another TSA".to_owned();
        s.approved_tsas.push(wire::ApprovedTsa { name, ..s.approved_tsas[0].clone() });
    });
    assert_eq!(renamed, duplicate("TSA certificate", &TSA.sha256().to_string()));
}

#[test]
fn references_lead_somewhere() {
    let from = "the subsystem EE/GOV/2/population";
    let own = refusal(|s| population(s).security_servers[0].server_code = "ss2".to_owned());
    assert_eq!(own, dangling(from, "security server", "EE/GOV/2/ss2"));
    let of_another = refusal(|s| population(s).security_servers[1].server_code = "ss2".to_owned());
    assert_eq!(of_another, dangling(from, "security server", "EE/GOV/1/ss2"));
    let of_nobody = refusal(|s| population(s).security_servers[1].owner_code = "3".to_owned());
    assert_eq!(of_nobody, dangling(from, "security server", "EE/GOV/3/ss1"));
    // The owner's other half is missing: no server of the own member, and of no other.
    let half = refusal(|s| population(s).security_servers[1].owner_class.clear());
    assert_eq!(half, ContentError::Id(IdError::Empty));
    // A server alone is no member, nor is a server of a member that went.
    let gone = refusal(|s| drop(s.members.remove(0)));
    assert_eq!(gone, dangling(from, "security server", "EE/GOV/1/ss1"));
}

#[test]
fn the_writer_leaves_nothing_out() {
    let orphan = unsigned(|d| d.subsystems[0].id = subsystem("3", "portal"));
    assert_eq!(orphan, dangling("the subsystem EE/GOV/3/portal", "member", "EE/GOV/3").into());
    let orphan = unsigned(|d| d.security_servers[0].id = server("0", "ss1"));
    assert_eq!(orphan, dangling("the security server EE/GOV/0/ss1", "member", "EE/GOV/0").into());
    let orphan = unsigned(|d| _ = d.registrations.insert(subsystem("1", "tax"), <_>::default()));
    assert_eq!(orphan, dangling("a registration", "subsystem", "EE/GOV/1/tax").into());
    let lost =
        unsigned(|d| _ = d.registrations.insert(subsystem("1", "portal"), [server("1", "ss9")].into()));
    assert_eq!(lost, dangling("the subsystem EE/GOV/1/portal", "security server", "EE/GOV/1/ss9").into());
}

#[test]
fn what_is_needed_is_there() {
    assert_eq!(refusal(|s| s.policy = None), missing("policy", "the snapshot"));
    assert_eq!(refusal(|s| s.members[0].name.clear()), missing("name", "the member EE/GOV/1"));
    let homeless = refusal(|s| s.members[0].security_servers[0].addresses.clear());
    assert_eq!(homeless, missing("address", "the security server EE/GOV/1/ss1"));
    assert_eq!(refusal(|s| s.approved_cas[0].name.clear()), missing("name", "a CA"));
    assert_eq!(refusal(|s| s.approved_tsas[0].name.clear()), missing("name", "a TSA"));
    let lawless = refusal(|s| s.approved_tsas[0].policies.clear());
    assert_eq!(lawless, missing("timestamping policy", "the TSA \"Test TSA\""));
}

#[test]
fn texts_are_fit_to_be_shown() {
    let text = |what, of: &str| ContentError::Text { what, of: of.to_owned() };
    for bad in ["two\nlines", "\u{1b}[31mred", "reversed \u{202E}", &"x".repeat(limits::TEXT_BYTES_MAX + 1)] {
        assert_eq!(refusal(|s| s.members[0].name = bad.to_owned()), text("name", "the member EE/GOV/1"));
        let subsystem = refusal(|s| s.members[0].subsystems[0].name = bad.to_owned());
        assert_eq!(subsystem, text("name", "the subsystem EE/GOV/1/portal"));
        let service = refusal(|s| population(s).services[0].title = bad.to_owned());
        assert_eq!(service, text("title", "the service EE/GOV/2/population/persons"));
        assert_eq!(refusal(|s| s.approved_cas[0].name = bad.to_owned()), text("name", "a CA"));
        assert_eq!(refusal(|s| s.approved_tsas[0].name = bad.to_owned()), text("name", "a TSA"));
    }
}

#[test]
fn addresses_and_urls_are_usable() {
    let address = ContentError::Endpoint(EndpointError::Address("ss1".to_owned()));
    assert_eq!(refusal(|s| s.members[0].security_servers[0].addresses[0] = "ss1".to_owned()), address);
    let url = ContentError::Endpoint(EndpointError::Url("ldap://a".to_owned()));
    assert_eq!(refusal(|s| s.approved_cas[0].ocsp_urls[0] = "ldap://a".to_owned()), url);
    assert_eq!(refusal(|s| s.approved_tsas[0].url = "ldap://a".to_owned()), url);
}

#[test]
fn every_policy_value_is_said_and_within_reason() {
    type Change = fn(&mut wire::Policy, u32);
    let cases: [(&str, u32, Change); 4] = [
        ("ocsp_freshness_s", limits::OCSP_FRESHNESS_S_MAX, |p, s| p.ocsp_freshness_s = s),
        ("timestamp_interval_s", limits::TIMESTAMP_INTERVAL_S_MAX, |p, s| p.timestamp_interval_s = s),
        ("timestamp_failure_s", limits::TIMESTAMP_FAILURE_S_MAX, |p, s| p.timestamp_failure_s = s),
        ("clock_skew_s", limits::CLOCK_SKEW_S_MAX, |p, s| p.clock_skew_s = s),
    ];
    for (name, max, change) in cases {
        for seconds in [0, max + 1, u32::MAX] {
            let error = refusal(|s| change(s.policy.as_mut().unwrap(), seconds));
            assert_eq!(error, ContentError::Policy { name, seconds, max });
        }
    }
    // Half a second is nothing in whole seconds, and what does not fit is not wrapped.
    let (name, max) = ("clock_skew_s", limits::CLOCK_SKEW_S_MAX);
    let error = unsigned(|d| d.policy.clock_skew = Duration::from_millis(500));
    assert_eq!(error, ContentError::Policy { name, seconds: 0, max }.into());
    let error = unsigned(|d| d.policy.clock_skew = Duration::from_secs(u64::from(u32::MAX) + 2));
    assert_eq!(error, ContentError::Policy { name, seconds: u32::MAX, max }.into());
}

#[test]
fn certificates_of_trust_services_are_certificates() {
    let unfit = |error: ContentError| match error {
        ContentError::Certificate { of, reason } => (of, reason),
        other => panic!("{other}"),
    };
    let (ca, not_ca) = ("the CA \"Test CA\"", "its basic constraints do not say that it is a CA");
    let leaf = || TSA.der().to_vec();
    let expected = (ca.to_owned(), not_ca.to_owned());
    assert_eq!(unfit(refusal(|s| s.approved_cas[0].certificate = leaf())), expected);
    assert_eq!(unfit(refusal(|s| s.approved_cas[0].intermediates.push(leaf()))), expected);
    assert_eq!(unfit(refusal(|s| s.approved_cas[0].certificate = b"junk".to_vec())).0, ca);
    assert_eq!(unfit(refusal(|s| s.approved_cas[0].ocsp_responders.push(b"junk".to_vec()))).0, ca);
    assert_eq!(unfit(refusal(|s| s.approved_tsas[0].certificate.clear())).0, "the TSA \"Test TSA\"");
}

#[test]
fn digests_have_their_length() {
    for length in [0, 20, 31, 33] {
        let error =
            refusal(|s| s.members[0].security_servers[0].auth_certificate_sha256[0] = vec![0; length]);
        assert_eq!(error, ContentError::Digest { of: "the security server EE/GOV/1/ss1".to_owned() });
    }
}

#[test]
fn timestamping_policies_are_object_identifiers() {
    for bad in ["", "policy", "1", "1.2.", "1.2.03", "3.1.1", "1.2.3.4 ", "1,2"] {
        let error = refusal(|s| s.approved_tsas[0].policies[0] = bad.to_owned());
        let of = "the TSA \"Test TSA\"".to_owned();
        assert_eq!(error, ContentError::TimestampPolicy { policy: bad.to_owned(), of }, "{bad}");
    }
}

#[test]
fn lists_have_limits() {
    let too_many = |what, max| Err(SnapshotError::Content(ContentError::TooMany { what, max }));
    // Read without signing, which would take most of the time for lists as long as these.
    let read = |change: fn(&mut wire::Snapshot)| {
        let (_, mut snapshot) = parts(&draft());
        change(&mut snapshot);
        let members = std::mem::take(&mut snapshot.members);
        let bytes = Bytes::from(wire::Snapshot { members, ..Default::default() }.encode_to_vec());
        Content::read(&snapshot, &bytes, Cursor::new(&bytes), &sha256(b"")).map(drop)
    };
    fn code(number: usize) -> String {
        format!("{number:06}")
    }
    assert_eq!(read(|_| {}), Ok(()));
    let refused = read(|s| {
        let member = |number| wire::Member {
            member_class: "GOV".to_owned(),
            member_code: code(number),
            name: "x".to_owned(),
            ..Default::default()
        };
        s.members = (0..=limits::MEMBERS_MAX).map(member).collect();
    });
    assert_eq!(refused, too_many("members", limits::MEMBERS_MAX));
    let refused = read(|s| {
        let subsystem = |number| wire::Subsystem { subsystem_code: code(number), ..Default::default() };
        s.members[0].subsystems = (0..=limits::SUBSYSTEMS_MAX).map(subsystem).collect();
    });
    assert_eq!(refused, too_many("subsystems", limits::SUBSYSTEMS_MAX));
    let refused = read(|s| {
        let server = |number| wire::SecurityServer {
            server_code: code(number),
            addresses: vec!["a:1".to_owned()],
            ..Default::default()
        };
        s.members[0].security_servers = (0..=limits::SERVERS_MAX).map(server).collect();
    });
    assert_eq!(refused, too_many("security servers", limits::SERVERS_MAX));
    let refused = read(|s| {
        let service = |number| wire::Service { service_code: code(number), title: String::new() };
        population(s).services = (0..=limits::SERVICES_MAX).map(service).collect();
    });
    assert_eq!(refused, too_many("services", limits::SERVICES_MAX));
    let refused = read(|s| {
        let addresses = (0..=limits::ADDRESSES_MAX).map(|number| format!("a{number}:1")).collect();
        s.members[0].security_servers[0].addresses = addresses;
    });
    assert_eq!(refused, too_many("addresses of one security server", limits::ADDRESSES_MAX));
    let refused = read(|s| {
        let digests = vec![vec![0; Sha256::LEN]; limits::AUTH_CERTIFICATES_MAX + 1];
        s.members[0].security_servers[0].auth_certificate_sha256 = digests;
    });
    let what = "authentication certificates of one security server";
    assert_eq!(refused, too_many(what, limits::AUTH_CERTIFICATES_MAX));
    let refused = read(|s| {
        let many = 0..=limits::SERVERS_OF_SUBSYSTEM_MAX;
        population(s).security_servers = many.map(|number| reference("GOV", "1", &code(number))).collect();
    });
    assert_eq!(refused, too_many("security servers of one subsystem", limits::SERVERS_OF_SUBSYSTEM_MAX));
}

#[test]
fn lists_of_trust_services_have_limits() {
    let too_many = |what, max| ContentError::TooMany { what, max };
    let error = refusal(|s| s.approved_cas = vec![<_>::default(); limits::CAS_MAX + 1]);
    assert_eq!(error, too_many("approved CAs", limits::CAS_MAX));
    let error = refusal(|s| s.approved_tsas = vec![<_>::default(); limits::TSAS_MAX + 1]);
    assert_eq!(error, too_many("approved TSAs", limits::TSAS_MAX));
    let more = limits::CA_ITEMS_MAX + 1;
    let error = refusal(|s| s.approved_cas[0].intermediates = vec![vec![]; more]);
    assert_eq!(error, too_many("intermediate certificates of one CA", limits::CA_ITEMS_MAX));
    let error = refusal(|s| s.approved_cas[0].ocsp_responders = vec![vec![]; more]);
    assert_eq!(error, too_many("OCSP responders of one CA", limits::CA_ITEMS_MAX));
    let error = refusal(|s| s.approved_cas[0].ocsp_urls = vec![String::new(); more]);
    assert_eq!(error, too_many("OCSP URLs of one CA", limits::CA_ITEMS_MAX));
    let error = refusal(|s| s.approved_tsas[0].policies = vec![String::new(); limits::TSA_POLICIES_MAX + 1]);
    assert_eq!(error, too_many("timestamping policies of one TSA", limits::TSA_POLICIES_MAX));
}

#[test]
fn the_writer_refuses_what_readers_would() {
    assert_eq!(unsigned(|d| d.members[0].name.clear()), missing("name", "the member EE/GOV/1").into());
    assert_eq!(unsigned(|d| d.members.push(d.members[0].clone())), duplicate("member", "EE/GOV/1").into());
    let orphan = unsigned(|d| d.services[0].id = format!("{}/x", subsystem("1", "tax")).parse().unwrap());
    assert_eq!(orphan, dangling("the service EE/GOV/1/tax/x", "subsystem", "EE/GOV/1/tax").into());
}

#[test]
fn identifiers_of_another_instance_do_not_lose_it_on_the_way() {
    let abroad = MemberId::new("FI", "GOV", "1").unwrap();
    let expected = SnapshotError::Instance { expected: "EE".to_owned(), found: "FI".to_owned() };
    let portal = SubsystemId::new(abroad.clone(), "portal").unwrap();
    assert_eq!(unsigned(|d| d.members[0].id = abroad.clone()), expected);
    assert_eq!(unsigned(|d| d.services[0].id = format!("{portal}/x").parse().unwrap()), expected);
    assert_eq!(unsigned(|d| d.security_servers[0].id = format!("{abroad}/ss").parse().unwrap()), expected);
    let ss1 = server("1", "ss1");
    assert_eq!(unsigned(|d| _ = d.registrations.insert(portal.clone(), [ss1].into())), expected);
    let ss1 = SecurityServerId::new(abroad, "ss1").unwrap();
    assert_eq!(unsigned(|d| _ = d.registrations.insert(subsystem("1", "portal"), [ss1].into())), expected);
    assert_eq!(unsigned(|d| d.subsystems[0].id = portal), expected);
}
