//! Telephone numbers, in one normal form.

use unicode_normalization::UnicodeNormalization as _;

/// Digits only, with `+` kept in front of a country code and `+81` written as `0`; `None` if it is not a number.
pub fn normalise(text: &str) -> Option<String> {
    let text: String = text.nfkc().filter(|c| !matches!(c, '-' | '‐' | '－' | 'ー' | '(' | ')' | ' ' | '.')).collect();
    let number = match text.strip_prefix("+81") {
        Some(rest) => format!("0{}", rest.trim_start_matches('0')),
        None => text,
    };
    let digits = number.strip_prefix('+').unwrap_or(&number);
    ((6..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn ways_of_writing_one_number_are_one() {
        for text in ["090-1234-5678", "０９０－１２３４－５６７８", "+81 90 1234 5678", "(090) 1234.5678"]
        {
            assert_eq!(normalise(text).as_deref(), Some("09012345678"), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "12345", "call me", "090-1234-567x", "1234567890123456"] {
            assert_eq!(normalise(text), None, "{text}");
        }
    }
}
