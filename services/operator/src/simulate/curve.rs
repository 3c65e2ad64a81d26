//! New cases a day, from a file of open data.

use std::io::Read;

use anyhow::{Context as _, bail};
use time::{Date, Month};

/// New cases of each day.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve(Vec<(Date, f64)>);

impl Curve {
    /// Reads a CSV whose first two columns are a date (`2022/1/31` or `2022-01-31`) and a number of new cases, as the ministry's
    /// open data has them. Days outside of `from..=to` are left out.
    ///
    /// # Errors
    /// Names the line and the rule.
    pub fn read(input: impl Read, from: Option<Date>, to: Option<Date>) -> anyhow::Result<Self> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(input);
        let mut days: Vec<(Date, f64)> = Vec::new();
        for (index, row) in reader.records().enumerate() {
            let line = index + 2;
            let row = row.with_context(|| format!("line {line}"))?;
            let date = row.get(0).and_then(date).with_context(|| format!("line {line}: must begin with a date"))?;
            let cases: f64 = row
                .get(1)
                .unwrap_or_default()
                .trim()
                .parse()
                .with_context(|| format!("line {line}: the second column must be a number"))?;
            if !cases.is_finite() || cases < 0.0 {
                bail!("line {line}: the second column must be 0 or more");
            }
            if days.last().is_some_and(|(before, _)| *before >= date) {
                bail!("line {line}: days must rise");
            }
            if from.is_none_or(|from| date >= from) && to.is_none_or(|to| date <= to) {
                days.push((date, cases));
            }
        }
        if days.is_empty() {
            bail!("there is no day in it");
        }
        Ok(Self(days))
    }

    /// The same curve so many times as high.
    #[must_use]
    pub fn times(self, times: f64) -> Self {
        Self(self.0.into_iter().map(|(date, cases)| (date, cases * times)).collect())
    }

    /// The days, each with its place.
    pub fn days(&self) -> impl Iterator<Item = (usize, Date)> {
        self.0.iter().enumerate().map(|(place, (date, _))| (place, *date))
    }

    /// New cases of a day by its place.
    pub fn cases(&self, place: usize) -> Option<f64> {
        self.0.get(place).map(|(_, cases)| *cases)
    }
}

/// A date as open data writes it.
pub fn date(text: &str) -> Option<Date> {
    let mut parts = text.trim().trim_start_matches('\u{feff}').split(['/', '-']);
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::Curve;

    #[test]
    fn open_data_is_read_and_nonsense_is_named_by_its_line() {
        let text = "\u{feff}Date,ALL,Hokkaido\n2022/1/1,466,24\n2022/1/2,500,9\n2022-01-03,700\n";
        let curve = Curve::read(text.as_bytes(), Some(date!(2022 - 01 - 02)), None).unwrap();
        assert_eq!(
            curve.days().map(|(_, day)| day).collect::<Vec<_>>(),
            [date!(2022 - 01 - 02), date!(2022 - 01 - 03)]
        );
        assert_eq!((curve.cases(1), curve.cases(2)), (Some(700.0), None));
        let refused = |text: &str| format!("{:#}", Curve::read(text.as_bytes(), None, None).unwrap_err());
        assert!(refused("a,b\n2022/13/1,1\n").starts_with("line 2: must begin with a date"));
        assert!(refused("a,b\n2022/1/1,many\n").starts_with("line 2: the second column must be a number"));
        assert!(refused("a,b\n2022/1/1,-1\n").contains("must be 0 or more"));
        assert!(refused("a,b\n2022/1/2,1\n2022/1/1,1\n").contains("days must rise"));
        assert!(refused("a,b\n").contains("no day"));
    }
}
