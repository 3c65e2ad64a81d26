//! Random codes that people type.

use chassis::Error;

/// A code as it was typed, without what people put between.
pub(crate) fn plain_code(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

/// A random code of Crockford's base 32 in groups of six, five bits per character.
pub(crate) fn drawn_code(characters: usize) -> Result<String, Error> {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut bytes = vec![0; characters];
    fill(&mut bytes)?;
    let text: Vec<char> =
        bytes.iter().map(|byte| ALPHABET.get(usize::from(byte % 32)).map_or('0', |c| char::from(*c))).collect();
    Ok(text.chunks(6).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-"))
}

/// Six random digits.
pub(crate) fn six_digits() -> Result<String, Error> {
    loop {
        let mut bytes = [0; 4];
        fill(&mut bytes)?;
        let number = u32::from_be_bytes(bytes);
        // The largest multiple of a million: no code is more likely than another.
        if number < 4_294_000_000 {
            return Ok(format!("{:06}", number % 1_000_000));
        }
    }
}

fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(|error| Error::Internal(anyhow::anyhow!("draw a code: {error}")))
}

#[cfg(test)]
mod tests {
    use super::{drawn_code, plain_code, six_digits};

    #[test]
    fn a_code_can_be_typed_as_it_is_printed() {
        let code = drawn_code(24).unwrap();
        assert_eq!((code.len(), plain_code(&code).len()), (27, 24), "{code}");
        assert_eq!(plain_code(&code.to_lowercase().replace('-', " ")), plain_code(&code));
        assert_ne!(drawn_code(24).unwrap(), code);
    }

    #[test]
    fn a_sent_code_has_six_digits() {
        for _ in 0..100 {
            let code = six_digits().unwrap();
            assert!(code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()), "{code}");
        }
    }
}
