//! Rows to replay: from an open-data file of positive persons, or a synthetic wave of the same shape.

mod requests;
mod words;

use std::{io::Read, path::Path};

use anyhow::Context as _;
use japan::municipality;
use proto::registry::Sex;
use time::{Date, Duration, macros::date};

pub use requests::Requests;
use words::Age;

/// A positive person of an open-data file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// 番号.
    pub number: u32,
    /// 報道提供日, taken as the report date.
    pub reported_on: Date,
    /// 年代.
    pub age: Age,
    /// 性別.
    pub sex: Sex,
    /// 居住地 as given.
    pub residence: String,
    /// 退院・解除 is marked.
    pub released: bool,
}

/// Reads the columns 番号, 報道提供日, 年代, 性別, 居住地, 退院・解除.
///
/// # Errors
/// Names the line and the column at fault.
pub fn read(file: &Path) -> anyhow::Result<Vec<Row>> {
    let input = std::fs::File::open(file).with_context(|| format!("open {}", file.display()))?;
    parse(input).with_context(|| format!("read {}", file.display()))
}

fn parse(input: impl Read) -> anyhow::Result<Vec<Row>> {
    let mut reader = csv::Reader::from_reader(input);
    let headers = reader.headers()?.clone();
    let column = |name: &str| {
        let found = headers.iter().position(|header| header.trim_start_matches('\u{feff}') == name);
        found.with_context(|| format!("there is no column {name}"))
    };
    let columns = [
        column("番号")?,
        column("報道提供日")?,
        column("年代")?,
        column("性別")?,
        column("居住地")?,
        column("退院・解除")?,
    ];
    let mut rows = Vec::new();
    for (index, record) in reader.records().enumerate() {
        let line = index + 2;
        let record = record.with_context(|| format!("line {line}"))?;
        let [number, day, age, sex, residence, released] = columns.map(|c| record.get(c).unwrap_or_default().trim());
        rows.push(Row {
            number: number.parse().with_context(|| format!("line {line}: 番号 must be a number"))?,
            reported_on: japan::date::parse(day).with_context(|| format!("line {line}: 報道提供日"))?,
            age: Age::read(age).with_context(|| format!("line {line}: 年代 {age:?} is no age"))?,
            sex: words::sex(sex).with_context(|| format!("line {line}: 性別 {sex:?} is no sex"))?,
            residence: residence.to_owned(),
            released: words::marked(released)
                .with_context(|| format!("line {line}: 退院・解除 {released:?} is no mark"))?,
        });
    }
    Ok(rows)
}

/// A wave of `count` persons that rises and falls over a hundred days, with the odd values real files have.
pub fn synthetic(count: u32) -> Vec<Row> {
    let places = municipality::of_prefecture(27);
    let names: Vec<&str> = places
        .iter()
        .filter_map(|code| municipality::Municipality::parse(code).ok()?.name())
        .filter(|name| !name.contains('区'))
        .collect();
    let pick = |list: &[&str], n: u32| -> String {
        list.get(usize::try_from(n).unwrap_or(0) % list.len().max(1)).copied().unwrap_or_default().to_owned()
    };
    (1..=count)
        .map(|number| {
            // A low-discrepancy sequence: every run makes the same wave.
            let noise = number.wrapping_mul(2_654_435_769) >> 8;
            let (first, second) = (noise % 50, (noise / 50) % 50);
            Row {
                number,
                // The sum of two even draws peaks in the middle.
                reported_on: date!(2020 - 03 - 20) + Duration::days(i64::from(first + second)),
                age: Age::read(&pick(
                    &["20", "30", "40", "50", "60", "70", "80", "90", "10", "未就学児", "就学児", "100", "調査中"],
                    noise / 7,
                ))
                .unwrap_or(Age::Unknown),
                sex: words::sex(&pick(
                    &["男性", "女性", "男性", "女性", "女性", "男性", "男性", "女性", "不明"],
                    noise / 11,
                ))
                .unwrap_or(Sex::Unknown),
                residence: match noise % 40 {
                    0 => "調査中".to_owned(),
                    1 => "大阪府外".to_owned(),
                    2..20 => "大阪市".to_owned(),
                    _ => pick(&names, noise / 3),
                },
                released: !noise.is_multiple_of(8),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{parse, synthetic};

    const FILE: &str = "番号,報道提供日,年代,性別,居住地,退院・解除\n1,2020-01-29,40,女性,大阪市,○\n2,2020-05-13,未就学児,不明,大阪府外,\n3,2020-06-01,調査中,男性,調査中,○\n";

    #[test]
    fn a_broken_file_names_line_and_column() {
        let error = parse(FILE.replace("2020-05-13", "yesterday").as_bytes()).unwrap_err();
        assert!(error.to_string().contains("line 3: 報道提供日"), "{error}");
        let error = parse("番号,年代\n1,40\n".as_bytes()).unwrap_err();
        assert!(error.to_string().contains("報道提供日"), "{error}");
    }

    #[test]
    fn what_nobody_understands_is_named_and_made_nothing_else() {
        for (value, other, column) in
            [("未就学児", "百代", "年代"), ("不明", "おんな", "性別"), ("大阪府外,", "大阪府外,?", "退院・解除")]
        {
            let error = parse(FILE.replace(value, other).as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("line 3: {column}")), "{error}");
        }
    }

    #[test]
    fn the_synthetic_wave_rises_and_falls() {
        let rows = synthetic(5_000);
        let day = |n: i64| {
            rows.iter()
                .filter(|row| row.reported_on == time::macros::date!(2020 - 03 - 20) + time::Duration::days(n))
                .count()
        };
        assert!(day(48) > 2 * day(5) && day(48) > 2 * day(93), "{} {} {}", day(5), day(48), day(93));
        assert!(rows.iter().any(|row| row.residence == "大阪府外"));
    }
}
