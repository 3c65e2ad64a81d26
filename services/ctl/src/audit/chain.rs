//! The chain of seals, checked row by row. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};

use ::audit::seal::{self, Checkpoint, GENESIS};
use proto::operations::SealedAuditRow;

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Rows in the chain.
    pub rows: i64,
    /// The last place a signature proves.
    pub signed: i64,
    /// The last seal.
    pub end: String,
    /// The first row that was signed long after it was written, and how many there are: the sealer had stopped, or the chain
    /// was made anew.
    pub late: Option<(i64, usize)>,
}

/// A row is sealed within a second and signed within half a minute. What took longer than this many
/// seconds is reported.
const LATE: i64 = 300;

/// Why a trail is not what was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The first place that does not hold.
    pub place: i64,
    /// The row's number, where there is one.
    pub row: Option<i64>,
    /// What does not hold.
    pub why: String,
}

/// Checks a chain row by row.
#[derive(Debug)]
pub struct Chain {
    last: Vec<u8>,
    place: i64,
    seals: HashMap<i64, String>,
    wanted: BTreeSet<i64>,
    met: HashSet<i64>,
    /// When each row was written, since the last place that may be signed.
    written: Vec<(i64, i64)>,
}

impl Chain {
    /// A chain from its beginning, remembering the seals at these places.
    pub fn new(wanted: BTreeSet<i64>) -> Self {
        Self {
            last: GENESIS.to_vec(),
            place: 0,
            seals: HashMap::new(),
            wanted,
            met: HashSet::new(),
            written: Vec::new(),
        }
    }

    /// The last place that was checked.
    pub fn place(&self) -> i64 {
        self.place
    }

    /// The next row.
    ///
    /// # Errors
    /// Where it is not the one that was sealed here.
    pub fn next(&mut self, sealed: &SealedAuditRow) -> Result<(), Broken> {
        let broken = |why: &str| Broken {
            place: self.place + 1,
            row: sealed.row.as_ref().map(|row| row.id),
            why: why.to_owned(),
        };
        if sealed.place != self.place + 1 {
            return Err(broken("a place of the chain is missing"));
        }
        let Some(row) = &sealed.row else { return Err(broken("the sealed row is gone")) };
        if !self.met.insert(row.id) {
            return Err(broken("the row was sealed before"));
        }
        let seal = seal::seal(&self.last, sealed.place, row);
        if seal.as_slice() != sealed.seal.as_slice() {
            return Err(broken("the row is not the one that was sealed"));
        }
        self.last = seal.to_vec();
        self.place = sealed.place;
        self.written.push((self.place, row.call_time.as_ref().map_or(0, |at| at.seconds)));
        if self.wanted.contains(&self.place) {
            self.seals.insert(self.place, seal::hex(&self.last));
        }
        Ok(())
    }

    /// Compares the chain with its signed checkpoints and with what was seen before.
    ///
    /// # Errors
    /// Where a signature does not hold, or the chain ends before a place that was signed or seen.
    pub fn finish(self, signed: &[Checkpoint], seen: Option<&(i64, String)>) -> Result<Verified, Broken> {
        let broken = |place: i64, why: &str| Broken { place, row: None, why: why.to_owned() };
        let known = signed.iter().map(|c| (c.place, &c.seal)).chain(seen.map(|(place, seal)| (*place, seal)));
        let mut known: Vec<(i64, &String)> = known.collect();
        known.sort_unstable();
        for (place, seal) in known {
            match self.seals.get(&place) {
                None => return Err(broken(self.place + 1, "the chain ends before a place that was signed or seen")),
                Some(here) if here != seal => return Err(broken(place, "the chain is not the one that was signed")),
                Some(_) => {}
            }
        }
        // Each row against the first signature that covers it.
        let mut signatures: Vec<(i64, i64)> =
            signed.iter().map(|checkpoint| (checkpoint.place, checkpoint.iat)).collect();
        signatures.sort_unstable();
        let mut covering = signatures.iter().peekable();
        let mut late: Option<(i64, usize)> = None;
        for (place, written) in &self.written {
            while covering.peek().is_some_and(|(end, _)| end < place) {
                covering.next();
            }
            if covering.peek().is_some_and(|(_, at)| at - written > LATE) {
                late = Some(late.map_or((*place, 1), |(first, count)| (first, count + 1)));
            }
        }
        let signed = signatures.last().map_or(0, |(place, _)| *place);
        Ok(Verified { rows: self.place, signed, end: seal::hex(&self.last), late })
    }
}

#[cfg(test)]
mod tests {
    use ::audit::seal::{self, Checkpoint};
    use proto::{
        Timestamp,
        operations::{AuditRow, SealedAuditRow},
    };

    use super::Chain;

    const ROWS: i64 = 400;

    /// A whole trail, and a signature at its end and in its middle.
    fn trail() -> (Vec<SealedAuditRow>, Vec<Checkpoint>) {
        let mut last = seal::GENESIS.to_vec();
        let mut rows = Vec::new();
        let mut signed = Vec::new();
        for place in 1..=ROWS {
            let row = AuditRow {
                id: place * 2,
                call_time: Some(Timestamp { seconds: 1_590_000_000 + place, nanos: 0 }),
                user_id: format!("user {}", place % 7),
                rpc: "GetCase".to_owned(),
                record_id: format!("case {}", place % 31),
                field_groups: vec![2, 4],
                trace_id: format!("{place:032x}"),
                ..AuditRow::default()
            };
            last = seal::seal(&last, place, &row).to_vec();
            rows.push(SealedAuditRow { place, row: Some(row), seal: last.clone() });
            if place % (ROWS / 2) == 0 {
                signed.push(Checkpoint { iss: "registry".to_owned(), place, seal: seal::hex(&last), iat: 0 });
            }
        }
        (rows, signed)
    }

    /// The first bad place; `None` where all holds.
    fn first_bad(rows: &[SealedAuditRow], signed: &[Checkpoint]) -> Option<i64> {
        let mut chain = Chain::new(signed.iter().map(|checkpoint| checkpoint.place).collect());
        for row in rows {
            if let Err(broken) = chain.next(row) {
                return Some(broken.place);
            }
        }
        chain.finish(signed, None).err().map(|broken| broken.place)
    }

    /// A small generator with a seed: what fails can be done again.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, most: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap_or(0) % most
        }
    }

    /// Seals everything from a place on anew, as somebody would who owns the database and not the key.
    fn reseal(rows: &mut [SealedAuditRow]) {
        let mut last = seal::GENESIS.to_vec();
        for (place, sealed) in (1..).zip(rows.iter_mut()) {
            sealed.place = place;
            last = seal::seal(&last, place, &sealed.row.clone().unwrap_or_default()).to_vec();
            sealed.seal.clone_from(&last);
        }
    }

    #[test]
    fn of_a_thousand_tamperings_each_is_found_and_the_first_bad_row_named() {
        let (whole, signed) = trail();
        assert_eq!(first_bad(&whole, &signed), None, "an untouched trail holds");
        let mut dice = Dice(20_200_515);
        for round in 0..1_000 {
            let mut rows = whole.clone();
            let at = dice.below(rows.len());
            let place = whole[at].place;
            let kind = dice.below(9);
            let expected = match kind {
                0 => {
                    if let Some(row) = &mut rows[at].row {
                        row.user_id.push('x');
                    }
                    Some(place)
                }
                1 => {
                    if let Some(at) = rows[at].row.as_mut().and_then(|row| row.call_time.as_mut()) {
                        at.seconds -= 1;
                    }
                    Some(place)
                }
                2 => {
                    if let Some(row) = &mut rows[at].row {
                        row.field_groups.clear();
                    }
                    Some(place)
                }
                3 => {
                    let byte = dice.below(32);
                    rows[at].seal[byte] ^= 1 << dice.below(8);
                    Some(place)
                }
                4 => {
                    rows[at].row = None;
                    Some(place)
                }
                5 => {
                    rows.remove(at);
                    Some(place)
                }
                6 => {
                    let twin = rows[at].clone();
                    rows.insert(at, twin);
                    Some(place + 1)
                }
                7 => {
                    // The end cut off.
                    rows.truncate(at);
                    Some(place)
                }
                // A row taken out, and every seal after it computed anew: the signatures do not fit.
                _ => {
                    rows.remove(at);
                    reseal(&mut rows);
                    None
                }
            };
            let found = first_bad(&rows, &signed);
            assert!(found.is_some(), "round {round}, kind {kind}, place {place}: not found");
            if let Some(expected) = expected {
                assert_eq!(found, Some(expected), "round {round}, kind {kind}");
            }
        }
    }
}
