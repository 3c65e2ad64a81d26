//! Figures as a table, as CSV, or as JSON.

use std::io::Write;

use clap::ValueEnum;
use proto::statistics::QueryCasesResponse;
use runtime::clock;
use serde_json::json;
use time::format_description::well_known::Rfc3339;

/// How figures are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people.
    Table,
    /// For spreadsheets.
    Csv,
    /// For programs.
    Json,
}

/// Prints an answer under the names of its dimensions.
pub(crate) fn print(
    out: &mut impl Write,
    names: &[String],
    answer: &QueryCasesResponse,
    format: Format,
) -> anyhow::Result<()> {
    let as_of = answer.as_of.as_ref().and_then(clock::from_proto).map(|at| at.format(&Rfc3339)).transpose()?;
    let as_of = as_of.unwrap_or_default();
    match format {
        Format::Table => {
            for row in &answer.rows {
                for (key, name) in row.keys.iter().zip(names) {
                    write!(out, "{key:<width$}  ", width = name.len().max(12))?;
                }
                writeln!(out, "{:>9}", row.count)?;
            }
            let total: i64 = answer.rows.iter().map(|row| row.count).sum();
            writeln!(out, "total {total}, as of {as_of}")?;
        }
        Format::Csv => {
            let mut writer = csv::Writer::from_writer(out);
            writer.write_record(names.iter().map(String::as_str).chain(["count"]))?;
            for row in &answer.rows {
                let count = row.count.to_string();
                writer.write_record(row.keys.iter().map(String::as_str).chain([count.as_str()]))?;
            }
            writer.flush()?;
        }
        Format::Json => {
            let rows: Vec<_> = answer.rows.iter().map(|row| json!({ "keys": row.keys, "count": row.count })).collect();
            writeln!(out, "{}", json!({ "dimensions": names, "as_of": as_of, "rows": rows }))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proto::statistics::{QueryCasesResponse, Row};

    use super::{Format, print};

    #[test]
    fn csv_has_a_head_and_one_line_a_row() {
        let rows = vec![Row { keys: vec!["2020-05-13".to_owned()], count: 7 }];
        let answer = QueryCasesResponse { rows, as_of: None, watermark: None };
        let mut out = Vec::new();
        print(&mut out, &["report-date".to_owned()], &answer, Format::Csv).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "report-date,count\n2020-05-13,7\n");
    }
}
