//! Ways of typing that mean the same: widths, dashes, spaces.

use unicode_normalization::UnicodeNormalization as _;

/// Whether a character is one of the dashes that people type between digits: a keyboard in Japanese has seven keys' worth of them.
pub fn is_dash(c: char) -> bool {
    matches!(
        c,
        '-' | '\u{2010}'
            ..='\u{2015}' | '\u{2212}' | '\u{ff0d}' | '\u{30fc}' | '\u{ff70}' | '\u{fe63}' | '\u{2500}' | '\u{2043}'
    )
}

/// A text in plain widths, its dashes one dash, without white space. For codes, numbers and words to compare; never for names.
pub fn plain(text: &str) -> String {
    // A half-width prolonged sound mark is a dash before it is folded to kana.
    text.chars()
        .map(|c| if is_dash(c) { '-' } else { c })
        .nfkc()
        .filter(|c| !c.is_whitespace() && *c != '\u{200b}' && *c != '\u{feff}')
        .map(|c| if is_dash(c) { '-' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn every_dash_is_one() {
        for dash in "-‐‑‒–—―−－ーｰ﹣─".chars() {
            assert_eq!(plain(&format!("０９０{dash}１")), "090-1", "U+{:04X}", u32::from(dash));
        }
        assert_eq!(plain(" 男性\u{a0}"), "男性");
    }
}
