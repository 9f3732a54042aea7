//! A filter over what a segment's messages can be found by: says "not here" for certain, or "perhaps".
//!
//! Pages of bits, each with its own checksum: a question reads one page. Twelve bits for each fingerprint answer one question in three hundred wrongly
//! with "perhaps".

use super::note::{Field, Fingerprint, Probe};

/// Size of a page, the last four bytes of which are the CRC-32C of the others (little-endian).
pub(crate) const PAGE_BYTES: usize = 4096;

const PAGE_BITS: u64 = (PAGE_BYTES as u64 - 4) * 8;

/// Bits for each fingerprint, and how many of them it sets.
const BITS_EACH: u64 = 12;
const PROBES: u64 = 8;

/// The pages of a filter over the distinct fingerprints of each field.
pub(crate) fn build(fingerprints: &[(Field, Vec<u32>)]) -> Vec<u8> {
    let held: usize = fingerprints.iter().map(|(_, fingerprints)| fingerprints.len()).sum();
    let pages = (held as u64 * BITS_EACH).div_ceil(PAGE_BITS).max(1);
    let mut bytes = vec![0; usize::try_from(pages).unwrap_or_default() * PAGE_BYTES];
    let each = fingerprints.iter().flat_map(|(field, some)| some.iter().map(move |it| (field, it)));
    for (field, fingerprint) in each {
        let probe = Probe { field: *field, fingerprint: Fingerprint(*fingerprint) };
        let page = usize::try_from(page_of(probe, pages)).unwrap_or_default();
        for bit in bits_of(probe) {
            if let Some(byte) = bytes.get_mut(page * PAGE_BYTES + bit / 8) {
                *byte |= 1 << (bit % 8);
            }
        }
    }
    for page in bytes.chunks_exact_mut(PAGE_BYTES) {
        if let Some((bits, checksum)) = page.split_last_chunk_mut::<4>() {
            *checksum = crc32c::crc32c(bits).to_le_bytes();
        }
    }
    bytes
}

/// Which of so many pages answers for the probe.
pub(crate) fn page_of(probe: Probe, pages: u64) -> u64 {
    // The upper half, so that the lower is free to choose the bits.
    (mixed(probe) >> 32).checked_rem(pages).unwrap_or_default()
}

/// What the page says: `Some(false)` means that no message is found by the probe, `None` that it is no page.
pub(crate) fn may_hold(page: &[u8], probe: Probe) -> Option<bool> {
    let (bits, checksum) = page.split_last_chunk::<4>()?;
    if page.len() != PAGE_BYTES || crc32c::crc32c(bits) != u32::from_le_bytes(*checksum) {
        return None;
    }
    Some(bits_of(probe).all(|bit| bits.get(bit / 8).is_some_and(|byte| byte & (1 << (bit % 8)) != 0)))
}

fn bits_of(probe: Probe) -> impl Iterator<Item = usize> {
    let mixed = mixed(probe);
    // Double hashing (Kirsch and Mitzenmacher, 2006).
    let (start, step) = (mixed & 0xffff_ffff, mixed.rotate_left(17) | 1);
    (0..PROBES).map(move |number| {
        let bit = start.wrapping_add(number.wrapping_mul(step)) % PAGE_BITS;
        usize::try_from(bit).unwrap_or_default()
    })
}

/// The finaliser of SplitMix64: spreads 40 bits over 64.
fn mixed(probe: Probe) -> u64 {
    let mut mixed = u64::from(probe.field.letter()) << 32 | u64::from(probe.fingerprint.0);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(filter: &[u8], field: Field, fingerprint: u32) -> Option<bool> {
        let probe = Probe { field, fingerprint: Fingerprint(fingerprint) };
        let pages = (filter.len() / PAGE_BYTES) as u64;
        let page = page_of(probe, pages) as usize;
        may_hold(&filter[page * PAGE_BYTES..(page + 1) * PAGE_BYTES], probe)
    }

    #[test]
    fn what_is_in_it_is_never_denied_and_little_else_is_affirmed() {
        let fingerprint = |number: u32| number.wrapping_mul(2_654_435_761);
        let held: Vec<u32> = (0..50_000).map(fingerprint).collect();
        let filter = build(&[(Field::RequestId, held.clone())]);
        assert!(held.iter().all(|fingerprint| ask(&filter, Field::RequestId, *fingerprint) == Some(true)));
        let wrong = |field, numbers: std::ops::Range<u32>| {
            numbers.filter(|number| ask(&filter, field, fingerprint(*number)) == Some(true)).count()
        };
        assert!(wrong(Field::RequestId, 50_000..150_000) < 600);
        assert!(wrong(Field::MessageId, 0..100_000) < 600);
        assert_eq!(ask(&build(&[]), Field::Client, 5), Some(false));
    }

    #[test]
    fn a_damaged_page_says_nothing() {
        let mut filter = build(&[(Field::Client, vec![5])]);
        assert_eq!(ask(&filter, Field::Client, 5), Some(true));
        for at in [0, 1000, PAGE_BYTES - 5, PAGE_BYTES - 1] {
            filter[at] ^= 1;
            assert_eq!(ask(&filter, Field::Client, 5), None);
            filter[at] ^= 1;
        }
        let probe = Probe { field: Field::Client, fingerprint: Fingerprint(5) };
        assert_eq!(may_hold(&[], probe), None);
        assert_eq!(may_hold(&filter[1..], probe), None);
    }
}
