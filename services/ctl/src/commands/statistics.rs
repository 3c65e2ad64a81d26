//! Figures without names, as a table, as CSV, or as JSON.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use client::Client;
use proto::statistics::{Dimension, QueryCasesRequest, QueryCasesResponse, Row};
use runtime::clock;
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::failure::Usage;

#[derive(Args)]
pub(crate) struct Statistics {
    /// Count by these, in this order.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "report-date")]
    by: Vec<By>,
    /// First report date.
    #[arg(long, default_value = "")]
    from: String,
    /// Last report date.
    #[arg(long, default_value = "")]
    to: String,
    /// Only this prefecture.
    #[arg(long, default_value_t = 0)]
    prefecture: i32,
    /// As known at this moment (RFC 3339).
    #[arg(long)]
    as_of: Option<String>,
    /// Also days without cases.
    #[arg(long)]
    every_day: bool,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum By {
    ReportDate,
    OnsetDate,
    TestDate,
    Prefecture,
    Centre,
    AgeBand,
    Sex,
    Outcome,
}

pub(crate) async fn query(client: &Client, args: &Statistics) -> anyhow::Result<()> {
    let dimensions: Vec<Dimension> = args.by.iter().copied().map(dimension).collect();
    let as_of_time = match &args.as_of {
        None => None,
        Some(text) => {
            let at = OffsetDateTime::parse(text, &Rfc3339);
            Some(clock::to_proto(
                at.map_err(|_| Usage("--as-of must be a moment, such as 2020-06-01T12:00:00Z".to_owned()))?,
            ))
        }
    };
    let request = QueryCasesRequest {
        dimensions: dimensions.iter().map(|d| i32::from(*d)).collect(),
        from_date: args.from.clone(),
        until_date: args.to.clone(),
        prefecture: args.prefecture,
        as_of_time,
        include_empty_days: args.every_day,
        ..QueryCasesRequest::default()
    };
    let answer = client.statistics().query_cases(client.request(request)).await?.into_inner();
    let names: Vec<String> =
        args.by.iter().filter_map(ValueEnum::to_possible_value).map(|value| value.get_name().to_owned()).collect();
    print(&mut io::stdout().lock(), &names, &answer, args.format)
}

fn dimension(by: By) -> Dimension {
    match by {
        By::ReportDate => Dimension::ReportDate,
        By::OnsetDate => Dimension::OnsetDate,
        By::TestDate => Dimension::TestDate,
        By::Prefecture => Dimension::Prefecture,
        By::Centre => Dimension::Centre,
        By::AgeBand => Dimension::AgeBand,
        By::Sex => Dimension::Sex,
        By::Outcome => Dimension::Outcome,
    }
}

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

/// A figure, or that it is too small to be told.
fn told(row: &Row) -> String {
    if row.withheld { "<10".to_owned() } else { row.count.to_string() }
}

/// Prints an answer under the names of its dimensions.
fn print(out: &mut impl Write, names: &[String], answer: &QueryCasesResponse, format: Format) -> anyhow::Result<()> {
    let as_of = answer.as_of_time.as_ref().and_then(clock::from_proto).map(|at| at.format(&Rfc3339)).transpose()?;
    let as_of = as_of.unwrap_or_default();
    match format {
        Format::Table => {
            for row in &answer.rows {
                for (key, name) in row.keys.iter().zip(names) {
                    write!(out, "{key:<width$}  ", width = name.len().max(12))?;
                }
                writeln!(out, "{:>9}", told(row))?;
            }
            let total: i64 = answer.rows.iter().map(|row| row.count).sum();
            writeln!(out, "total {total}, as of {as_of}")?;
        }
        Format::Csv => {
            let mut writer = csv::Writer::from_writer(out);
            writer.write_record(names.iter().map(String::as_str).chain(["count"]))?;
            for row in &answer.rows {
                let count = told(row);
                writer.write_record(row.keys.iter().map(String::as_str).chain([count.as_str()]))?;
            }
            writer.flush()?;
        }
        Format::Json => {
            let rows: Vec<_> = answer
                .rows
                .iter()
                .map(|row| json!({ "keys": row.keys, "count": row.count, "withheld": row.withheld }))
                .collect();
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
        let row = |day: &str, count, withheld| Row { keys: vec![day.to_owned()], count, withheld };
        let rows = vec![row("2020-05-13", 7, false), row("2020-05-14", 0, true)];
        let answer = QueryCasesResponse { rows, as_of_time: None, watermark_time: None };
        let mut out = Vec::new();
        print(&mut out, &["report-date".to_owned()], &answer, Format::Csv).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "report-date,count\n2020-05-13,7\n2020-05-14,<10\n");
    }
}
