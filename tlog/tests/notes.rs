//! Notes and checkpoints: a note and key of Go's `sumdb/note`, checkpoints of the specification, and texts that somebody might send.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use kogge_proto::digest::{Sha256, sha256};
use kogge_tlog::SIZE_MAX;
use kogge_tlog::checkpoint::{Checkpoint, CheckpointError, TEXT_BYTES_MAX};
use kogge_tlog::note::{
    KeyError, NOTE_BYTES_MAX, NoteError, NoteKey, NoteSignature, SIGNATURES_MAX, SignedNote, VerifyError,
};

/// From the documentation of golang.org/x/mod/sumdb/note.
const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
/// From C2SP `tlog-checkpoint`.
const CHECKPOINT: &str =
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
const CHECKPOINT_SIGNATURE: &str = "\u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn key(name: &str, pair: &Ed25519KeyPair) -> NoteKey {
    NoteKey::new(name, pair.public_key().as_ref().try_into().unwrap()).unwrap()
}

fn signature(text: &str, name: &str, pair: &Ed25519KeyPair) -> NoteSignature {
    NoteSignature::of(&key(name, pair), pair.sign(text.as_bytes()).as_ref().try_into().unwrap())
}

#[test]
fn a_note_of_another_implementation_is_read_and_verified() {
    let key = NoteKey::parse(GO_KEY).unwrap();
    assert_eq!((key.name(), key.to_string().as_str()), ("PeterNeumann", GO_KEY));
    let note = SignedNote::parse(GO_NOTE.as_bytes()).unwrap();
    assert_eq!(note.to_text(), GO_NOTE);
    assert_eq!(note.verify(std::slice::from_ref(&key)).unwrap(), [&key]);
    assert_eq!(note.signatures()[0].name(), "PeterNeumann");
    assert_eq!(note.verify(&[]), Err(VerifyError::Unsigned));
}

#[test]
fn every_changed_bit_of_a_note_is_refused() {
    let key = NoteKey::parse(GO_KEY).unwrap();
    let mut refused = 0;
    for bit in 0..GO_NOTE.len() * 8 {
        let mut changed = GO_NOTE.as_bytes().to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        let verified =
            SignedNote::parse(&changed).map(|note| note.verify(std::slice::from_ref(&key)).is_ok());
        assert_ne!(verified, Ok(true), "bit {bit}");
        refused += 1;
    }
    assert_eq!(refused, GO_NOTE.len() * 8);
    for end in 0..GO_NOTE.len() {
        assert!(SignedNote::parse(&GO_NOTE.as_bytes()[..end]).is_err(), "cut off at {end}");
    }
}

#[test]
fn what_is_signed_here_is_verified_with_other_signatures_beside() {
    let (first, second, third) = (pair(1), pair(2), pair(3));
    let text = "two\n\nparagraphs\n";
    let sign = |name, pair| signature(text, name, pair);
    let note = SignedNote::new(text, vec![sign("a/log", &first), sign("b", &second)]).unwrap();
    let read = SignedNote::parse(note.to_text().as_bytes()).unwrap();
    assert_eq!((read.text(), &read), (text, &note));
    let keys = [key("b", &second), key("c", &third)];
    assert_eq!(read.verify(&keys).unwrap(), [&keys[0]]);
    // The right key under another name is another key.
    assert_eq!(read.verify(&[key("a", &first)]), Err(VerifyError::Unsigned));
    // A signature that names a known key and does not hold outweighs others that do.
    let forged = NoteSignature::of(&key("a/log", &first), [7; 64]);
    let note = SignedNote::new(text, vec![sign("b", &second), forged]).unwrap();
    let all = [key("a/log", &first), key("b", &second)];
    assert_eq!(note.verify(&all), Err(VerifyError::Forged("a/log".to_owned())));
    assert_eq!(note.verify(&all[1..]).unwrap().len(), 1);
}

#[test]
fn hostile_notes_are_refused() {
    let line = CHECKPOINT_SIGNATURE;
    let with = |text: &str, lines: &str| SignedNote::parse(format!("{text}\n{lines}").as_bytes()).map(|_| ());
    assert_eq!(with(CHECKPOINT, line), Ok(()));
    assert_eq!(with("\n", line), Ok(()), "a text of one empty line");
    for (text, lines, expected) in [
        ("", "", NoteError::Layout),
        ("text\n", "", NoteError::Layout),
        ("text\n", "\n", NoteError::Layout),
        ("text\n", line.trim_end(), NoteError::Layout),
        ("text", line, NoteError::Layout),
        ("te\rxt\n", line, NoteError::Text),
        ("te\0xt\n", line, NoteError::Text),
        ("te\x7fxt\n", line, NoteError::Text),
        ("text\n", &format!("{line}rest\n"), NoteError::Signature(2)),
        ("text\n", &line.replace('\u{2014}', "-"), NoteError::Signature(1)),
        ("text\n", &line.replace("\u{2014} ", "\u{2014}"), NoteError::Signature(1)),
        ("text\n", &line.replace("\u{2014} ", "\u{2014}  "), NoteError::Signature(1)),
        ("text\n", &line.replace("behind", "be+hind"), NoteError::Signature(1)),
        ("text\n", &line.replace("behind", "be\u{a0}hind"), NoteError::Signature(1)),
        ("text\n", &line.replace("AYQ8=", "AYQ8"), NoteError::Signature(1)),
        ("text\n", &line.replace("AYQ8=", "AYQ9="), NoteError::Signature(1)),
        ("text\n", &line.replace("/5IZ", "_5IZ"), NoteError::Signature(1)),
        ("text\n", "\u{2014} name AAAAAA==\n", NoteError::Signature(1)),
        ("text\n", "\u{2014} name \n", NoteError::Signature(1)),
        ("text\n", &line.repeat(SIGNATURES_MAX + 1), NoteError::TooManySignatures),
    ] {
        assert_eq!(with(text, lines), Err(expected), "{text:?} {lines:?}");
    }
    assert_eq!(with("text\n", &line.repeat(SIGNATURES_MAX)), Ok(()));
    assert_eq!(SignedNote::parse(&[b"\xff\n\n", line.as_bytes()].concat()), Err(NoteError::Text));
    assert_eq!(with(&format!("{}\n", "x".repeat(NOTE_BYTES_MAX)), line), Err(NoteError::TooLong));
    // What would be read as something else is not written.
    let good = signature("text\n", "a", &pair(1));
    for text in ["", "text", "te\x1bxt\n"] {
        assert!(SignedNote::new(text, vec![good.clone()]).is_err(), "{text:?}");
    }
    assert_eq!(SignedNote::new("text\n", vec![]), Err(NoteError::Layout));
}

#[test]
fn other_keys_are_refused() {
    for wrong in [
        "",
        "PeterNeumann",
        "PeterNeumann+c74f20a3",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+AhpC2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10Q=",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n",
    ] {
        assert_eq!(NoteKey::parse(wrong), Err(KeyError::Form), "{wrong}");
    }
    for name in ["", "a b", "a+b", "a\nb", "a\u{2003}b"] {
        assert_eq!(NoteKey::new(name, [1; 32]), Err(KeyError::Name), "{name:?}");
    }
}

#[test]
fn the_checkpoint_of_the_specification_is_read() {
    let note = SignedNote::parse(format!("{CHECKPOINT}\n{CHECKPOINT_SIGNATURE}").as_bytes()).unwrap();
    let checkpoint = Checkpoint::parse(note.text()).unwrap();
    assert_eq!((checkpoint.origin(), checkpoint.size()), ("example.com/behind-the-sofa", 20_852_163));
    assert_eq!(
        checkpoint.root().to_string(),
        "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"
    );
    assert_eq!(checkpoint.to_text(), CHECKPOINT);
    assert_eq!(Checkpoint::new(checkpoint.origin(), checkpoint.size(), *checkpoint.root()), Ok(checkpoint));
    let extended = format!("{CHECKPOINT}more\nand more\n");
    assert_eq!(Checkpoint::parse(&extended).unwrap().extensions(), ["more", "and more"]);
    assert_eq!(Checkpoint::parse(&extended).unwrap().to_text(), extended);
}

#[test]
fn hostile_checkpoints_are_refused() {
    use CheckpointError::{Lines, Root, Size, TooLong};
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    let (largest, too_large) = (SIZE_MAX.to_string(), (SIZE_MAX + 1).to_string());
    let of =
        |size: &str, root: &str| Checkpoint::parse(&format!("o\n{size}\n{root}\n")).map(|found| found.size());
    assert_eq!(of("0", root), Ok(0));
    assert_eq!(of(&largest, root), Ok(SIZE_MAX));
    for size in ["00", "01", "+1", "-1", "1 ", " 1", "1.0", "0x1", "١", &too_large, "99999999999999999999"] {
        assert_eq!(of(size, root), Err(Size), "{size}");
    }
    let short = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxqw==";
    for wrong in
        ["x", short, root.trim_end_matches('='), &root.replace("2I=", "2J="), &root.replace('/', "_")]
    {
        assert_eq!(of("1", wrong), Err(Root), "{wrong}");
    }
    for wrong in [
        "",
        "\n",
        "o\n1\n",
        &format!("o\n1\n{root}"),
        &format!("\n1\n{root}\n"),
        &format!("o\n1\n{root}\n\n"),
        &format!("o\n1\n{root}\nx\n\ny\n"),
        &format!("o\r\n1\n{root}\n"),
        &format!("o\n\n{root}\n"),
        &format!("\n\n\no\n1\n{root}\n"),
        &format!("o\u{85}\n1\n{root}\n"),
    ] {
        assert_eq!(Checkpoint::parse(wrong), Err(Lines), "{wrong:?}");
    }
    let long = format!("{}\n1\n{root}\n", "o".repeat(TEXT_BYTES_MAX));
    assert_eq!(Checkpoint::parse(&long), Err(TooLong));
    let hash: Sha256 = sha256(b"");
    for (origin, size, expected) in [("", 1, Lines), ("a\nb", 1, Size), ("a", SIZE_MAX + 1, Size)] {
        assert_eq!(Checkpoint::new(origin, size, hash), Err(expected), "{origin:?}");
    }
}
