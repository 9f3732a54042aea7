//! A believable population: made from word lists by a fixed rule, so that every demo has the same people and none of them is real.

use serde::Serialize;

/// One resident, as the register answers it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Person {
    /// Personal code: eleven digits.
    pub(super) id: String,
    pub(super) family_name: &'static str,
    pub(super) given_name: &'static str,
    /// `YYYY-MM-DD`.
    pub(super) birth_date: String,
    pub(super) place_of_birth: &'static str,
    pub(super) address: Address,
    /// Since when the address is valid, `YYYY-MM-DD`.
    pub(super) resident_since: String,
    pub(super) marital_status: &'static str,
}

/// Where a person lives.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Address {
    pub(super) street: &'static str,
    pub(super) house_number: u64,
    pub(super) postal_code: &'static str,
    pub(super) city: &'static str,
}

/// How many people live in the demo.
pub(super) const POPULATION: u64 = 2_000;

/// All residents, in the order of their numbers.
pub(super) fn all() -> Vec<Person> {
    (0..POPULATION).map(person).collect()
}

fn person(number: u64) -> Person {
    let mut dice = Dice(number);
    let birth_year = 1930 + dice.below(90);
    let (month, day) = (1 + dice.below(12), 1 + dice.below(28));
    let (postal_code, city) = dice.pick(&CITIES);
    let resident_year = (birth_year + dice.below(60)).min(2025);
    Person {
        id: format!("{}{:02}{month:02}{day:02}{number:04}", 3 + number % 2, birth_year % 100),
        family_name: dice.pick(&FAMILY_NAMES),
        given_name: dice.pick(&GIVEN_NAMES),
        birth_date: format!("{birth_year}-{month:02}-{day:02}"),
        place_of_birth: dice.pick(&CITIES).1,
        address: Address {
            street: dice.pick(&STREETS),
            house_number: 1 + dice.below(120),
            postal_code,
            city,
        },
        resident_since: format!("{resident_year}-{:02}-01", 1 + dice.below(12)),
        marital_status: dice.pick(&MARITAL_STATUS),
    }
}

/// A small fixed sequence of numbers per person (SplitMix64); nothing secret depends on it.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }

    fn pick<T: Copy, const N: usize>(&mut self, list: &[T; N]) -> T {
        let index = usize::try_from(self.below(N as u64)).unwrap_or(0);
        list[index % N]
    }
}

const FAMILY_NAMES: [&str; 40] = [
    "Meyer",
    "Petersen",
    "Hansen",
    "Schröder",
    "Jansen",
    "Lindqvist",
    "Tamm",
    "Saar",
    "Kask",
    "Virtanen",
    "Korhonen",
    "Nielsen",
    "Kowalska",
    "Nowak",
    "Ozols",
    "Bērziņš",
    "Kazlauskas",
    "Behrens",
    "Claussen",
    "Dierks",
    "Ehlers",
    "Freese",
    "Gerdes",
    "Harms",
    "Ibsen",
    "Jessen",
    "Köster",
    "Lüders",
    "Martens",
    "Niemann",
    "Oltmanns",
    "Paulsen",
    "Quast",
    "Rickmers",
    "Sörensen",
    "Thomsen",
    "Uhlenbrock",
    "Voss",
    "Wiese",
    "Yılmaz",
];
const GIVEN_NAMES: [&str; 36] = [
    "Anna", "Björn", "Carla", "Dorothea", "Emil", "Frieda", "Georg", "Hanne", "Ida", "Jürgen", "Kaisa",
    "Lars", "Maarja", "Niklas", "Oskar", "Pille", "Rasmus", "Sofia", "Toomas", "Ulrike", "Viktor", "Wiebke",
    "Ylva", "Zofia", "Aino", "Bruno", "Clara", "Dieter", "Elif", "Fatma", "Greta", "Heinrich", "Ingrid",
    "Johanna", "Karl", "Liis",
];
const STREETS: [&str; 24] = [
    "Am Hafen",
    "Alter Markt",
    "Fischergrube",
    "Holstenstraße",
    "Kirchenstraße",
    "Lotsenweg",
    "Mühlendamm",
    "Nordertor",
    "Ostseeallee",
    "Packhausgasse",
    "Querstraße",
    "Rathausmarkt",
    "Salzspeicher",
    "Traveufer",
    "Uferweg",
    "Wallstraße",
    "Beim Zeughaus",
    "Deichstraße",
    "Eichenweg",
    "Große Gröpelgrube",
    "Hansering",
    "Koggenweg",
    "Speicherstraße",
    "Werftstraße",
];
const CITIES: [(&str, &str); 8] = [
    ("23552", "Hansehafen"),
    ("23966", "Wiekmünde"),
    ("18439", "Sundwerder"),
    ("17489", "Boddenstedt"),
    ("24103", "Fördeburg"),
    ("26721", "Emsloog"),
    ("27568", "Weserholm"),
    ("20457", "Speicherwerder"),
];
const MARITAL_STATUS: [&str; 4] = ["single", "married", "divorced", "widowed"];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_population_is_the_same_every_time_and_nobody_is_there_twice() {
        let people = all();
        assert_eq!(people, all());
        let ids: BTreeSet<_> = people.iter().map(|person| person.id.as_str()).collect();
        assert_eq!(ids.len(), people.len());
        assert!(people.iter().all(|person| person.id.len() == 11));
        assert!(people.iter().any(|person| person.family_name == "Meyer"));
    }
}
