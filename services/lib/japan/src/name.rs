//! Names: kept as written, compared in a normal form.

use unicode_normalization::UnicodeNormalization as _;
use unicode_script::{Script, UnicodeScript as _};

/// Variants that Unicode's compatibility forms keep apart, and the form in which they are compared.
const FOLDED: &[(char, char)] = &[
    ('髙', '高'),
    ('﨑', '崎'),
    ('嵜', '崎'),
    ('邊', '辺'),
    ('邉', '辺'),
    ('齋', '斎'),
    ('齊', '斉'),
    ('斎', '斉'),
    ('濵', '浜'),
    ('濱', '浜'),
    ('澤', '沢'),
    ('廣', '広'),
    ('國', '国'),
    ('櫻', '桜'),
    ('德', '徳'),
    ('惠', '恵'),
    ('眞', '真'),
    ('榮', '栄'),
    ('龍', '竜'),
    ('瀨', '瀬'),
    ('﨟', '藤'),
    ('𠮷', '吉'),
    ('條', '条'),
    ('實', '実'),
    ('關', '関'),
    ('嶋', '島'),
    ('嶌', '島'),
    ('冨', '富'),
    ('靜', '静'),
    ('禮', '礼'),
    ('壽', '寿'),
    ('嶽', '岳'),
];

/// The form in which names are compared. Never stored as the name, never shown.
pub fn search_key(name: &str) -> String {
    name.nfkc()
        .filter(|c| {
            !c.is_whitespace() && !matches!(c, '・' | '･' | '=' | '\'' | '’' | '.' | ',') && !is_variation_selector(*c)
        })
        .map(|c| match c {
            '‐' | '‑' | '–' | '—' | '−' | '-' | '－' | '─' => 'ー',
            // Hiragana to katakana.
            'ぁ'..='ゖ' => char::from_u32(u32::from(c) + 0x60).unwrap_or(c),
            _ => c,
        })
        .map(|c| FOLDED.iter().find(|(variant, _)| *variant == c).map_or(c, |(_, folded)| *folded))
        .flat_map(char::to_uppercase)
        .collect()
}

/// Whether a text is a name in katakana (フリガナ): full- or half-width, with separators.
pub fn is_katakana(text: &str) -> bool {
    let mut any = false;
    let all = text.nfkc().all(|c| match c {
        'ァ'..='ヺ' | 'ー' | 'ヽ' | 'ヾ' => {
            any = true;
            true
        }
        ' ' | '　' | '・' | '-' | '‐' | '゙' | '゚' => true,
        _ => false,
    });
    any && all
}

/// Whether a text is a passport name: Latin letters and the usual separators.
pub fn is_latin(text: &str) -> bool {
    let mut letters = text.nfkc().filter(|c| c.is_alphabetic()).peekable();
    letters.peek().is_some() && letters.all(|c| c.script() == Script::Latin)
}

/// The first character that no field may contain: a control character other than line breaks and tabs, or a private-use
/// character (外字), which no other system could read.
pub fn forbidden(text: &str) -> Option<char> {
    text.chars().find(|c| {
        (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
            || matches!(*c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10fffd}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    })
}

fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

#[cfg(test)]
mod tests {
    use super::{forbidden, is_katakana, is_latin, search_key};

    #[test]
    fn ways_of_writing_one_name_compare_equal() {
        for (one, other) in [
            ("ﾔﾏﾀﾞ ﾀﾛｳ", "ヤマダ　タロウ"),
            ("やまだたろう", "ヤマダタロウ"),
            ("髙﨑", "高崎"),
            ("𠮷田", "吉田"),
            ("渡邉", "渡辺"),
            ("葛\u{e0100}城", "葛城"),
            ("O’Brien", "O'BRIEN"),
            ("ヤマ‐ダ", "ヤマーダ"),
        ] {
            assert_eq!(search_key(one), search_key(other), "{one} {other}");
        }
        assert_ne!(search_key("ヤマダ"), search_key("ヤマタ"));
    }

    #[test]
    fn katakana_is_told_from_the_rest() {
        for kana in ["ヤマダ タロウ", "ﾔﾏﾀﾞ ﾀﾛｳ", "ヴィクトリア・ー"] {
            assert!(is_katakana(kana), "{kana}");
        }
        for other in ["", "　", "山田", "やまだ", "ヤマダ1", "YAMADA"] {
            assert!(!is_katakana(other), "{other}");
        }
        for latin in [
            "JOSÉ GARCÍA-LÓPEZ",
            "Nguyễn Thị Ánh",
            "Nguye\u{302}\u{303}n",
            "Ọlá Ṣadé",
            "Ýr Ægisdóttir",
            "Ｏ’Ｂｒｉｅｎ",
        ] {
            assert!(is_latin(latin), "{latin}");
        }
        for other in ["山田", "Иван", "Ελένη", "김민준", "สมชาย", "YAMADA 太郎", "-", ""] {
            assert!(!is_latin(other), "{other}");
        }
    }

    #[test]
    fn characters_nobody_can_read_are_found() {
        assert_eq!(forbidden("a\0b"), Some('\0'));
        assert_eq!(forbidden("\u{e000}"), Some('\u{e000}'));
        assert_eq!(forbidden("abc\u{202e}"), Some('\u{202e}'));
        assert_eq!(forbidden("髙﨑 𠮷田 葛\u{e0100}\n"), None);
    }
}
