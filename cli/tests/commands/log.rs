//! `kogge log` on a real log.

use std::process::Output;

use serde_json::Value;

use super::world::{CLIENT, MESSAGE_ID, SERVICE, World};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn expect(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
    text(if code == 0 { &output.stdout } else { &output.stderr })
}

fn json_lines(output: &Output) -> Vec<Value> {
    expect(output, 0).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn lists_and_shows_while_the_server_runs_and_when_it_does_not() {
    let mut world = World::new();
    world.stamp();
    for _ in ["running", "stopped"] {
        let listed = expect(&world.kogge(&["log", "list", "--dir", "log"]), 0);
        assert_eq!(listed.lines().count(), 2, "{listed}");
        assert!(
            listed.contains(CLIENT) && listed.contains(SERVICE) && !listed.contains("unstamped"),
            "{listed}"
        );
        let shown = expect(&world.kogge(&["log", "show", "--dir", "log", "--message-id", MESSAGE_ID]), 0);
        assert!(shown.contains("POST") && shown.contains("/search?name=M%C3%BCller"), "{shown}");
        world.close();
    }
}

#[test]
fn json_says_the_same() {
    let world = World::stamped();
    let records =
        json_lines(&world.kogge(&["log", "show", "--dir", "log", "--message-id", MESSAGE_ID, "--json"]));
    let directions: Vec<_> = records.iter().map(|record| record["direction"].as_str().unwrap()).collect();
    assert_eq!(directions, ["request", "response"]);
    assert_eq!(records[0]["client"], CLIENT);
    assert_eq!(records[0]["body"]["file"], Value::Null);
    assert_eq!(records[1]["body"]["length"], 300_000);
    assert!(records[1]["body"]["file"].is_string());
    assert!(records.iter().all(|record| record["timestamped"] == true));
}

#[test]
fn filters_narrow_the_list() {
    let world = World::stamped();
    let count = |filter: &[&str]| {
        json_lines(&world.kogge(&[&["log", "list", "--dir", "log", "--json"], filter].concat())).len()
    };
    assert_eq!(count(&[]), 2);
    assert_eq!(count(&["--limit", "1"]), 1);
    assert_eq!(count(&["--limit", "0"]), 0);
    assert_eq!(count(&["--client", CLIENT, "--service", SERVICE]), 2);
    assert_eq!(count(&["--client", "DEMO/GOV/1001/other"]), 0);
    assert_eq!(count(&["--from", "2020-01-01", "--to", "2021-01-01"]), 0);
    assert_eq!(count(&["--from", "2020-01-01"]), 2);
    assert_eq!(count(&["--message-id", "0815"]), 0);
}

#[test]
fn a_message_that_is_not_there_is_exit_code_1() {
    let world = World::stamped();
    let said = expect(&world.kogge(&["log", "show", "--dir", "log", "--message-id", "0815"]), 1);
    assert!(said.contains("0815"), "{said}");
    let export = ["log", "export", "--dir", "log", "--message-id", "0815", "--out", "x.asice"];
    assert!(expect(&world.kogge(&export), 1).contains("0815"));
    assert!(!world.path("x.asice").exists());
}

#[test]
fn containers_are_what_unzip_and_the_log_say() {
    let world = World::stamped();
    for (response, body_bytes) in [(&[][..], 18), (&["--response"][..], 300_000)] {
        let export = ["log", "export", "--dir", "log", "--message-id", MESSAGE_ID, "--out", "message.asice"];
        expect(&world.kogge(&[&export[..], response].concat()), 0);
        let container = world.path("message.asice");
        let tested = std::process::Command::new("unzip").arg("-t").arg(&container).output();
        let Ok(tested) = tested else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "unzip is missing");
            eprintln!("SKIPPED: unzip is missing");
            return;
        };
        assert!(tested.status.success(), "{}", text(&tested.stdout));
        let body = std::process::Command::new("unzip")
            .arg("-p")
            .arg(&container)
            .arg("attachment1")
            .output()
            .unwrap();
        assert_eq!(body.stdout.len(), body_bytes);
    }
}

#[test]
fn a_record_without_timestamp_is_exported_only_when_asked_for() {
    let mut world = World::new();
    world.close();
    let export = ["log", "export", "--dir", "log", "--message-id", MESSAGE_ID, "--out", "message.asice"];
    assert!(expect(&world.kogge(&export), 1).contains("--unstamped"));
    assert!(!world.path("message.asice").exists());
    expect(&world.kogge(&[&export[..], &["--unstamped"]].concat()), 0);
    assert!(world.path("message.asice").exists());
}

#[test]
fn a_container_of_x_roads_form_is_verified_by_the_exported_configuration() {
    let world = World::stamped();
    let conf =
        ["registry", "export-verificationconf", "--anchor", "anchor.toml", "--snapshot", "data/snapshot"];
    expect(&world.kogge(&[&conf[..], &["--out", "conf"]].concat()), 0);
    for response in [&[][..], &["--response"]] {
        let export = [
            "log",
            "export",
            "--dir",
            "log",
            "--message-id",
            MESSAGE_ID,
            "--profile",
            "xroad",
            "--out",
            "x.asice",
        ];
        expect(&world.kogge(&[&export[..], response].concat()), 0);
        let said = expect(&world.kogge(&["verify", "x.asice", "--globalconf", "conf"]), 0);
        assert!(said.contains("x.asice: PASSED"), "{said}");
        // What is approved may be told by the anchor and its snapshot as well.
        let said = expect(&world.kogge(&["verify", "x.asice", "--anchor", "anchor.toml"]), 0);
        assert!(said.contains("x.asice: PASSED"), "{said}");
    }
    // What another snapshot approved must not stay beside this one.
    let said = expect(&world.kogge(&[&conf[..], &["--out", "conf"]].concat()), 1);
    assert!(said.contains("conf is not empty"), "{said}");
    let strange = ["registry", "export-verificationconf", "--anchor", "anchor.toml", "--snapshot", "x.asice"];
    let said = expect(&world.kogge(&[&strange[..], &["--out", "other"]].concat()), 2);
    assert!(
        said.contains("cannot use the registry snapshot x.asice") && !world.path("other").exists(),
        "{said}"
    );
}

#[test]
fn what_was_not_stamped_for_x_road_is_not_exported_for_it() {
    let world = World::stamped_without_xroad();
    let export = ["log", "export", "--dir", "log", "--message-id", MESSAGE_ID, "--out", "message.asice"];
    for also in [&[][..], &["--unstamped"]] {
        let said = expect(&world.kogge(&[&export[..], &["--profile", "xroad"], also].concat()), 1);
        assert!(said.contains("this batch was stamped without X-Road's form"), "{said}");
        assert!(said.contains("`xroad = true` in [timestamping]"), "{said}");
        assert!(!world.path("message.asice").exists());
    }
    expect(&world.kogge(&export), 0);
}

#[test]
fn several_records_are_listed_and_none_is_chosen() {
    let world = World::new();
    world.exchange();
    world.stamp();
    let export = ["log", "export", "--dir", "log", "--message-id", MESSAGE_ID, "--out", "message.asice"];
    let said = expect(&world.kogge(&export), 1);
    assert!(said.contains("--request-id") && said.matches(SERVICE).count() == 2, "{said}");
    assert!(!world.path("message.asice").exists());
}

#[test]
fn a_body_that_was_altered_or_is_gone_is_not_exported() {
    let world = World::stamped();
    let file = std::fs::read_dir(world.path("log/bodies")).unwrap().next().unwrap().unwrap().path();
    let mut body = std::fs::read(&file).unwrap();
    body[150_000] ^= 1;
    std::fs::write(&file, body).unwrap();
    std::fs::write(world.path("message.asice"), "what was there before").unwrap();
    let export =
        ["log", "export", "--dir", "log", "--message-id", MESSAGE_ID, "--response", "--out", "message.asice"];
    assert!(expect(&world.kogge(&export), 1).contains("attachment1 is not what was signed"));
    assert_eq!(std::fs::read_to_string(world.path("message.asice")).unwrap(), "what was there before");
    std::fs::remove_file(&file).unwrap();
    assert!(expect(&world.kogge(&export), 1).contains("cannot read the body"));
}

#[test]
fn a_body_that_was_not_kept_is_named_and_must_be_given_for_the_export() {
    let world = World::without_bodies();
    let shown = expect(&world.kogge(&["log", "show", "--dir", "log", "--message-id", MESSAGE_ID]), 0);
    let kept = "300000 bytes not kept by the server's configuration, SHA-512 ";
    assert!(shown.contains(kept), "{shown}");
    let records =
        json_lines(&world.kogge(&["log", "show", "--dir", "log", "--message-id", MESSAGE_ID, "--json"]));
    assert_eq!(
        (&records[1]["body"]["kept"], &records[1]["body"]["length"]),
        (&false.into(), &300_000.into())
    );

    let export =
        ["log", "export", "--dir", "log", "--message-id", MESSAGE_ID, "--response", "--out", "message.asice"];
    let refused = |body: &[&str]| expect(&world.kogge(&[&export[..], body].concat()), 1);
    let said = refused(&[]);
    assert!(said.contains("configured not to keep it") && said.contains("--body FILE"), "{said}");
    let mut answer = World::answer();
    std::fs::write(world.path("answer"), &answer).unwrap();
    std::fs::write(world.path("short"), &answer[1..]).unwrap();
    answer[7] ^= 1;
    std::fs::write(world.path("altered"), &answer).unwrap();
    let said = refused(&["--body", "short"]);
    assert!(said.contains("it has 299999 bytes, the signed one has 300000"), "{said}");
    let said = refused(&["--body", "altered"]);
    assert!(said.contains("altered is not the body of record") && said.contains("its SHA-512 is"), "{said}");
    assert!(refused(&["--body", "nowhere"]).contains("cannot read the body nowhere"));
    assert!(!world.path("message.asice").exists());

    expect(&world.kogge(&[&export[..], &["--body", "answer"]].concat()), 0);
    let verified = world.kogge(&["verify", "message.asice", "--anchor", "anchor.toml"]);
    assert!(expect(&verified, 0).contains("message.asice: PASSED"));
}

#[test]
fn a_body_is_not_taken_from_a_file_where_the_log_has_it() {
    let world = World::stamped();
    std::fs::write(world.path("answer"), World::answer()).unwrap();
    for response in [&[][..], &["--response"]] {
        let export = ["log", "export", "--dir", "log", "--message-id", MESSAGE_ID, "--out", "message.asice"];
        let said = expect(&world.kogge(&[&export[..], &["--body", "answer"], response].concat()), 1);
        assert!(said.contains("leave --body out"), "{said}");
    }
}

#[test]
fn the_index_is_rebuilt_but_not_under_a_running_server() {
    let mut world = World::new();
    let said = expect(&world.kogge(&["log", "reindex", "--dir", "log"]), 1);
    assert!(said.contains("in use"), "{said}");
    world.close();
    std::fs::create_dir_all(world.path("log/index/left-over")).unwrap();
    let said = expect(&world.kogge(&["log", "reindex", "--dir", "log"]), 0);
    assert!(said.contains("rebuilt"), "{said}");
    assert!(!world.path("log/index/left-over").exists());
    expect(&world.kogge(&["log", "reindex", "--dir", "nowhere"]), 2);
}

#[test]
fn what_others_wrote_into_a_record_cannot_forge_lines() {
    let world = World::stamped();
    let said = expect(&world.kogge(&["log", "show", "--dir", "log", "--message-id", "a\nb"]), 1);
    assert_eq!(said.lines().count(), 1, "{said}");
}
