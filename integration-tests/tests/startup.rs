//! What a daemon needs is missing, wrong or taken: it says so in one clear message, and does not start half.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kogge_integration_tests::{Demo, Process, ROLES, Refusal};

const BINARY: &str = env!("CARGO_BIN_EXE_kogge-under-test");

/// Exit code when an input cannot be used: the configuration file and what it names.
const UNUSABLE: i32 = 2;
/// Exit code when the daemon itself fails to start.
const FAILED: i32 = 1;

/// A demo whose security servers, registry and trust services have been stopped, for their files.
struct Stopped {
    demo: Demo,
    _stopped: Vec<Process>,
}

impl Stopped {
    fn new() -> Self {
        let demo = Demo::start(BINARY, &[]).unwrap();
        let parts = ["consumer", "provider", "registry", "trust-services"];
        let mut processes: Vec<Process> = parts.iter().map(|part| demo.process(part)).collect();
        processes.iter_mut().for_each(|process| process.stop().unwrap());
        Self { demo, _stopped: processes }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.demo.dir().join(name)
    }

    /// Runs a daemon with a changed copy of its configuration.
    fn refused(
        &self,
        daemon: &str,
        config: &str,
        change: impl FnOnce(String) -> String,
        more: &[&str],
    ) -> Refusal {
        let text = std::fs::read_to_string(self.file(config)).unwrap();
        let changed = change(text.clone());
        assert_ne!(text, changed, "the change to {config} changes nothing");
        let copy = self.file("changed.toml");
        std::fs::write(&copy, changed).unwrap();
        let args = [&[daemon, "run", "--config", copy.to_str().unwrap()], more].concat();
        Refusal::of(Path::new(BINARY), &args)
    }

    fn consumer(&self, from: &str, to: &str) -> Refusal {
        self.refused("security-server", "consumer.toml", |text| text.replacen(from, to, 1), &[])
    }
}

/// Each daemon with its configuration and its port.
const DAEMONS: [(&str, &str); 3] = [
    ("security-server", "consumer.toml"),
    ("central-registry", "central-registry.toml"),
    ("trust-services", "trust-services.toml"),
];

#[test]
fn a_configuration_that_cannot_be_used_is_named_with_its_key() {
    let stopped = Stopped::new();
    for (daemon, config) in DAEMONS {
        let case = |what: &str, change: &dyn Fn(String) -> String, words: &[&str]| {
            for more in [&[][..], &["--check-config"]] {
                let words = [words, &["changed.toml"]].concat();
                stopped.refused(daemon, config, change, more).assert(
                    &format!("{daemon}: {what}"),
                    UNUSABLE,
                    &words,
                );
            }
        };
        case(
            "unknown key",
            &|text| format!("believe_everybody = true\n{text}"),
            &["line 1", "believe_everybody"],
        );
        case("unknown key in a table", &|text| text.replace("[token]", "[token]\nslot = 1"), &["slot"]);
        case("missing key", &|text| text.replace("pin = \"file:pin\"", ""), &["pin"]);
        case("wrong type", &|text| text.replace("pin = \"file:pin\"", "pin = 1234"), &["line", "string"]);
        case("no TOML", &|text| text.replace("[token]", "[token"), &["line"]);
        case(
            "a PIN in place of its source",
            &|text| text.replace("file:pin", "1234567890"),
            &["token.pin", "file:PATH"],
        );
        case("no address", &|text| text.replace("127.0.0.1:", "127.0.0.1"), &["listen"]);
        let pin = stopped.refused(daemon, config, |text| text.replace("file:pin", "1234567890"), &[]);
        assert!(!pin.output.contains("1234567890"), "the PIN is shown: {}", pin.output);
        let nowhere = Refusal::of(Path::new(BINARY), &[daemon, "run", "--config", "/nowhere/kogge.toml"]);
        nowhere.assert("no file", UNUSABLE, &["/nowhere/kogge.toml", "No such file"]);
        Refusal::of(Path::new(BINARY), &[daemon, "run"]).assert_usage("--config");
    }
    let provider = |what, from: &str, to: &str, words: &[&str]| {
        let refused =
            stopped.refused("security-server", "provider.toml", |text| text.replacen(from, to, 1), &[]);
        refused.assert(what, UNUSABLE, words);
    };
    provider("another scheme", "url = \"http:", "url = \"ftp:", &["services", "url"]);
    provider("a malformed service", "population/persons", "population", &["services", "id"]);
    let consumer = |what, from: &str, to: &str, words: &[&str]| {
        stopped.consumer(from, to).assert(what, UNUSABLE, words);
    };
    consumer("missing anchor", "\"anchor.toml\"", "\"lost.toml\"", &["anchor", "lost.toml", "No such file"]);
    consumer("no anchor", "\"anchor.toml\"", "\"pin\"", &["anchor"]);
    consumer(
        "unknown carrier",
        "mode = \"auto\"",
        "mode = \"pigeon\"",
        &["transport.mode", "auto, quic or h2"],
    );
    consumer("another instance", "id = \"DEMO/", "id = \"OTHER/", &["id", "DEMO"]);
    consumer("an interval of nothing", "interval_s = 1", "interval_s = 0", &["registry.interval_s"]);
    consumer(
        "an unknown connection",
        "connection = \"http\"",
        "connection = \"any\"",
        &["clients[0].connection"],
    );
}

#[test]
fn a_configuration_that_can_be_used_is_said_to_be_so_and_nothing_starts() {
    let stopped = Stopped::new();
    for (daemon, config) in DAEMONS {
        let config = stopped.file(config);
        let args = [daemon, "run", "--config", config.to_str().unwrap(), "--check-config"].map(Path::new);
        assert!(stopped.demo.must(&args).contains("can be used"));
    }
}

#[test]
fn a_token_that_cannot_be_opened_is_named() {
    let stopped = Stopped::new();
    let write = |name: &str, content: &str, mode: u32| {
        let file = stopped.file(name);
        std::fs::write(&file, content).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
    };
    write("wrong", "not-the-right-pin\n", 0o600);
    write("open", "not-the-right-pin\n", 0o644);
    write("empty", "", 0o600);
    for (daemon, config) in DAEMONS {
        let case = |what: &str, to: &str, words: &[&str]| {
            let refused = stopped.refused(daemon, config, |text| text.replace("file:pin", to), &[]);
            refused.assert(&format!("{daemon}: {what}"), FAILED, words);
            assert!(!refused.output.contains("not-the-right-pin"), "the PIN is shown: {}", refused.output);
        };
        case("wrong PIN", "file:wrong", &["the PIN is wrong"]);
        case("PIN for all to read", "file:open", &["open", "chmod 600"]);
        case("empty PIN file", "file:empty", &["empty"]);
        case("no PIN file", "file:lost", &["lost", "No such file"]);
        case("no variable", "env:KOGGE_PIN_NOT_SET", &["KOGGE_PIN_NOT_SET", "not set"]);
        case("no terminal", "prompt", &["terminal"]);
    }
    stopped.consumer("consumer/token", "consumer/lost").assert(
        "missing token",
        FAILED,
        &["consumer/lost", "kogge token init"],
    );
    let certificates = stopped.file("consumer/token/certificates");
    std::fs::remove_dir_all(&certificates).unwrap();
    std::fs::create_dir(&certificates).unwrap();
    stopped.consumer("interval_s = 1", "interval_s = 2").assert(
        "no certificates",
        FAILED,
        &["no authentication certificate", "import"],
    );
}

#[test]
fn a_directory_that_is_missing_or_not_one_is_named() {
    let stopped = Stopped::new();
    for (daemon, config, words) in [
        ("central-registry", "central-registry.toml", ["kogge central-registry init", "lost"]),
        ("trust-services", "trust-services.toml", ["kogge trust-services init", "lost"]),
    ] {
        let dir = |text: String| text.replace(&format!("dir = \"{}\"", config_dir(daemon)), "dir = \"lost\"");
        stopped.refused(daemon, config, dir, &[]).assert(daemon, FAILED, &words);
    }
    stopped.consumer("\"consumer/log\"", "\"pin/log\"").assert(
        "a file in the way of the log",
        FAILED,
        &["pin/log"],
    );
    stopped.consumer("\"consumer/data\"", "\"pin/data\"").assert(
        "a file in the way of the data",
        FAILED,
        &["pin/data"],
    );
}

fn config_dir(daemon: &str) -> &str {
    if daemon == "central-registry" { "registry" } else { daemon }
}

#[test]
fn trust_services_that_are_not_for_tests_do_not_start() {
    let stopped = Stopped::new();
    let real = |text: String| text.replace("environment = \"test\"", "environment = \"production\"");
    stopped.refused("trust-services", "trust-services.toml", real, &[]).assert(
        "production",
        UNUSABLE,
        &["environment", "test"],
    );
}

#[test]
fn a_port_in_use_is_named() {
    let stopped = Stopped::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let port = taken.port().to_string();
    for (daemon, config) in DAEMONS {
        for section in ["", "[status]\n", "[provider]\n", "[consumer]\n"] {
            let start = format!("{section}listen = \"127.0.0.1:");
            let text = std::fs::read_to_string(stopped.file(config)).unwrap();
            if daemon == "security-server" && section.is_empty() || !text.contains(&start) {
                continue;
            }
            let take = |text: String| {
                let at = text.find(&start).unwrap() + start.len();
                let end = at + text[at..].find('"').unwrap();
                format!("{}{port}{}", &text[..at], &text[end..])
            };
            stopped.refused(daemon, config, take, &[]).assert(
                &format!("{daemon} {section}"),
                FAILED,
                &[&port, "in use"],
            );
        }
    }
}

#[test]
fn what_another_process_uses_is_left_to_it() {
    let demo = Demo::start(BINARY, &[]).unwrap();
    for role in ROLES {
        // Without its ports, so that the log is what the second one meets first.
        let text = std::fs::read_to_string(&demo.server(role).config).unwrap();
        let copy = demo.dir().join("second.toml");
        let free = text
            .lines()
            .map(|line| if line.starts_with("listen = ") { "listen = \"127.0.0.1:0\"" } else { line });
        std::fs::write(&copy, free.collect::<Vec<_>>().join("\n")).unwrap();
        let second =
            Refusal::of(Path::new(BINARY), &["security-server", "run", "--config", copy.to_str().unwrap()]);
        second.assert(role, FAILED, &[&format!("{role}/log"), "in use by another process"]);
    }
    demo.assert_answered();
    let mut consumer = demo.process("consumer");
    consumer.stop().unwrap();
    let config = demo.server("consumer").config.clone();
    let text = std::fs::read_to_string(&config).unwrap();
    let other = demo.dir().join("other.toml");
    std::fs::write(&other, text.replace("1001/SS1", "1001/SS2")).unwrap();
    let refused =
        Refusal::of(Path::new(BINARY), &["security-server", "run", "--config", other.to_str().unwrap()]);
    refused.assert(
        "the log of another server",
        FAILED,
        &["belongs to", "DEMO/GOV/1001/SS1", "DEMO/GOV/1001/SS2"],
    );
    consumer.start().unwrap();
    demo.wait_ready("consumer").unwrap();
    demo.assert_answered();
}

#[test]
fn a_client_for_whom_nobody_can_sign_makes_the_server_not_ready() {
    let demo = Demo::start(BINARY, &[]).unwrap();
    let mut consumer = demo.process("consumer");
    consumer.stop().unwrap();
    demo.configure(&demo.server("consumer").config, |config| {
        config["clients"][0]
            .as_table_mut()
            .unwrap()
            .insert("subsystem".to_owned(), "DEMO/GOV/2002/population".into());
    });
    consumer.start().unwrap();
    demo.wait_until("a word", || demo.readiness("consumer")["ready"] == false).unwrap();
    let reasons = demo.readiness("consumer")["reasons"].to_string();
    assert!(
        reasons.contains("cannot sign for DEMO/GOV/2002") && reasons.contains("no signing certificate"),
        "{reasons}"
    );
}
