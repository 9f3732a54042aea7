//! The command line as users meet it: help with an example everywhere, exit codes, errors that say what to do.

use std::process::{Command, Output};

fn kogge(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kogge")).args(arguments).env_remove("RUST_BACKTRACE").output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The subcommands that a help text lists.
fn subcommands(help: &str) -> Vec<String> {
    let listed =
        help.split("\nCommands:\n").nth(1).unwrap_or_default().split("\n\n").next().unwrap_or_default();
    let names = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Calls `check` with every command, groups and the binary itself included, and its help.
fn every_command(path: &[String], check: &mut dyn FnMut(&[String], &str)) {
    let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
    let output = kogge(&arguments);
    assert_eq!(output.status.code(), Some(0), "{path:?}");
    let help = stdout(&output);
    check(path, &help);
    for name in subcommands(&help) {
        every_command(&[path, &[name]].concat(), check);
    }
}

#[test]
fn every_command_has_help_with_an_example() {
    let mut seen = Vec::new();
    every_command(&[], &mut |path, help| {
        seen.push(path.join(" "));
        if subcommands(help).is_empty() {
            let example = format!("\n  kogge {}", path.join(" "));
            assert!(help.contains("Example") && help.contains(&example), "{path:?} has no example:\n{help}");
        }
    });
    for command in [
        "token init",
        "token generate",
        "token list",
        "token request",
        "token import",
        "log list",
        "log show",
        "log export",
        "log accesses",
        "log erase",
        "log renew",
        "log reindex",
        "verify",
        "audit reconcile",
        "audit consistency",
        "security-server run",
        "central-registry run",
        "central-registry init",
        "trust-services run",
        "trust-services issue",
    ] {
        assert!(seen.iter().any(|known| known == command), "{command} is not a command: {seen:?}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2_on_standard_error() {
    let wrong: [&[&str]; 8] = [
        &[],
        &["sail"],
        &["token"],
        &["token", "init"],
        &["log", "list"],
        &["log", "list", "--dir", "a", "--config", "b"],
        &["log", "show", "--dir", "a"],
        &["verify", "a.asice"],
    ];
    for arguments in wrong {
        let output = kogge(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn unreadable_inputs_are_exit_code_2_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let missing = missing.to_str().unwrap();
    let wrong: [&[&str]; 6] = [
        &["log", "list", "--dir", missing],
        &["log", "show", "--message-id", "1", "--dir", missing],
        &["log", "list", "--config", missing],
        &["token", "list", "--dir", missing],
        &["token", "generate", "--use", "signing", "--pin", "env:HOME", "--dir", missing],
        &["verify", "a.asice", "--anchor", missing],
    ];
    for arguments in wrong {
        let output = kogge(arguments);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.starts_with("kogge: ") && said.contains(missing), "{arguments:?}: {said}");
        assert!(!said.contains("backtrace") && output.stdout.is_empty(), "{arguments:?}: {said}");
    }
}

#[test]
fn an_anchor_that_is_none_is_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let anchor = dir.path().join("anchor.toml");
    std::fs::write(&anchor, "instance = 'DEMO'\n").unwrap();
    let output = kogge(&["verify", "a.asice", "--anchor", anchor.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("missing field"), "{}", stderr(&output));
}

#[test]
fn help_and_version_are_exit_code_0_on_standard_output() {
    for arguments in [["--help"], ["--version"], ["help"]] {
        let output = kogge(&arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(stdout(&output).contains("kogge") || stdout(&output).contains("Kogge"));
    }
}
