//! Operators one after the other, at the same time, and mistaken.

use std::fs;

use kogge_certs::snapshot::{ContentError, SnapshotError};

use super::*;
use crate::state::Refusal;
use crate::testing::{Home, add_member, empty, policy};

fn options() -> InitOptions {
    InitOptions { instance: "EE".to_owned(), environment: Environment::Test, policy: policy() }
}

#[test]
fn a_new_instance_has_an_anchor_and_no_members() {
    let home = Home::new();
    let text = fs::read_to_string(home.config.anchor_file()).unwrap();
    let anchor = Anchor::parse(&text).unwrap();
    assert_eq!((anchor.instance(), anchor.environment()), ("EE", Environment::Test));
    assert_eq!(anchor.registry_urls(), ["http://registry.example"]);
    assert_eq!(anchor.root_keys(), home.anchor.root_keys());
    let state = show(&home.config).unwrap();
    assert_eq!((state.instance(), state.members().len()), ("EE", 0));
    assert_eq!(*state.policy(), policy());
}

#[test]
fn an_instance_is_made_once() {
    let home = Home::new();
    let anchor = fs::read(home.config.anchor_file()).unwrap();
    let error = init(&home.config, &options()).unwrap_err();
    assert!(matches!(error, RegistryError::Exists(_)), "{error}");
    assert_eq!(fs::read(home.config.anchor_file()).unwrap(), anchor);
}

#[test]
fn an_interrupted_init_is_neither_used_nor_overwritten() {
    let home = Home::new();
    fs::remove_file(home.config.anchor_file()).unwrap();
    let error = init(&home.config, &options()).unwrap_err();
    assert!(matches!(error, RegistryError::Unfinished(_)), "{error}");
    let error = show(&home.config).unwrap_err();
    assert!(matches!(error, RegistryError::Unfinished(_)), "{error}");
}

#[test]
fn without_a_registry_there_is_nothing_to_change() {
    let (_dir, config) = empty();
    assert!(matches!(change(&config, add_member("1")), Err(RegistryError::Missing(_))));
    assert!(matches!(show(&config), Err(RegistryError::Missing(_))));
    assert!(!config.dir.exists());
}

#[test]
fn options_that_nobody_would_accept_leave_no_journal() {
    for bad in [
        InitOptions { instance: "E/E".to_owned(), ..options() },
        InitOptions { policy: Policy { clock_skew: Duration::ZERO, ..policy() }, ..options() },
    ] {
        let (_dir, config) = empty();
        init(&config, &bad).unwrap_err();
        assert!(!config.journal_dir().exists() && !config.anchor_file().exists());
    }
}

#[test]
fn the_pin_is_needed_to_change_and_not_to_look() {
    let home = Home::new();
    let pin = home.config.dir.join("wrong");
    write_atomic(&pin, b"wrong horse", true).unwrap();
    let config = Config { pin: kogge_signer::PinSource::File(pin), ..home.config.clone() };
    let error = change(&config, add_member("1")).unwrap_err();
    assert!(matches!(error, RegistryError::Token(TokenError::WrongPin)), "{error}");
    assert_eq!(show(&config).unwrap().members().len(), 0);
}

#[test]
fn what_is_refused_is_not_recorded() {
    let home = Home::new();
    let mut operator = Operator::open(&home.config).unwrap();
    assert_eq!(operator.change(add_member("1")).unwrap().sequence, 2);
    let before = fs::read(home.config.journal_dir().join("decisions")).unwrap();
    let error = operator.change(add_member("1")).unwrap_err();
    assert!(matches!(error, RegistryError::Refused(Refusal::Exists { .. })), "{error}");
    // Valid by itself, but nobody would accept the snapshot.
    let member = "EE/GOV/2".parse().unwrap();
    let error = operator.change(Change::AddMember { member, name: "two\nlines".to_owned() }).unwrap_err();
    let content = matches!(error, RegistryError::Snapshot(SnapshotError::Content(ContentError::Text { .. })));
    assert!(content, "{error}");
    let server = "EE/GOV/1/ss".parse().unwrap();
    let error = operator.change(Change::AddSecurityServer { server, addresses: vec![] }).unwrap_err();
    let content =
        matches!(error, RegistryError::Snapshot(SnapshotError::Content(ContentError::Missing { .. })));
    assert!(content, "{error}");
    assert_eq!(fs::read(home.config.journal_dir().join("decisions")).unwrap(), before);
    assert_eq!(operator.state().members().len(), 1);
    assert_eq!(operator.change(add_member("2")).unwrap().sequence, 3);
}

#[test]
fn changes_that_belong_together_are_recorded_together_or_not_at_all() {
    let home = Home::new();
    let mut operator = Operator::open(&home.config).unwrap();
    let subsystem = |member: &str| Change::AddSubsystem {
        subsystem: format!("EE/GOV/{member}/register").parse().unwrap(),
        name: String::new(),
    };
    let error = operator.change_all([add_member("1"), subsystem("1"), subsystem("2")]).unwrap_err();
    assert!(matches!(error, RegistryError::Refused(Refusal::Unknown { what: "member", .. })), "{error}");
    assert_eq!((operator.state().members().len(), show(&home.config).unwrap().members().len()), (0, 0));
    let applied =
        operator.change_all([add_member("1"), subsystem("1"), add_member("2"), subsystem("2")]).unwrap();
    assert_eq!(applied.sequence, 5);
    assert_eq!(show(&home.config).unwrap().subsystems().len(), 2);
}

#[test]
fn a_large_list_is_taken_in_at_once_but_not_an_endless_one() {
    let home = Home::new();
    let mut operator = Operator::open(&home.config).unwrap();
    operator.change_all((0..2000).map(|code| add_member(&code.to_string()))).unwrap();
    assert_eq!(show(&home.config).unwrap().members().len(), 2000);
    let error = operator.change_all((0..).map(|code| add_member(&code.to_string()))).unwrap_err();
    assert!(matches!(error, RegistryError::TooManyChanges), "{error}");
}

#[test]
fn operators_at_the_same_time_lose_nothing() {
    let home = Home::new();
    std::thread::scope(|scope| {
        for name in ["a", "b", "c"] {
            let config = &home.config;
            scope.spawn(move || {
                let mut operator = Operator::open(config).unwrap();
                for number in 0..5 {
                    operator.change(add_member(&format!("{name}{number}"))).unwrap();
                }
            });
        }
    });
    assert_eq!(show(&home.config).unwrap().members().len(), 15);
}

#[test]
fn of_two_operators_with_the_same_wish_one_is_told() {
    let home = Home::new();
    let mut first = Operator::open(&home.config).unwrap();
    let mut second = Operator::open(&home.config).unwrap();
    first.change(add_member("1")).unwrap();
    let error = second.change(add_member("1")).unwrap_err();
    assert!(matches!(error, RegistryError::Refused(Refusal::Exists { .. })), "{error}");
    assert_eq!(second.change(add_member("2")).unwrap().sequence, 3);
}

#[test]
fn the_delegation_is_renewed_with_the_same_key_or_another() {
    let home = Home::new();
    let before = show(&home.config).unwrap().delegation().clone();
    renew_delegation(&home.config, OnlineKey::Keep).unwrap();
    let kept = show(&home.config).unwrap().delegation().clone();
    assert_eq!((kept.version, &kept.online_keys), (2, &before.online_keys));
    renew_delegation(&home.config, OnlineKey::Replace).unwrap();
    let replaced = show(&home.config).unwrap().delegation().clone();
    assert_eq!(replaced.version, 3);
    assert_ne!(replaced.online_keys, kept.online_keys);
    // The new key signs from now on.
    change(&home.config, add_member("1")).unwrap();
    assert_eq!(show(&home.config).unwrap().members().len(), 1);
}
