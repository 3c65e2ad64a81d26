//! Telephone numbers, in one normal form, by the Japanese numbering plan.

use crate::text;

/// A telephone number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 060, 070, 080, 090: rings in a pocket, and takes text messages.
    Mobile,
    /// 0ABC, 050, 0120, 0570 and the like: rings, and takes no text message.
    Fixed,
    /// Outside Japan.
    Foreign,
}

/// Digits only, with `+` kept in front of a foreign country code and Japan's (`+81`, `0081`, `010-81`) written as `0`; `None` if the
/// numbering plan has no such number.
pub fn normalise(text: &str) -> Option<String> {
    let typed: String = text::plain(text).chars().filter(|c| !matches!(c, '-' | '(' | ')' | '.' | '/')).collect();
    // 内線: the number rings at the exchange.
    let typed = typed.split(['内', '#', ';', 'x', 'X']).next().unwrap_or_default();
    let typed = ["+81", "0081", "01081"]
        .iter()
        .find_map(|code| typed.strip_prefix(code))
        .map_or_else(|| typed.to_owned(), |national| format!("0{}", national.trim_start_matches('0')));
    kind(&typed).map(|_| typed)
}

/// What kind of number it is, in its normal form. `None` if the numbering plan has none such.
pub fn kind(number: &str) -> Option<Kind> {
    if let Some(foreign) = number.strip_prefix('+') {
        let known = (7..=15).contains(&foreign.len()) && all_digits(foreign) && !foreign.starts_with('0');
        return known.then_some(Kind::Foreign);
    }
    if !all_digits(number) {
        return None;
    }
    let fourth = number.as_bytes().get(3).copied().unwrap_or(b'0');
    match (number.get(..3)?, number.len()) {
        ("060" | "070" | "080" | "090", 11) if number.starts_with("0800") => Some(Kind::Fixed),
        ("060" | "070" | "080" | "090", 11) => (fourth != b'0').then_some(Kind::Mobile),
        ("050", 11) => (fourth != b'0').then_some(Kind::Fixed),
        ("020" | "050" | "060" | "070" | "080" | "090", _) => None,
        // 0120, 0570, 0990 have ten digits like every area code.
        (_, 10) => (number.starts_with('0') && !number.starts_with("00")).then_some(Kind::Fixed),
        _ => None,
    }
}

/// Whether a text message reaches a number.
pub fn takes_messages(number: &str) -> bool {
    normalise(number).is_some_and(|number| matches!(kind(&number), Some(Kind::Mobile | Kind::Foreign)))
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{Kind, kind, normalise, takes_messages};

    #[test]
    fn ways_of_writing_one_number_are_one() {
        for text in [
            "090-1234-5678",
            "０９０－１２３４－５６７８",
            "090−1234−5678",
            "090ー1234ｰ5678",
            "090‐1234–5678",
            "+81 90 1234 5678",
            "+81 (0)90-1234-5678",
            "0081-90-1234-5678",
            "010-81-90-1234-5678",
            "(090) 1234.5678",
            "090-1234-5678 内線12",
        ] {
            assert_eq!(normalise(text).as_deref(), Some("09012345678"), "{text}");
        }
        assert_eq!(normalise("+1 212 555 0100").as_deref(), Some("+12125550100"));
    }

    #[test]
    fn what_the_numbering_plan_does_not_have_is_refused() {
        for text in [
            "",
            "12345",
            "call me",
            "090-1234-567x",
            "1234567890123456",
            "090-1234-567",
            "090-1234-56789",
            "090-0123-4567",
            "03-1234-567",
            "03-1234-56789",
            "0800-123-456",
            "050-123-4567",
            "060-123-4567",
            "+81 90 1234 567",
            "00-1234-5678",
        ] {
            assert_eq!(normalise(text), None, "{text}");
        }
    }

    #[test]
    fn codes_go_where_they_can_be_read() {
        for (number, of) in [
            ("09012345678", Kind::Mobile),
            ("06012345678", Kind::Mobile),
            ("0612345678", Kind::Fixed),
            ("05012345678", Kind::Fixed),
            ("0120123456", Kind::Fixed),
            ("08001234567", Kind::Fixed),
            ("0570123456", Kind::Fixed),
            ("+12125550100", Kind::Foreign),
        ] {
            assert_eq!((kind(number), takes_messages(number)), (Some(of), of != Kind::Fixed), "{number}");
        }
    }
}
