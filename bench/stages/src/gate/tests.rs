use super::*;

fn machine(rustc: &str, processor: &str) -> Machine {
    Machine { rustc: rustc.to_owned(), processor: processor.to_owned() }
}

fn known() -> Machine {
    machine("rustc 1.95.0 (59807616e 2026-04-14)", "x86_64 aes avx2")
}

/// A stage with this count in the table.
fn stage_of(kind: Kind, old: u64) -> (Stage, Table) {
    let name = "a.stage";
    let stage = crate::all().into_iter().find(|stage| stage.kind == kind).unwrap();
    (Stage { name, ..stage }, Table { machine: known(), rows: vec![(name.to_owned(), old)] })
}

fn judged(old: u64, new: u64) -> Finding {
    let (stage, table) = stage_of(Kind::Cryptographic, old);
    judge(&stage, new, &table, &known())
}

#[test]
fn more_than_five_percent_is_told_either_way() {
    assert_eq!(judged(1000, 1000), Finding::Same);
    assert_eq!(judged(1000, 1050), Finding::Same);
    assert_eq!(judged(1000, 1051), Finding::Dearer { old: 1000, new: 1051 });
    assert_eq!(judged(1000, 950), Finding::Same);
    assert_eq!(judged(1000, 949), Finding::Cheaper { old: 1000, new: 949 });
    assert_eq!(judged(0, 1), Finding::Dearer { old: 0, new: 1 });
    assert_eq!(judged(u64::MAX, u64::MAX), Finding::Same);
}

#[test]
fn only_what_is_dearer_or_unknown_fails() {
    assert!(judged(1000, 2000).is_failure());
    assert!(!judged(1000, 500).is_failure());
    assert!(!judged(1000, 1000).is_failure());
    let (stage, table) = stage_of(Kind::Plain, 1);
    let unknown = judge(&Stage { name: "another", ..stage }, 7, &table, &known());
    assert_eq!(unknown, Finding::Unknown { new: 7 });
    assert!(unknown.is_failure());
}

#[test]
fn another_processor_excuses_cryptography_alone() {
    let here = machine("rustc 1.95.0 (59807616e 2026-04-14)", "x86_64 aes");
    let (stage, table) = stage_of(Kind::Cryptographic, 1000);
    assert_eq!(judge(&stage, 2000, &table, &here), Finding::OtherProcessor);
    let (stage, table) = stage_of(Kind::Plain, 1000);
    assert_eq!(judge(&stage, 2000, &table, &here), Finding::Dearer { old: 1000, new: 2000 });
}

#[test]
fn another_compiler_is_an_excuse_only_while_the_table_is_the_workspaces() {
    let (_, table) = stage_of(Kind::Plain, 1000);
    let newer = machine("rustc 1.96.1 (abc 2026-06-14)", "x86_64 aes avx2");
    assert!(is_comparable(&table, &known(), "1.95").unwrap());
    assert!(!is_comparable(&table, &newer, "1.95").unwrap());
    let stale = is_comparable(&table, &newer, "1.96").unwrap_err();
    assert!(matches!(stale, GateError::StaleTable { workspace, .. } if workspace == "1.96"));
}

#[test]
fn stages_have_names_of_their_own() {
    let mut names: Vec<&str> = crate::all().iter().map(|stage| stage.name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}
