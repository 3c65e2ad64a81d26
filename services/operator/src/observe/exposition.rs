//! The text in which processes tell their metrics (OpenMetrics), as far as signals need it: gauges and counters.

use std::collections::BTreeMap;

/// One series and its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

/// The series of a text. Lines that are none are left out.
pub(super) fn parse(text: &str) -> Vec<Series> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(series).collect()
}

fn series(line: &str) -> Option<Series> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at_checked(end)?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    // A timestamp or an exemplar may follow.
    let value = rest.split_ascii_whitespace().next()?.parse().ok().filter(|value: &f64| value.is_finite())?;
    Some(Series { name: name.to_owned(), labels, value })
}

/// The labels up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        loop {
            match characters.next()? {
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (at, '"') => {
                    rest = quoted.get(at + 1..)?;
                    break;
                }
                (_, other) => value.push(other),
            }
        }
        labels.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn what_a_process_tells_is_read_and_nonsense_is_left_out() {
        let text = "# HELP x y\n# TYPE x gauge\nplain 5\nlag{stage=\"a\\\"b}c\",of=\"\"} 7.5 # {trace=\"1\"} 0.1\nbad{a=\"b 1\n{} \nx NaN\ny\n# EOF\n";
        let found = parse(text);
        let values: Vec<String> = found.iter().map(|series| format!("{} {}", series.name, series.value)).collect();
        assert_eq!(values, ["plain 5", "lag 7.5"]);
        assert_eq!((found[1].labels["stage"].as_str(), found[1].labels["of"].as_str()), ("a\"b}c", ""));
    }
}
