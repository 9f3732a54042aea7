//! The walk against a reader that takes the straight way: decode everything, encode it again and compare, gather everything in sets.
//! Both must accept the same bytes, and see the same in them.

use std::collections::BTreeSet;

use kogge_proto::id::{MemberId, SecurityServerId, ServiceId, SubsystemId};
use kogge_proto::wire::registry as wire;
use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message;

use super::fixture::{NOW, anchor, auth_certificate, draft, forge, parts};
use crate::snapshot::{VerifiedSnapshot, check_address};

/// What a snapshot says, one line per statement; `None` if it contradicts itself or is not encoded as we would encode it.
fn read(bytes: &[u8]) -> Option<BTreeSet<String>> {
    let snapshot = wire::Snapshot::decode(bytes).ok()?;
    if snapshot.encode_to_vec() != bytes {
        return None;
    }
    let (mut said, mut servers, mut references) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    let mut certificates = BTreeSet::new();
    let sorted = |codes: Vec<Vec<&str>>| codes.windows(2).all(|pair| pair[0] < pair[1]);
    let fit = |text: &str| text.len() <= 1024 && !text.chars().any(char::is_control);
    let mut good =
        sorted(snapshot.members.iter().map(|m| vec![m.member_class.as_str(), &m.member_code]).collect());
    for member in &snapshot.members {
        let id = MemberId::new("EE", &member.member_class, &member.member_code).ok()?;
        good &= !member.name.is_empty() && fit(&member.name);
        said.insert(format!("member {id} {:?} {}", member.name, member.suspended));
        good &= sorted(member.security_servers.iter().map(|s| vec![s.server_code.as_str()]).collect());
        for server in &member.security_servers {
            let id = SecurityServerId::new(id.clone(), &server.server_code).ok()?;
            let distinct: BTreeSet<_> = server.addresses.iter().collect();
            good &= (1..=8).contains(&server.addresses.len()) && distinct.len() == server.addresses.len();
            good &= server.addresses.iter().all(|address| check_address(address).is_ok());
            for digest in &server.auth_certificate_sha256 {
                good &= digest.len() == 32 && certificates.insert(digest.clone());
            }
            said.insert(format!("server {id} {:?} {}", server.addresses, server.suspended));
            servers.insert(id);
        }
        good &= sorted(member.subsystems.iter().map(|s| vec![s.subsystem_code.as_str()]).collect());
        for subsystem in &member.subsystems {
            let id = SubsystemId::new(id.clone(), &subsystem.subsystem_code).ok()?;
            good &= fit(&subsystem.name);
            said.insert(format!("subsystem {id} {:?}", subsystem.name));
            let refs = &subsystem.security_servers;
            good &= sorted(
                refs.iter().map(|r| vec![r.owner_class.as_str(), &r.owner_code, &r.server_code]).collect(),
            );
            for reference in refs {
                let own = reference.owner_class.is_empty() && reference.owner_code.is_empty();
                let owner = if own {
                    id.member().clone()
                } else {
                    MemberId::new("EE", &reference.owner_class, &reference.owner_code).ok()?
                };
                good &= own || owner != *id.member();
                let server = SecurityServerId::new(owner, &reference.server_code).ok()?;
                said.insert(format!("registration {id} {server}"));
                references.push(server);
            }
            good &= sorted(subsystem.services.iter().map(|s| vec![s.service_code.as_str()]).collect());
            for service in &subsystem.services {
                let id = ServiceId::new(id.clone(), &service.service_code).ok()?;
                good &= fit(&service.title);
                said.insert(format!("service {id} {:?}", service.title));
            }
        }
    }
    (good && references.iter().all(|server| servers.contains(server))).then_some(said)
}

/// The same by the walk and the look-ups.
fn walked(bytes: &[u8]) -> Option<BTreeSet<String>> {
    let (signed, _) = parts(&draft());
    let snapshot = VerifiedSnapshot::verify(forge(&signed.delegation, bytes), &anchor(), NOW).ok()?;
    let mut said = BTreeSet::new();
    for member in snapshot.members() {
        assert_eq!(snapshot.member(&member.id).as_ref(), Some(&member));
        said.insert(format!("member {} {:?} {}", member.id, member.name, member.suspended));
    }
    for server in snapshot.security_servers() {
        assert_eq!(snapshot.security_server(&server.id), Some(&server));
        for digest in &server.auth_certificates {
            assert_eq!(snapshot.security_server_by_auth_certificate(digest), Some(&server));
        }
        said.insert(format!("server {} {:?} {}", server.id, server.addresses, server.suspended));
    }
    for subsystem in snapshot.subsystems() {
        assert_eq!(snapshot.subsystem(&subsystem.id).as_ref(), Some(&subsystem));
        said.insert(format!("subsystem {} {:?}", subsystem.id, subsystem.name));
    }
    for (subsystem, server) in snapshot.registrations() {
        let active = snapshot.subsystem_registered(&subsystem)
            && snapshot.server_active(snapshot.security_server(&server).unwrap());
        assert_eq!(snapshot.is_provider(&server, &subsystem), active);
        said.insert(format!("registration {subsystem} {server}"));
    }
    for service in snapshot.services() {
        assert_eq!(snapshot.service(&service.id).as_ref(), Some(&service));
        said.insert(format!("service {} {:?}", service.id, service.title));
    }
    Some(said)
}

/// Few names, so that they meet; some that are refused.
fn code() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[abc]", 1 => "[ab]{2}", 1 => Just("ü".to_owned()), 1 => prop_oneof![Just(String::new()), Just("a/b".to_owned())]]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![6 => "[A-Z]{0,3}", 2 => Just("ä".to_owned()), 1 => Just("a\nb".to_owned())]
}

fn services() -> impl Strategy<Value = Vec<wire::Service>> {
    let service = (code(), text()).prop_map(|(service_code, title)| wire::Service { service_code, title });
    prop::collection::vec(service, 0..4)
}

fn reference() -> impl Strategy<Value = wire::ServerRef> {
    let owner = prop_oneof![
        3 => Just((String::new(), String::new())),
        3 => ("[ab]", "[abc]"),
        1 => (Just(String::new()), "[ab]"),
    ];
    (owner, code()).prop_map(|((owner_class, owner_code), server_code)| wire::ServerRef {
        owner_class,
        owner_code,
        server_code,
    })
}

fn subsystem() -> impl Strategy<Value = wire::Subsystem> {
    (code(), text(), prop::collection::vec(reference(), 0..3), services()).prop_map(
        |(subsystem_code, name, security_servers, services)| wire::Subsystem {
            subsystem_code,
            name,
            security_servers,
            services,
        },
    )
}

fn server() -> impl Strategy<Value = wire::SecurityServer> {
    let address = prop_oneof![8 => "[abcd]:[1-9]", 1 => Just("a".to_owned())];
    let digest = prop_oneof![9 => "[a-z]{2}".prop_map(|name| auth_certificate(&name).0.to_vec()), 1 => Just(vec![1; 31])];
    (code(), prop::collection::vec(address, 0..3), prop::collection::vec(digest, 0..2), any::<bool>())
        .prop_map(|(server_code, addresses, auth_certificate_sha256, suspended)| wire::SecurityServer {
            server_code,
            addresses,
            auth_certificate_sha256,
            suspended,
        })
}

fn member() -> impl Strategy<Value = wire::Member> {
    let lists = (prop::collection::vec(server(), 0..3), prop::collection::vec(subsystem(), 0..3));
    ("[ab]", code(), text(), any::<bool>(), lists).prop_map(
        |(member_class, member_code, name, suspended, (security_servers, subsystems))| wire::Member {
            member_class,
            member_code,
            name,
            suspended,
            security_servers,
            subsystems,
        },
    )
}

/// Puts in order, without what is there twice, what chance has put together: else nearly nothing would be accepted.
fn sort(snapshot: &mut wire::Snapshot) {
    let members = &mut snapshot.members;
    members.sort_by_key(|m| (m.member_class.clone(), m.member_code.clone()));
    members.dedup_by_key(|m| (m.member_class.clone(), m.member_code.clone()));
    for member in members {
        member.security_servers.sort_by_key(|s| s.server_code.clone());
        member.security_servers.dedup_by_key(|s| s.server_code.clone());
        member.subsystems.sort_by_key(|s| s.subsystem_code.clone());
        member.subsystems.dedup_by_key(|s| s.subsystem_code.clone());
        for subsystem in &mut member.subsystems {
            let key =
                |r: &wire::ServerRef| (r.owner_class.clone(), r.owner_code.clone(), r.server_code.clone());
            subsystem.security_servers.sort_by_key(key);
            subsystem.security_servers.dedup_by_key(|r| key(r));
            subsystem.services.sort_by_key(|s| s.service_code.clone());
            subsystem.services.dedup_by_key(|s| s.service_code.clone());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn both_readers_agree_on_content(members in prop::collection::vec(member(), 0..4), sorted in prop::bool::weighted(0.8)) {
        let (_, mut snapshot) = parts(&draft());
        snapshot.members = members;
        if sorted {
            sort(&mut snapshot);
        }
        let bytes = snapshot.encode_to_vec();
        prop_assert_eq!(walked(&bytes), read(&bytes));
    }

    #[test]
    fn both_readers_agree_on_encodings(
        flips in prop::collection::vec((any::<Index>(), 1..=255u8), 0..3),
        cut in prop::option::weighted(0.3, (any::<Index>(), 0..4usize)),
        doubled in prop::option::weighted(0.3, (any::<Index>(), 1..40usize, any::<Index>())),
    ) {
        // Only what the walk reads: what is before the members has its own tests.
        let (_, snapshot) = parts(&draft());
        let head = wire::Snapshot { members: vec![], ..snapshot.clone() }.encode_to_vec();
        let mut bytes = snapshot.encode_to_vec().split_off(head.len());
        for (place, mask) in flips {
            let place = place.index(bytes.len());
            bytes[place] ^= mask;
        }
        if let Some((place, length)) = cut {
            let place = place.index(bytes.len());
            bytes.drain(place..(place + length).min(bytes.len()));
        }
        if let Some((from, length, to)) = doubled {
            let from = from.index(bytes.len());
            let piece = bytes[from..(from + length).min(bytes.len())].to_vec();
            let to = to.index(bytes.len());
            bytes.splice(to..to, piece);
        }
        let bytes = [head, bytes].concat();
        let expected = read(&bytes);
        // A head field that chance has made among the members is refused by both; its content is not the question here.
        prop_assert_eq!(walked(&bytes), expected);
    }
}
