use proptest::prelude::*;

use super::*;

fn renewal(tokens: &[&[u8]], token: &[u8]) -> Renewal {
    Renewal::new(tokens.iter().map(|token| sha256(token)).collect(), token.to_vec()).unwrap()
}

fn refusal(bytes: &[u8]) -> RenewalError {
    Renewal::from_bytes(bytes).unwrap_err()
}

/// A file with a checksum that is right.
fn file(payload: &[u8]) -> Vec<u8> {
    [MAGIC, sha256(payload).as_bytes(), payload].concat()
}

#[test]
fn a_file_reads_back_and_nothing_else_does() {
    let good = renewal(&[b"one", b"two"], b"newer");
    let bytes = good.to_bytes();
    assert_eq!(Renewal::from_bytes(&bytes), Ok(good));
    for length in 0..bytes.len() {
        assert!(Renewal::from_bytes(&bytes[..length]).is_err(), "{length}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(Renewal::from_bytes(&altered).is_err(), "{bit}");
    }
    let message = |leaves: Vec<u8>| wire::Renewal { token: b"newer".to_vec(), leaves }.encode_to_vec();
    use RenewalError::Malformed;
    assert_eq!(refusal(b"something else"), Malformed("it does not begin like one"));
    assert_eq!(refusal(MAGIC), Malformed("it was cut"));
    assert_eq!(refusal(&bytes[..bytes.len() - 1]), Malformed("its bytes are not those that were written"));
    assert_eq!(refusal(&file(b"\xFF")), Malformed("it is no protobuf message"));
    assert_eq!(refusal(&file(&message(vec![0; 33]))), Malformed("a digest is not 32 bytes long"));
    assert_eq!(refusal(&file(&message(vec![]))), RenewalError::Leaves(0));
    let unknown_field = [message(vec![0; 32]), vec![0x18, 0x01]].concat();
    assert_eq!(refusal(&file(&unknown_field)), Malformed("it differs from its own encoding"));
}

#[test]
fn a_renewal_covers_something_and_not_too_much() {
    let of = |count| Renewal::new(vec![Sha256([0; 32]); count], vec![]);
    assert_eq!(of(0), Err(RenewalError::Leaves(0)));
    assert_eq!(of(RENEWAL_LEAVES_MAX + 1), Err(RenewalError::Leaves(RENEWAL_LEAVES_MAX + 1)));
    assert!(of(RENEWAL_LEAVES_MAX).unwrap().to_bytes().len() < RENEWAL_BYTES_MAX);
}

#[test]
fn the_chain_of_a_token_follows_it_from_renewal_to_renewal() {
    let list = vec![
        renewal(&[b"a", b"b", b"c"], b"ab"),
        renewal(&[b"ab", b"d"], b"abd"),
        // Made beside the first, which counts.
        renewal(&[b"a"], b"also a"),
    ];
    let renewals = Renewals::new(list.clone());
    assert_eq!(renewals.list(), list);
    assert_eq!(renewals.of(b"nobody's"), Ok(vec![]));
    assert_eq!(renewals.newest(b"nobody's"), Ok(None));
    assert_eq!(renewals.newest(b"a"), Ok(Some(&list[1])));
    assert_eq!(renewals.newest(b"d"), Ok(Some(&list[1])));
    let chain = renewals.of(b"b").unwrap();
    let tokens: Vec<&[u8]> = chain.iter().map(|step| step.token.as_slice()).collect();
    assert_eq!(tokens, [b"ab".as_slice(), b"abd"]);
    assert_eq!(chain[0].root_of(sha256(b"b")), tree::root(list[0].leaves()));
    assert_eq!(chain[1].root_of(sha256(b"ab")), tree::root(list[1].leaves()));
}

#[test]
fn a_circle_of_made_up_renewals_has_an_end() {
    let renewals = Renewals::new(vec![renewal(&[b"a"], b"b"), renewal(&[b"b"], b"a")]);
    assert_eq!(renewals.of(b"a"), Err(RenewalError::TooMany));
    assert_eq!(renewals.newest(b"b"), Err(RenewalError::TooMany));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Renewal::from_bytes(&bytes).is_err());
        prop_assert!(Renewal::from_bytes(&file(&bytes)).is_err());
    }
}
