//! The token as a whole: what comes out of it, judged by openssl, and what it refuses.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use kogge_certs::key::{SignError, SignatureScheme};
use tempfile::TempDir;

use super::*;

const ALL_KINDS: [NewKeyKind; 5] = [
    NewKeyKind::EcdsaP256,
    NewKeyKind::Rsa(2048),
    NewKeyKind::Rsa(3072),
    NewKeyKind::Rsa(4096),
    NewKeyKind::Ed25519,
];

fn pin() -> Pin {
    Pin::new("correct horse battery")
}

/// A token with one signing key.
fn token() -> (TempDir, SoftToken, Sha256) {
    let dir = tempfile::tempdir().unwrap();
    let token = SoftToken::create(dir.path(), &pin()).unwrap();
    let id = token.generate(NewKeyKind::EcdsaP256, KeyUse::Signing, "signing 2026").unwrap();
    (dir, token, id)
}

fn key_path(dir: &Path, id: &Sha256) -> PathBuf {
    dir.join("keys").join(format!("{id}.key"))
}

fn schemes(key: &dyn SigningKey) -> Vec<SignatureScheme> {
    use SignatureScheme::*;
    let all = [
        EcdsaP256Sha256Fixed,
        EcdsaP256Sha256Asn1,
        EcdsaP384Sha384Asn1,
        RsaPkcs1Sha256,
        RsaPkcs1Sha384,
        RsaPkcs1Sha512,
        RsaPssSha256,
        RsaPssSha384,
        RsaPssSha512,
        Ed25519,
    ];
    all.into_iter().filter(|scheme| key.sign(*scheme, b"x") != Err(SignError::Scheme)).collect()
}

/// Runs openssl; `None`, with a word, where there is none.
fn openssl(dir: &Path, arguments: &[&str]) -> Option<(bool, Vec<u8>)> {
    match Command::new("openssl").args(arguments).current_dir(dir).output() {
        Ok(output) => Some((output.status.success(), output.stdout)),
        Err(error) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "openssl is missing: {error}");
            eprintln!("SKIPPED: openssl is missing");
            None
        }
    }
}

/// Whether openssl accepts the signature over the file `message`.
fn openssl_accepts(
    dir: &Path,
    key: &dyn SigningKey,
    scheme: SignatureScheme,
    signature: &[u8],
) -> Option<bool> {
    std::fs::write(dir.join("public.der"), key.public_key().spki()).unwrap();
    std::fs::write(dir.join("signature"), signature).unwrap();
    openssl(dir, &["pkey", "-pubin", "-inform", "DER", "-in", "public.der", "-out", "public.pem"])?;
    let digest = |digest: &str, options: &[&str]| {
        let fixed = ["dgst", digest, "-verify", "public.pem", "-signature", "signature"];
        openssl(dir, &[&fixed, options, &["message"]].concat()).map(|(accepted, _)| accepted)
    };
    match scheme {
        SignatureScheme::RsaPkcs1Sha512 => digest("-sha512", &[]),
        SignatureScheme::RsaPssSha256 => {
            digest("-sha256", &["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"])
        }
        SignatureScheme::RsaPssSha512 => {
            digest("-sha512", &["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:64"])
        }
        SignatureScheme::Ed25519 => {
            let verify = ["pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-rawin"];
            openssl(dir, &[&verify[..], &["-in", "message", "-sigfile", "signature"]].concat())
                .map(|run| run.0)
        }
        _ => digest("-sha256", &[]),
    }
}

#[test]
fn openssl_accepts_the_signatures_of_every_kind_and_none_over_other_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let token = SoftToken::create(dir.path(), &pin()).unwrap();
    for kind in ALL_KINDS {
        let id = token.generate(kind, KeyUse::Service, "judged").unwrap();
        let key = SoftToken::open(dir.path(), &pin()).unwrap().key(&id).unwrap();
        for scheme in schemes(&*key) {
            let signature = key.sign(scheme, b"the message").unwrap();
            key.public_key().verify(scheme, b"the message", &signature).unwrap();
            if scheme == SignatureScheme::EcdsaP256Sha256Fixed {
                assert_eq!(signature.len(), 64);
                continue; // openssl's command line knows the DER form only
            }
            std::fs::write(dir.path().join("message"), b"the message").unwrap();
            let Some(accepted) = openssl_accepts(dir.path(), &*key, scheme, &signature) else { return };
            assert!(accepted, "{kind:?} {scheme:?}");
            std::fs::write(dir.path().join("message"), b"the massage").unwrap();
            assert_eq!(
                openssl_accepts(dir.path(), &*key, scheme, &signature),
                Some(false),
                "{kind:?} {scheme:?}"
            );
        }
    }
}

#[test]
fn keys_sign_with_the_schemes_of_their_kind_and_no_other() {
    use SignatureScheme::*;
    let schemes = |kind| schemes(&*ephemeral(kind).unwrap());
    assert_eq!(schemes(NewKeyKind::EcdsaP256), [EcdsaP256Sha256Fixed, EcdsaP256Sha256Asn1]);
    assert_eq!(schemes(NewKeyKind::Rsa(2048)), [RsaPkcs1Sha256, RsaPkcs1Sha512, RsaPssSha256, RsaPssSha512]);
    assert_eq!(schemes(NewKeyKind::Ed25519), [Ed25519]);
}

#[test]
fn only_an_rsa_key_that_is_told_so_signs_messages_with_pss() {
    use SignatureScheme::*;
    for (kind, default, told) in [
        (NewKeyKind::Rsa(2048), RsaPkcs1Sha512, RsaPssSha512),
        (NewKeyKind::EcdsaP256, EcdsaP256Sha256Fixed, EcdsaP256Sha256Fixed),
        (NewKeyKind::Ed25519, Ed25519, Ed25519),
    ] {
        let key = ephemeral(kind).unwrap();
        assert_eq!(key.message_scheme(), Some(default));
        let key = with_pss(key);
        assert_eq!(key.message_scheme(), Some(told));
        let signature = key.sign(told, b"message").unwrap();
        assert_eq!(key.public_key().verify(told, b"message", &signature), Ok(()));
    }
}

#[test]
fn rsa_of_other_sizes_is_refused() {
    for bits in [0, 1024, 2047, 2056, 8192] {
        assert!(matches!(ephemeral(NewKeyKind::Rsa(bits)), Err(TokenError::KeySize)), "{bits}");
    }
}

#[test]
fn a_wrong_pin_opens_nothing() {
    let (dir, _, _) = token();
    for wrong in ["correct horse batterx", "correct horse battery ", "", "Correct horse battery"] {
        assert!(
            matches!(SoftToken::open(dir.path(), &Pin::new(wrong)), Err(TokenError::WrongPin)),
            "{wrong:?}"
        );
    }
}

#[test]
fn a_token_is_not_made_twice_nor_under_a_short_pin_nor_found_where_none_is() {
    let (dir, _, _) = token();
    assert!(matches!(SoftToken::create(dir.path(), &pin()), Err(TokenError::Exists(at)) if at == dir.path()));
    let empty = tempfile::tempdir().unwrap();
    let short = SoftToken::create(empty.path(), &Pin::new("äöüäöüä"));
    assert!(matches!(short, Err(TokenError::ShortPin(PIN_CHARACTERS_MIN))));
    assert!(
        matches!(SoftToken::open(empty.path(), &pin()), Err(TokenError::Missing(at)) if at == empty.path())
    );
    assert!(matches!(entries(empty.path()), Err(TokenError::Missing(_))));
    assert!(matches!(import_chain(empty.path(), &[]), Err(TokenError::Missing(_))));
}

#[test]
fn only_the_owner_may_read_and_nothing_secret_is_readable() {
    let (dir, token, id) = token();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.path().join("keys")), 0o700);
    assert_eq!(mode(&dir.path().join("token")), 0o600);
    assert_eq!(mode(&key_path(dir.path(), &id)), 0o600);
    let pkcs8_prefix = [0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13];
    let stored = std::fs::read(key_path(dir.path(), &id)).unwrap();
    assert!(!stored.windows(pkcs8_prefix.len()).any(|window| window == pkcs8_prefix));
    drop(token);
}

#[test]
fn entries_are_known_without_the_pin() {
    let (dir, token, first) = token();
    let second = token.generate(NewKeyKind::Ed25519, KeyUse::Authentication, "auth").unwrap();
    let found = entries(dir.path()).unwrap();
    let told: Vec<_> = found.iter().map(|entry| (entry.id, entry.key_use, entry.label.as_str())).collect();
    assert_eq!(told, [(second, KeyUse::Authentication, "auth"), (first, KeyUse::Signing, "signing 2026")]);
    assert!(found.iter().all(|entry| entry.public_key.key_id() == entry.id && entry.chains.is_empty()));
}

#[test]
fn labels_are_one_short_line() {
    let (_dir, token, _) = token();
    let long = "x".repeat(101);
    for label in ["two\nlines", "\u{1b}[31m", long.as_str()] {
        let refused = token.generate(NewKeyKind::Ed25519, KeyUse::Signing, label);
        assert!(matches!(refused, Err(TokenError::Label(100))), "{label:?}");
    }
}

#[test]
fn a_key_that_is_not_there_is_named() {
    let (_dir, token, _) = token();
    let other = Sha256([7; 32]);
    assert!(matches!(token.key(&other), Err(TokenError::NoKey(id)) if id == other.to_string()));
}

#[test]
fn every_flipped_byte_of_a_key_file_is_damage() {
    let (dir, token, id) = token();
    let path = key_path(dir.path(), &id);
    let good = std::fs::read(&path).unwrap();
    for position in 0..good.len() {
        for bit in [0x01, 0x20, 0x80] {
            let mut bad = good.clone();
            bad[position] ^= bit;
            std::fs::write(&path, bad).unwrap();
            assert!(matches!(token.key(&id), Err(TokenError::Damaged { .. })), "{position} {bit}");
            assert!(matches!(entries(dir.path()), Err(TokenError::Damaged { .. })), "{position} {bit}");
        }
    }
    std::fs::write(&path, &good).unwrap();
    token.key(&id).unwrap();
}

#[test]
fn every_flipped_byte_of_the_token_file_is_damage_and_not_a_wrong_pin() {
    let (dir, _, _) = token();
    let path = dir.path().join("token");
    let good = std::fs::read(&path).unwrap();
    for position in 0..good.len() {
        let mut bad = good.clone();
        bad[position] ^= 0x01;
        std::fs::write(&path, bad).unwrap();
        assert!(matches!(SoftToken::open(dir.path(), &pin()), Err(TokenError::Damaged { .. })), "{position}");
    }
}

#[test]
fn cut_empty_and_huge_files_are_damage() {
    let (dir, token, id) = token();
    let path = key_path(dir.path(), &id);
    let good = std::fs::read(&path).unwrap();
    for length in 0..good.len() {
        std::fs::write(&path, &good[..length]).unwrap();
        assert!(matches!(token.key(&id), Err(TokenError::Damaged { .. })), "{length}");
    }
    std::fs::write(&path, [&good[..], &[b' '; 70_000]].concat()).unwrap();
    assert!(matches!(token.key(&id), Err(TokenError::Damaged { reason, .. }) if reason == "it is too large"));
}

/// Whoever can write to the directory can also make the checksum right again.
fn forge(path: &Path, magic: &str, change: impl Fn(&str) -> String) {
    let text = std::fs::read_to_string(path).unwrap();
    let changed = change(text.split_once('\n').unwrap().1);
    let checksum = kogge_proto::digest::sha256(changed.as_bytes());
    std::fs::write(path, format!("{magic} {checksum}\n{changed}")).unwrap();
}

#[test]
fn a_key_whose_use_or_label_was_changed_does_not_open() {
    for (from, to) in [("\"signing\"", "\"authentication\""), ("signing 2026", "signing 2027")] {
        let (dir, token, id) = token();
        let path = key_path(dir.path(), &id);
        forge(&path, "kogge-key 1", |json| json.replace(from, to));
        assert_eq!(entries(dir.path()).unwrap().len(), 1, "the checksum was made right");
        let refused = token.key(&id).err().unwrap();
        assert!(
            matches!(&refused, TokenError::Damaged { reason, .. } if reason.contains("does not open")),
            "{refused}"
        );
    }
}

#[test]
fn a_key_put_in_the_place_of_another_does_not_open() {
    let (dir, token, first) = token();
    let second = token.generate(NewKeyKind::EcdsaP256, KeyUse::Signing, "signing 2026").unwrap();
    std::fs::copy(key_path(dir.path(), &second), key_path(dir.path(), &first)).unwrap();
    let refused = token.key(&first).err().unwrap();
    assert!(matches!(&refused, TokenError::Damaged { reason, .. } if reason.contains("name")), "{refused}");

    // The private half of the one behind the public half of the other.
    let (dir, token, first) = self::token();
    let second = token.generate(NewKeyKind::EcdsaP256, KeyUse::Signing, "signing 2026").unwrap();
    let donor = std::fs::read_to_string(key_path(dir.path(), &second)).unwrap();
    let donor: serde_json::Value = serde_json::from_str(donor.split_once('\n').unwrap().1).unwrap();
    forge(&key_path(dir.path(), &first), "kogge-key 1", |json| {
        let mut victim: serde_json::Value = serde_json::from_str(json).unwrap();
        victim["private_key"] = donor["private_key"].clone();
        victim.to_string()
    });
    let refused = token.key(&first).err().unwrap();
    assert!(
        matches!(&refused, TokenError::Damaged { reason, .. } if reason.contains("does not open")),
        "{refused}"
    );
}

#[test]
fn a_key_of_another_token_does_not_open_though_the_pin_is_the_same() {
    let (dir, token, _) = token();
    let (other_dir, _, other) = self::token();
    std::fs::copy(key_path(other_dir.path(), &other), key_path(dir.path(), &other)).unwrap();
    assert!(matches!(token.key(&other), Err(TokenError::Damaged { .. })));
}

#[test]
fn derivation_parameters_that_would_eat_the_machine_are_refused() {
    let (dir, _, _) = token();
    let path = dir.path().join("token");
    forge(&path, "kogge-token 1", |json| json.replace("\"memory_kib\": 19456", "\"memory_kib\": 4294967295"));
    assert!(matches!(SoftToken::open(dir.path(), &pin()), Err(TokenError::Damaged { .. })));
}

#[test]
fn another_version_or_an_unknown_field_is_refused() {
    let (dir, token, id) = token();
    let path = key_path(dir.path(), &id);
    forge(&path, "kogge-key 2", str::to_owned);
    assert!(matches!(token.key(&id), Err(TokenError::Damaged { reason, .. }) if reason.contains("version")));
    forge(&path, "kogge-key 1", |json| json.replacen('{', "{\"exportable\": true,", 1));
    assert!(
        matches!(token.key(&id), Err(TokenError::Damaged { reason, .. }) if reason.contains("exportable"))
    );
}

#[test]
fn what_a_crash_left_of_an_unfinished_write_is_no_key() {
    let (dir, token, id) = token();
    std::fs::write(dir.path().join("keys").join(format!(".{}.key.tmp", Sha256([1; 32]))), b"half").unwrap();
    assert_eq!(token.entries().unwrap().iter().map(|entry| entry.id).collect::<Vec<_>>(), [id]);
}

/// A certificate for `key` by a throw-away CA, valid from that year on.
fn certificate(key: &PublicKey, from: i32) -> Certificate {
    let ca = rcgen::KeyPair::generate().unwrap();
    let issuer = rcgen::Issuer::new(rcgen::CertificateParams::new(vec![]).unwrap(), ca);
    let mut params = rcgen::CertificateParams::new(vec!["leaf".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(from + 2, 1, 1);
    let subject_key = rcgen::SubjectPublicKeyInfo::from_der(key.spki()).unwrap();
    Certificate::from_der(params.signed_by(&subject_key, &issuer).unwrap().der()).unwrap()
}

#[test]
fn chains_are_kept_with_their_key_the_newest_last_and_once() {
    let (dir, token, id) = token();
    let key = token.key(&id).unwrap();
    let authority = ephemeral(NewKeyKind::EcdsaP256).unwrap();
    let newer = vec![certificate(key.public_key(), 2027), certificate(authority.public_key(), 2020)];
    let older = vec![certificate(key.public_key(), 2025)];
    for chain in [&newer, &older, &newer] {
        assert_eq!(import_chain(dir.path(), chain).unwrap(), id);
    }
    assert_eq!(entries(dir.path()).unwrap()[0].chains, [older, newer]);
}

#[test]
fn certificates_of_other_keys_are_refused() {
    let (dir, token, id) = token();
    assert!(matches!(import_chain(dir.path(), &[]), Err(TokenError::NoCertificate)));
    let stranger = certificate(ephemeral(NewKeyKind::EcdsaP256).unwrap().public_key(), 2026);
    let ours = certificate(token.key(&id).unwrap().public_key(), 2026);
    let refused = import_chain(dir.path(), &[stranger, ours]);
    assert!(matches!(refused, Err(TokenError::ForeignCertificate)));
    assert!(entries(dir.path()).unwrap()[0].chains.is_empty());
}

#[test]
fn a_damaged_or_misplaced_chain_is_told() {
    let (dir, token, id) = token();
    let leaf = certificate(token.key(&id).unwrap().public_key(), 2026);
    import_chain(dir.path(), std::slice::from_ref(&leaf)).unwrap();
    let path = dir.path().join("certificates").join(format!("{id}.{}.pem", leaf.sha256()));
    let stranger = certificate(ephemeral(NewKeyKind::EcdsaP256).unwrap().public_key(), 2026);
    for content in [stranger.to_pem(), String::new(), leaf.to_pem().replace("-----END", "-----FIN")] {
        std::fs::write(&path, &content).unwrap();
        let refused = entries(dir.path()).unwrap_err();
        assert!(
            matches!(&refused, TokenError::Damaged { path: at, .. } if *at == path),
            "{content}: {refused}"
        );
    }
}
