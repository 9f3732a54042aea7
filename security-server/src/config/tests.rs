use std::fs;

use kogge_certs::anchor::Environment;

use super::*;

const EXAMPLE: &str = include_str!("../../security-server.example.toml");

/// A directory with the example and what it names, the example changed by `edit`.
fn load(edit: impl Fn(&str) -> String) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let key = kogge_signer::ephemeral(kogge_signer::NewKeyKind::EcdsaP256).unwrap();
    let urls = vec!["http://127.0.0.1:1".to_owned()];
    let anchor = Anchor::new("DEMO", Environment::Test, urls, vec![key.public_key().clone()], 1).unwrap();
    fs::write(dir.path().join("anchor.toml"), anchor.to_toml()).unwrap();
    let path = dir.path().join("security-server.toml");
    fs::write(&path, edit(EXAMPLE)).unwrap();
    let config = Config::load(&path)?;
    assert!(config.data_dir.starts_with(dir.path()));
    Ok(config)
}

#[test]
fn the_example_loads_and_shows_the_defaults() {
    let config = load(str::to_owned).unwrap();
    assert_eq!(config.id.to_string(), "DEMO/GOV/1001/SS1");
    assert!(
        matches!(&config.token.pin, PinSource::File(path) if path.is_absolute() && path.ends_with("pin"))
    );
    assert_eq!(config.clients.len(), 1);
    assert_eq!(config.services.len(), 1);
    assert_eq!((config.timestamp_interval, config.timestamp_xroad), (None, false));
    assert!(load(|text| text.replace("# xroad = false", "xroad = true")).unwrap().timestamp_xroad);
    // Every key that is commented out shows its default: uncommenting those of numbers changes nothing.
    let uncommented = load(|text| {
        let number = |line: &str| {
            line.split_once(" = ").is_some_and(|(_, value)| value.starts_with(|c: char| c.is_ascii_digit()))
        };
        let uncomment = |line: &str| match line.strip_prefix("# ") {
            Some(rest) if number(rest) => rest.to_owned(),
            _ => line.to_owned(),
        };
        text.lines().map(uncomment).collect::<Vec<_>>().join("\n")
    });
    let mut uncommented = uncommented.unwrap();
    assert_eq!(uncommented.timestamp_interval, Some(Duration::from_secs(60)));
    uncommented.timestamp_interval = None;
    let parts = |config: &Config| {
        format!("{:?} {:?} {:?} {:?}", config.consumer, config.provider, config.services, config.registry)
    };
    assert_eq!(parts(&uncommented), parts(&config));
    assert_eq!(uncommented.message_log.segment_bytes, config.message_log.segment_bytes);
}

/// The key that is commented out in the example.
const MEMBERS: &str = "# [[members]]";

#[test]
fn messages_are_signed_each_or_in_batches() {
    let modes = |default: &str, members: &str| {
        let config =
            load(|text| text.replacen("# signature = \"each\"", default, 1).replacen(MEMBERS, members, 1));
        let signature = config.unwrap().signature;
        ["DEMO/GOV/1001", "DEMO/GOV/2002"].map(|member| signature.of(&MemberId::parse(member).unwrap()))
    };
    let of_1001 = |mode: &str| format!("[[members]]\nid = \"DEMO/GOV/1001\"\nsignature = \"{mode}\"\n");
    let (each, batch) = (SignatureMode::Each, SignatureMode::Batch);
    assert_eq!(modes("", MEMBERS), [each, each]);
    assert_eq!(modes("signature = \"batch\"", MEMBERS), [batch, batch]);
    assert_eq!(modes("", &of_1001("batch")), [batch, each]);
    assert_eq!(modes("signature = \"batch\"", &of_1001("each")), [each, batch]);
}

#[test]
fn rsa_keys_sign_with_pkcs1_unless_the_file_says_pss() {
    let of = |line: &str| {
        let config = load(|text| text.replacen("# rsa_signature = \"pkcs1\"", line, 1));
        config.unwrap().signature.rsa
    };
    assert_eq!(of(""), RsaPadding::Pkcs1);
    assert_eq!(of("rsa_signature = \"pkcs1\""), RsaPadding::Pkcs1);
    assert_eq!(of("rsa_signature = \"pss\""), RsaPadding::Pss);
}

#[test]
fn bodies_are_kept_unless_the_file_says_otherwise() {
    let of = |config: &Config| (config.clients[0].retention, config.services[0].retention);
    assert_eq!(of(&load(str::to_owned).unwrap()), (Retention::Kept, Retention::Kept));
    let uncommented = load(|text| text.replace("# keep_bodies = true", "keep_bodies = true")).unwrap();
    assert_eq!(of(&uncommented), (Retention::Kept, Retention::Kept));
    let neither = load(|text| text.replace("# keep_bodies = true", "keep_bodies = false")).unwrap();
    assert_eq!(of(&neither), (Retention::DigestOnly, Retention::DigestOnly));
    let all_of_them = |text: &str| text.replacen("# keep_bodies = true", "keep_bodies = false", 1);
    assert_eq!(of(&load(all_of_them).unwrap()), (Retention::DigestOnly, Retention::DigestOnly));
    // The first of them is the server's, the others are a client's and a service's.
    let but_client = |text: &str| all_of_them(text).replacen("# keep_bodies = true", "keep_bodies = true", 1);
    assert_eq!(of(&load(but_client).unwrap()), (Retention::Kept, Retention::DigestOnly));
    let of_subsystem =
        |id: &str, keeps: bool| format!("[[subsystems]]\nid = \"{id}\"\nkeep_bodies = {keeps}\n");
    let config = load(str::to_owned).unwrap();
    let (client, provider) = (config.clients[0].subsystem.clone(), config.services[0].id.subsystem().clone());
    let client_only = load(|text| text.to_owned() + &of_subsystem(&client.to_string(), false)).unwrap();
    let same = client == provider;
    assert_eq!(
        of(&client_only),
        (Retention::DigestOnly, if same { Retention::DigestOnly } else { Retention::Kept })
    );
    let back = load(|text| all_of_them(text) + &of_subsystem(&provider.to_string(), true)).unwrap();
    assert_eq!(of(&back), (if same { Retention::Kept } else { Retention::DigestOnly }, Retention::Kept));
    let own_word = |text: &str| text.replace("# keep_bodies = true", "keep_bodies = false");
    let weaker = load(|text| own_word(text) + &of_subsystem(&provider.to_string(), true)).unwrap();
    assert_eq!(of(&weaker), (Retention::DigestOnly, Retention::DigestOnly));
    let twice = of_subsystem(&client.to_string(), true).repeat(2);
    for (wrong, reason) in [(twice, "is there twice"), (of_subsystem("EE/GOV/1/x", true), "instance")] {
        let refused = load(|text| text.to_owned() + &wrong).unwrap_err().to_string();
        assert!(refused.contains("subsystems[") && refused.contains(reason), "{refused}");
    }
    let word = load(|text| text.replacen("# keep_bodies = true", "keep_bodies = \"no\"", 1));
    assert!(matches!(&word, Err(ConfigError::Toml { .. })), "{word:?}");
}

#[test]
fn a_server_may_have_one_side_only() {
    let without = |section: &str| {
        let section = section.to_owned();
        load(move |text| {
            let start = text.find(&format!("[{section}]")).unwrap();
            let end = start + text[start..].find("\n\n").unwrap();
            format!("{}{}", &text[..start], &text[end..])
        })
    };
    assert!(without("consumer").unwrap().consumer.is_none());
    assert!(without("provider").unwrap().provider.is_none());
    assert!(without("status").unwrap().status.is_none());
}

#[test]
fn errors_name_the_key() {
    let cases = [
        ("id = \"DEMO/GOV/1001/SS1\"", "id = \"DEMO/GOV/1001\"", "id"),
        ("id = \"DEMO/GOV/1001/SS1\"", "id = \"EE/GOV/1001/SS1\"", "id"),
        ("\"anchor.toml\"", "\"nowhere.toml\"", "anchor"),
        ("\"file:pin\"", "\"1234\"", "token.pin"),
        (
            "# body_bytes_max = 1073741824        #",
            "body_bytes_max = 4294967297 #",
            "consumer.body_bytes_max",
        ),
        ("# exchange_time_max_s = 60", "exchange_time_max_s = 301", "consumer.exchange_time_max_s"),
        ("# exchange_time_max_s = 60", "exchange_time_max_s = 0", "consumer.exchange_time_max_s"),
        ("# tls_listen", "tls_listen", "consumer.tls_listen"),
        (
            "listen = \"127.0.0.1:8080\"",
            "tls_listen = \"127.0.0.1:1\"\ntls_certificate = \"no.pem\"\ntls_key = \"no.key\"",
            "consumer.tls_certificate",
        ),
        ("listen = \"127.0.0.1:8080\"", "# none", "consumer.listen"),
        ("mode = \"auto\"", "mode = \"tcp\"", "transport.mode"),
        ("# segment_mib = 64", "segment_mib = 0", "message_log.segment_mib"),
        ("# interval_s = 60 ", "interval_s = 0", "timestamping.interval_s"),
        ("# signature = \"each\"", "signature = \"both\"", "signature"),
        ("# rsa_signature = \"pkcs1\"", "rsa_signature = \"oaep\"", "rsa_signature"),
        (MEMBERS, "[[members]]\nid = \"DEMO/GOV\"\nsignature = \"each\"", "members[0].id"),
        (MEMBERS, "[[members]]\nid = \"EE/GOV/1001\"\nsignature = \"each\"", "members[0].id"),
        (MEMBERS, "[[members]]\nid = \"DEMO/GOV/1001\"\nsignature = \"none\"", "members[0].signature"),
        (
            MEMBERS,
            "[[members]]\nid = \"DEMO/GOV/1\"\nsignature = \"each\"\n[[members]]\nid = \"DEMO/GOV/1\"\nsignature = \"batch\"",
            "members[1].id",
        ),
        ("\"DEMO/GOV/1001/portal\"", "\"DEMO/GOV/1001\"", "clients[0].subsystem"),
        ("\"DEMO/GOV/1001/portal\"", "\"EE/GOV/1001/portal\"", "clients[0].subsystem"),
        ("connection = \"http\"", "connection = \"none\"", "clients[0].connection"),
        ("connection = \"http\"", "connection = \"mtls\"", "clients[0].certificates"),
        ("connection = \"http\"", "connection = \"http\"\ncertificates = [\"a\"]", "clients[0].certificates"),
        ("\"http://127.0.0.1:9000/persons\"", "\"https://register/\"", "services[0].tls_roots"),
        ("\"http://127.0.0.1:9000/persons\"", "\"register\"", "services[0].url"),
        ("methods = [\"GET\", \"POST\"]", "methods = []", "services[0].access[0].methods"),
        ("methods = [\"GET\", \"POST\"]", "methods = [\"LOOK\"]", "services[0].access[0].methods"),
        ("path = \"/**\"", "path = \"/**/x\"", "services[0].access[0].path"),
        ("client = \"DEMO/GOV/2002/benefits\"", "client = \"x\"", "services[0].access[0].client"),
    ];
    for (from, to, expected) in cases {
        let error = load(|text| {
            assert!(text.contains(from), "{from} is not in the example");
            text.replacen(from, to, 1)
        });
        match error {
            Err(ConfigError::Value { key, .. }) => assert_eq!(key, expected, "{to}"),
            other => panic!("{to}: {other:?}"),
        }
    }
}

#[test]
fn unknown_keys_and_doubled_entries_are_refused() {
    let unknown = load(|text| text.replacen("[token]", "[token]\nverify = false", 1));
    assert!(
        matches!(&unknown, Err(ConfigError::Toml { reason, .. }) if reason.contains("verify")),
        "{unknown:?}"
    );
    let client = "\n[[clients]]\nsubsystem = \"DEMO/GOV/1001/portal\"\nconnection = \"https\"\n";
    let doubled = load(|text| format!("{text}{client}"));
    assert!(
        matches!(&doubled, Err(ConfigError::Value { key, .. }) if key == "clients[1].subsystem"),
        "{doubled:?}"
    );
    let pin = load(|text| text.replacen("file:pin", "geheim-1234", 1)).unwrap_err();
    assert!(!pin.to_string().contains("geheim"), "{pin}");
}
