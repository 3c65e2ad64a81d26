//! A source file as the laws read it: code apart from comments and literals, without what is compiled for tests only.

use std::ops::Range;

/// A source file.
pub(super) struct Source {
    /// From the root of the repository, `services/beds/src/stay/accept.rs`.
    pub(super) path: String,
    /// The code. Comments, literals and tests are blank, and every line stands where it stands in the file.
    pub(super) code: String,
    /// The string literals, with the number of the line they begin on.
    pub(super) literals: Vec<(usize, String)>,
    /// Whether the file has tests of its own.
    pub(super) has_tests: bool,
    /// Lines without tests.
    pub(super) lines: usize,
}

impl Source {
    pub(super) fn read(path: &str, text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let (mut code, literals) = split(&chars);
        let tests = test_items(&code);
        for item in &tests {
            blank(&mut code, item.clone());
        }
        let of_tests = |at: &usize| tests.iter().any(|item| item.contains(at));
        let line = |at: usize| chars.iter().take(at).filter(|c| **c == '\n').count() + 1;
        let newlines =
            |range: &Range<usize>| chars.get(range.clone()).map_or(0, |c| c.iter().filter(|c| **c == '\n').count() + 1);
        Self {
            path: path.to_owned(),
            literals: literals.into_iter().filter(|(at, _)| !of_tests(at)).map(|(at, text)| (line(at), text)).collect(),
            has_tests: text.contains("#[cfg(test)]\nmod tests"),
            lines: text.lines().count().saturating_sub(tests.iter().map(newlines).sum()),
            code: code.into_iter().collect(),
        }
    }

    /// The service, and the modules that lead to the file: `beds`, `["stay", "accept"]`.
    pub(super) fn place(&self) -> (&str, Vec<&str>) {
        let mut parts = self.path.strip_prefix("services/").unwrap_or(&self.path).split('/');
        let service = parts.next().unwrap_or_default();
        let modules = parts.skip(1).map(|part| part.strip_suffix(".rs").unwrap_or(part)).collect();
        (service, modules)
    }

    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Compiled for tests only, as a whole.
    pub(super) fn is_fixture(&self) -> bool {
        self.place().1.contains(&"fixture")
    }

    /// The lines of code that hold one of these, as `path:line: word`.
    pub(super) fn having(&self, words: &[&str]) -> Vec<String> {
        let lines = (1..).zip(self.code.lines());
        lines
            .flat_map(|(number, line)| {
                words.iter().filter(|word| holds_word(line, word)).map(move |word| (number, word))
            })
            .map(|(number, word): (usize, _)| format!("{}:{number}: {word}", self.path))
            .collect()
    }

    /// Every path of the code that begins with `crate`, `self` or `super`, use trees spread out, resolved to modules of the crate.
    pub(super) fn paths(&self) -> Vec<(usize, Vec<String>)> {
        let chars: Vec<char> = self.code.chars().collect();
        let (_, modules) = self.place();
        let own: Vec<String> =
            modules.iter().filter(|m| !["lib", "main"].contains(m)).map(|m| (*m).to_owned()).collect();
        let mut found = Vec::new();
        let mut at = 0;
        while at < chars.len() {
            let before = at.checked_sub(1).and_then(|before| chars.get(before)).copied().unwrap_or(' ');
            let word = word(&chars, at);
            let begins = ["crate", "self", "super"].contains(&word.as_str());
            let follows = chars.get(at + word.len()..at + word.len() + 2).is_some_and(|next| next == [':', ':']);
            if begins && follows && !is_word(before) && before != ':' && before != '$' {
                let line = chars.iter().take(at).filter(|c| **c == '\n').count() + 1;
                let mut paths = Vec::new();
                tree(&chars, &mut at, &[], &mut paths);
                found.extend(paths.iter().map(|path| (line, resolved(&own, path))));
            } else {
                at += word.len().max(1);
            }
        }
        found
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word(chars: &[char], at: usize) -> String {
    chars.iter().skip(at).take_while(|c| is_word(**c)).collect()
}

/// Whether a line holds a word, not as a part of a longer one.
fn holds_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|text| text.chars().next());
        let edge =
            |inner: Option<char>, outer: Option<char>| !(inner.is_some_and(is_word) && outer.is_some_and(is_word));
        edge(word.chars().next(), before) && edge(word.chars().next_back(), after)
    })
}

fn blank(code: &mut [char], range: Range<usize>) {
    for c in code.get_mut(range).into_iter().flatten().filter(|c| **c != '\n') {
        *c = ' ';
    }
}

/// The code without what stands in comments and literals, and the string literals with their places.
fn split(chars: &[char]) -> (Vec<char>, Vec<(usize, String)>) {
    let (mut code, mut literals) = (chars.to_vec(), Vec::new());
    let at = |n: usize| chars.get(n).copied().unwrap_or('\0');
    let find = |from: usize, end: &[char]| {
        (from..chars.len()).find(|n| chars.get(*n..*n + end.len()) == Some(end)).unwrap_or(chars.len())
    };
    let mut n = 0;
    while n < chars.len() {
        let hashes = || chars.iter().skip(n + 1).take_while(|c| **c == '#').count();
        let begin = n;
        match (at(n), at(n + 1)) {
            ('/', '/') => n = find(n, &['\n']),
            ('/', '*') => n = find(n, &['*', '/']) + 2,
            ('r', '"' | '#') if at(n + 1 + hashes()) == '"' && !is_word(at(n.wrapping_sub(1))) => {
                let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes())).collect();
                let start = n + 2 + hashes();
                n = find(start, &end);
                literals.push((begin, chars.iter().take(n).skip(start).collect()));
                n += end.len();
            }
            ('"', _) => {
                n += 1;
                while n < chars.len() && at(n) != '"' {
                    n += if at(n) == '\\' { 2 } else { 1 };
                }
                literals.push((begin, chars.iter().take(n).skip(begin + 1).collect()));
                n += 1;
            }
            // A character, not a lifetime.
            ('\'', '\\') => n = find(n + 3, &['\'']) + 1,
            ('\'', _) if at(n + 2) == '\'' => n += 3,
            _ => {
                n += 1;
                continue;
            }
        }
        blank(&mut code, begin..n.min(chars.len()));
    }
    (code, literals)
}

/// The items that are compiled for tests only.
fn test_items(code: &[char]) -> Vec<Range<usize>> {
    let mark: Vec<char> = "#[cfg(test)]".chars().collect();
    let mut items = Vec::new();
    let mut at = 0;
    while let Some(begin) = (at..code.len()).find(|n| code.get(*n..*n + mark.len()) == Some(&mark)) {
        let mut depth = 0_usize;
        let mut end = begin + mark.len();
        for c in code.iter().skip(end) {
            end += 1;
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && matches!(c, ';' | '}') {
                break;
            }
        }
        items.push(begin..end);
        at = end;
    }
    items
}

/// Reads a path or a use tree from here on, spread out.
fn tree(chars: &[char], at: &mut usize, prefix: &[String], found: &mut Vec<Vec<String>>) {
    let mut path = prefix.to_vec();
    loop {
        skip_space(chars, at);
        let part = word(chars, *at);
        if !part.is_empty() {
            *at += part.chars().count();
            path.push(part);
        } else if chars.get(*at) == Some(&'{') {
            *at += 1;
            branches(chars, at, &path, found);
            return;
        } else {
            break;
        }
        skip_space(chars, at);
        if chars.get(*at..*at + 2) != Some(&[':', ':']) {
            break;
        }
        *at += 2;
    }
    found.push(path);
}

fn branches(chars: &[char], at: &mut usize, path: &[String], found: &mut Vec<Vec<String>>) {
    while let Some(c) = chars.get(*at) {
        match c {
            '}' => {
                *at += 1;
                return;
            }
            c if is_word(*c) || *c == '{' => {
                tree(chars, at, path, found);
                // What follows `as` names nothing of the crate.
                while chars.get(*at).is_some_and(|c| !matches!(c, ',' | '}')) {
                    *at += 1;
                }
            }
            _ => *at += 1,
        }
    }
}

fn skip_space(chars: &[char], at: &mut usize) {
    while chars.get(*at).is_some_and(|c| c.is_whitespace()) {
        *at += 1;
    }
}

/// A path from the root of the crate, as seen from a module.
fn resolved(own: &[String], path: &[String]) -> Vec<String> {
    let up = path.iter().take_while(|part| *part == "super").count();
    let (base, skip) = match path.first().map(String::as_str) {
        Some("crate") => (0, 1),
        Some("self") => (own.len(), 1),
        _ => (own.len().saturating_sub(up), up),
    };
    let rest = path.iter().skip(skip).filter(|part| *part != "self");
    own.iter().take(base).chain(rest).cloned().collect()
}

#[test]
fn a_source_is_read_without_comments_literals_and_tests() {
    let text = r##"//! sqlx::query in words
use crate::{a::{self, b::C as D}, e};
const SQL: &str = "select '{' -- \" crate::x::y";
const RAW: &str = r#"raw "text" end"#;
fn f<'a>(c: &'a char) -> bool { *c == '"' || *c == '\'' || super::g::h() }
#[cfg(test)]
mod fixture;
fn k() {}
#[cfg(test)]
mod tests {
    const T: &str = "test";
    fn t() { crate::z::z() }
}
"##;
    let source = Source::read("services/beds/src/stay/accept.rs", text);
    assert!(!source.code.contains("sqlx") && !source.code.contains("mod ") && source.code.contains("fn k"));
    let literals: Vec<_> = source.literals.iter().map(|(line, text)| (*line, text.as_str())).collect();
    assert_eq!(literals, [(3, r#"select '{' -- \" crate::x::y"#), (4, r#"raw "text" end"#)]);
    let paths: Vec<(usize, String)> = source.paths().into_iter().map(|(line, path)| (line, path.join("::"))).collect();
    let expected = [(2, "a"), (2, "a::b::C"), (2, "e"), (5, "stay::g::h")];
    assert_eq!(paths, expected.map(|(line, path)| (line, path.to_owned())));
    assert_eq!((source.place(), source.lines, source.has_tests), (("beds", vec!["stay", "accept"]), 6, true));
}
