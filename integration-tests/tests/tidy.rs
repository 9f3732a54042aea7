//! Taste as a test: the floors of the workspace, banned names, size ratchets, what may never be linked, what must be documented.
//!
//! A ratchet names what is larger than it should be today, with its size. It may shrink, never grow, and nothing new may be added
//! without a word on why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use kogge_proto::fault::FaultCode;

/// Lines of one source file, tests in files of their own not counted.
const FILE_LINES_MAX: usize = 500;
/// Lines of one function's body.
const FUNCTION_LINES_MAX: usize = 60;

/// Files that are longer, with their length.
const LONG_FILES: &[(&str, usize)] = &[];
/// Functions that are longer, with their length.
const LONG_FUNCTIONS: &[(&str, usize)] = &[];

/// Names of drawers: a function belongs to the thing it is about.
const DRAWERS: [&str; 9] =
    ["utils", "util", "helpers", "helper", "common", "misc", "types", "models", "shared"];

/// Crates whose decisions know neither runtime nor network.
const PURE: [&str; 7] = [
    "kogge-proto",
    "kogge-durable",
    "kogge-tlog",
    "kogge-certs",
    "kogge-message-log",
    "kogge-signer",
    "kogge-evidence",
];

#[test]
fn crates_import_only_from_lower_floors() {
    let metadata = metadata();
    let floors: Vec<String> = metadata
        .workspace_members
        .iter()
        .filter_map(|id| metadata.packages.iter().find(|package| &package.id == id))
        .map(|package| package.name.to_string())
        .collect();
    // `cargo metadata` sorts members, so the order is read from the manifest itself.
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let order: Vec<PathBuf> = manifest["workspace"]["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| root().join(member.as_str().unwrap()).join("Cargo.toml"))
        .collect();
    let floor = |name: &str| {
        let package = metadata.packages.iter().find(|package| package.name.as_str() == name).unwrap();
        order.iter().position(|path| path == package.manifest_path.as_std_path()).unwrap()
    };
    assert_eq!(order.len(), floors.len());
    for package in metadata.packages.iter().filter(|package| floors.contains(&package.name.to_string())) {
        for dependency in package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal) {
            if floors.contains(&dependency.name) {
                let (from, to) = (floor(&package.name), floor(&dependency.name));
                assert!(
                    to < from,
                    "{} may not import {}: it stands on a higher floor",
                    package.name,
                    dependency.name
                );
            }
        }
    }
}

#[test]
fn decisions_know_neither_runtime_nor_network() {
    for package in metadata().packages.iter().filter(|package| PURE.contains(&package.name.as_str())) {
        for dependency in package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal) {
            let network =
                ["tokio", "tokio-util", "hyper", "hyper-util", "quinn", "rustls", "tokio-rustls", "socket2"];
            assert!(
                !network.contains(&dependency.name.as_str()),
                "{} imports {}",
                package.name,
                dependency.name
            );
        }
    }
}

#[test]
fn no_second_tls_library_and_no_ring_in_rustls() {
    let metadata = metadata();
    let banned = ["openssl", "openssl-sys", "native-tls", "rsa", "rustls-platform-verifier", "boring"];
    for package in &metadata.packages {
        assert!(!banned.contains(&package.name.as_str()), "{} is linked", package.name);
    }
    let resolve = metadata.resolve.as_ref().unwrap();
    for name in ["rustls", "quinn", "quinn-proto", "rustls-webpki", "tokio-rustls"] {
        let package = metadata.packages.iter().find(|package| package.name.as_str() == name).unwrap();
        let node = resolve.nodes.iter().find(|node| node.id == package.id).unwrap();
        let ring: Vec<_> = node.features.iter().filter(|feature| feature.contains("ring")).collect();
        assert!(ring.is_empty(), "{name} has the features {ring:?}");
    }
}

#[test]
fn the_libraries_that_were_asked_for_are_used() {
    let metadata = metadata();
    let used: BTreeSet<&str> = metadata
        .packages
        .iter()
        .filter(|package| metadata.workspace_members.contains(&package.id))
        .flat_map(|package| package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal))
        .map(|dependency| dependency.name.as_str())
        .collect();
    for name in ["tokio", "rustls", "hyper", "quinn", "ring", "x509-parser", "sled", "prost"] {
        assert!(used.contains(name), "{name} is not used");
        let identifier = name.replace('-', "_");
        let mentioned = sources().iter().any(|(_, text)| text.contains(&format!("{identifier}::")));
        assert!(mentioned, "{name} is a dependency of nothing but manifests");
    }
}

#[test]
fn every_crate_forbids_unsafe_code() {
    for (path, text) in sources() {
        let is_root = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
        assert!(
            !is_root || text.contains("#![forbid(unsafe_code)]"),
            "{} does not forbid unsafe code",
            path.display()
        );
    }
}

#[test]
fn no_drawers() {
    for (path, _) in sources() {
        for part in path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()) {
            assert!(
                !DRAWERS.contains(&part.as_str()),
                "{}: {part} is a drawer, not a chapter",
                path.display()
            );
        }
    }
}

#[test]
fn nothing_is_left_for_later() {
    let words = ["todo!(", "unimplemented!(", "dbg!(", "#[ignore", "allow(dead_code", "TODO", "FIXME", "XXX"];
    for (path, text) in sources().into_iter().filter(|(path, _)| !path.ends_with("tests/tidy.rs")) {
        // A module that several test binaries include is used in part by each.
        let of_tests = path.iter().any(|part| part == "tests");
        for word in words.into_iter().filter(|word| !(of_tests && word.starts_with("allow(dead_code"))) {
            assert!(!text.contains(word), "{} has {word}", path.display());
        }
    }
}

#[test]
fn files_and_functions_stay_readable() {
    let mut long_files = BTreeMap::new();
    let mut long_functions = BTreeMap::new();
    for (path, text) in sources() {
        if path.iter().any(|part| part == "tests" || part == "tests.rs" || part == "benches") {
            continue;
        }
        let name = path.to_string_lossy().into_owned();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lines = code.lines().count();
        if lines > FILE_LINES_MAX {
            long_files.insert(name.clone(), lines);
        }
        for (function, lines) in functions(code).into_iter().filter(|(_, lines)| *lines > FUNCTION_LINES_MAX)
        {
            long_functions.insert(format!("{name}::{function}"), lines);
        }
    }
    check_ratchet("file", &long_files, LONG_FILES);
    check_ratchet("function", &long_functions, LONG_FUNCTIONS);
}

#[test]
fn every_fault_code_is_documented() {
    let text = read("docs/faults.md");
    for code in FaultCode::ALL {
        assert!(text.contains(&format!("`{code}`")), "docs/faults.md does not explain {code}");
        assert!(text.contains(&format!("| {} |", code.http_status())), "docs/faults.md lacks a status");
    }
}

#[test]
fn every_metric_is_documented() {
    let text = read("docs/operations.md");
    let metrics = names("security-server/src", |name| {
        name.starts_with("kogge_") && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    });
    assert!(metrics.contains("kogge_ready") && metrics.contains("kogge_exchanges_total"), "{metrics:?}");
    for metric in metrics {
        let documented = text.contains(&format!("`{metric}`")) || text.contains(&format!("`{metric}{{"));
        assert!(documented, "docs/operations.md does not explain the metric {metric}");
    }
}

#[test]
fn every_check_is_documented() {
    let text = read("docs/evidence.md");
    let subjects = [
        "bundle",
        "container",
        "log",
        "message",
        "ocsp",
        "record",
        "registry",
        "signature",
        "signer",
        "timestamp",
    ];
    let is_check = |name: &str| {
        name.split_once('.').is_some_and(|(subject, rest)| {
            subjects.contains(&subject)
                && rest.bytes().all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte))
        })
    };
    let mut checks = BTreeSet::new();
    for folder in ["evidence/src", "message-log/src", "cli/src/command/verify"] {
        checks.extend(names(folder, is_check));
    }
    for known in ["container.zip", "signature.value", "log.chain", "log.structure"] {
        assert!(checks.contains(known), "{known} is not among {checks:?}");
    }
    for check in &checks {
        assert!(
            text.contains(&format!("| `{check}` |")),
            "docs/evidence.md does not explain the check {check}"
        );
    }
    let table = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    for documented in table.filter(|name| is_check(name)) {
        assert!(
            checks.contains(documented),
            "docs/evidence.md explains the check {documented}, which nothing makes"
        );
    }
}

/// String literals in the sources of a folder that are such names.
fn names(folder: &str, is_one: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let is_test = |path: &Path| path.iter().any(|part| part == "tests" || part == "tests.rs");
    for (_, text) in sources().into_iter().filter(|(path, _)| path.starts_with(folder) && !is_test(path)) {
        found.extend(text.split('"').filter(|literal| is_one(literal)).map(str::to_owned));
    }
    found
}

#[test]
fn the_documents_that_readers_look_for_exist() {
    let readme = read("README.md");
    assert!(readme.contains("cargo run --release -- demo"));
    assert!(readme.contains("cargo test --workspace"));
    for document in [
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "LICENSE",
        "publiccode.yml",
        "Dockerfile",
    ] {
        assert!(root().join(document).is_file(), "{document} is missing");
    }
}

#[test]
fn the_code_map_names_every_crate() {
    let text = read("ARCHITECTURE.md");
    let metadata = metadata();
    for package in metadata.packages.iter().filter(|package| metadata.workspace_members.contains(&package.id))
    {
        let folder = package.manifest_path.parent().unwrap().strip_prefix(root().to_str().unwrap()).unwrap();
        assert!(text.contains(&format!("`{folder}/`")), "ARCHITECTURE.md does not mention {folder}/");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let path = document.parent().unwrap().join(target);
            assert!(path.exists(), "{} links to {target}, which does not exist", document.display());
        }
    }
}

fn check_ratchet(kind: &str, found: &BTreeMap<String, usize>, allowed: &[(&str, usize)]) {
    for (name, lines) in found {
        let limit = allowed.iter().find(|(allowed, _)| allowed == name).map(|(_, limit)| *limit);
        assert!(
            limit.is_some_and(|limit| *lines <= limit),
            "the {kind} {name} has {lines} lines: split it where a reader would pause"
        );
    }
    for (name, limit) in allowed {
        let lines = found.get(*name).copied().unwrap_or(0);
        assert_eq!(lines, *limit, "the {kind} {name} has shrunk: lower its ratchet");
    }
}

/// Name and length of each function, as rustfmt lays them out: from `fn` to the closing brace in the same column.
fn functions(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let lines: Vec<&str> = code.lines().collect();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let Some((before, after)) = line.split_once("fn ") else { continue };
        let is_item = before
            .trim()
            .split(' ')
            .all(|word| ["", "pub", "pub(crate)", "pub(super)", "async", "const", "extern"].contains(&word));
        if !is_item {
            continue;
        }
        let closing = format!("{}}}", " ".repeat(indent));
        let Some(length) = lines[start..].iter().position(|line| **line == closing) else { continue };
        let opening =
            lines[start..=start + length].iter().position(|line| line.trim_end().ends_with('{')).unwrap_or(0);
        let name = after.split(['(', '<']).next().unwrap_or_default();
        found.push((name.to_owned(), length.saturating_sub(opening + 1)));
    }
    found
}

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).exec().unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// All Rust sources of the workspace by their path within it.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    walk(&root(), "rs", &mut found);
    found
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path.strip_prefix(root()).unwrap().to_path_buf(), text)
        })
        .collect()
}

fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(&root(), "md", &mut found);
    found
}

fn walk(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        let skipped = ["target", "demo-data"].iter().any(|skip| name == *skip)
            || name.to_string_lossy().starts_with('.');
        if path.is_dir() && !skipped {
            walk(&path, extension, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}
