//! The patient access ID (スマホ入力ID): fifty random bits and a check character, easy to read out on the telephone.

use std::fmt;

/// Crockford's base 32: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const RANDOM: usize = 10;

/// A patient access ID. It gives no access by itself. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AccessId(String);

impl AccessId {
    /// A new ID from ten random bytes, each of which gives five bits.
    pub fn from_random(bytes: [u8; RANDOM]) -> Self {
        let mut text: String = bytes.iter().map(|byte| symbol(usize::from(byte % 32))).collect();
        text.push(check(&text));
        Self(text)
    }

    /// Reads what a person typed: spaces and hyphens are dropped, O reads as 0, I and L as 1, full-width as half-width.
    pub fn parse(text: &str) -> Option<Self> {
        use unicode_normalization::UnicodeNormalization as _;

        let text: String = text
            .nfkc()
            .filter(|c| !c.is_whitespace() && !matches!(c, '-' | '‐' | '－' | 'ー'))
            .map(|c| match c.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            })
            .collect();
        let (body, last) = text.split_at_checked(RANDOM)?;
        let well_formed = body.bytes().all(|b| ALPHABET.contains(&b));
        (well_formed && last.chars().eq([check(body)])).then_some(Self(text))
    }

    /// The eleven characters, for keyed hashing and storage.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As printed on the slip: `ABCDE-FGHJK-X`.
    pub fn printed(&self) -> String {
        format!("{}-{}-{}", &self.0[..5], &self.0[5..10], &self.0[10..])
    }
}

impl fmt::Debug for AccessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessId(…)")
    }
}

fn symbol(value: usize) -> char {
    ALPHABET.get(value).map_or('0', |b| char::from(*b))
}

/// Luhn's algorithm modulo 32: finds every single wrong character and almost every swap of neighbours.
fn check(body: &str) -> char {
    let sum: usize = body
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let value = ALPHABET.iter().position(|b| *b == byte).unwrap_or(0);
            let weighted = if place % 2 == 0 { value * 2 } else { value };
            weighted / 32 + weighted % 32
        })
        .sum();
    symbol((32 - sum % 32) % 32)
}

#[cfg(test)]
mod tests {
    use super::{ALPHABET, AccessId};

    fn sample() -> AccessId {
        AccessId::from_random([3, 200, 17, 99, 4, 5, 250, 31, 64, 12])
    }

    #[test]
    fn what_is_printed_can_be_typed() {
        let id = sample();
        for typed in [id.printed(), id.printed().to_lowercase(), id.printed().replace('-', " ")] {
            assert_eq!(AccessId::parse(&typed), Some(id.clone()), "{typed}");
        }
    }

    #[test]
    fn every_single_wrong_character_is_found() {
        let id = sample();
        for place in 0..11 {
            for symbol in ALPHABET {
                let mut typed = id.as_str().as_bytes().to_vec();
                if typed[place] == *symbol {
                    continue;
                }
                typed[place] = *symbol;
                assert_eq!(AccessId::parse(std::str::from_utf8(&typed).unwrap()), None);
            }
        }
    }

    #[test]
    fn nonsense_is_no_id() {
        for text in ["", "é", "ABCDEFGHJK", "ABCDEFGHJKLMN", "𠮷𠮷𠮷𠮷𠮷"] {
            assert_eq!(AccessId::parse(text), None, "{text}");
        }
    }
}
