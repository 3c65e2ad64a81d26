//! Lists in CSV of any length, sent in parts.

use anyhow::Context as _;

/// Rows sent in one call.
pub(super) const ROWS: usize = 1_000;

/// What became of the rows of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Rows that created something.
    pub created: usize,
    /// Rows that changed nothing, because they were imported before.
    pub unchanged: usize,
    /// Rows at fault.
    pub refused: usize,
    /// Rows taken with a remark.
    pub remarked: usize,
}

/// Parts of at most a thousand rows, each with the header, and how many rows came before.
pub(super) fn parts(text: &str) -> anyhow::Result<Vec<(String, usize)>> {
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header = reader.headers().context("read the header")?.clone();
    let records = reader.records().collect::<Result<Vec<_>, _>>().context("read the rows")?;
    records
        .chunks(ROWS)
        .enumerate()
        .map(|(index, rows)| {
            let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
            writer.write_record(&header)?;
            for row in rows {
                writer.write_record(row)?;
            }
            Ok((String::from_utf8(writer.into_inner().context("write rows")?)?, index * ROWS))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn a_long_list_is_sent_in_parts_with_its_header() {
        let mut text = String::from("\u{feff}a,b\n");
        for number in 0..2_500 {
            text.push_str(&[&number.to_string(), ",\"x\ny\"\n"].concat());
        }
        let parts = parts(&text).unwrap();
        assert_eq!(parts.iter().map(|(_, offset)| *offset).collect::<Vec<_>>(), [0, 1_000, 2_000]);
        assert!(parts.iter().all(|(part, _)| part.starts_with("a,b\n")));
    }
}
