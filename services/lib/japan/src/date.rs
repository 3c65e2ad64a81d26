//! Dates as people write them: ISO or by era.

use time::{Date, Month, macros::date};
use unicode_normalization::UnicodeNormalization as _;

/// An era: its names, the year of its year 1, and the first and last day that can be written in it. Taisho and Showa began on the day
/// of their proclamation, which is written in the era before as well; Heisei and Reiwa began on the day after.
struct Era {
    names: [&'static str; 2],
    year_one: i32,
    first: Date,
    last: Date,
}

const ERAS: [Era; 5] = [
    Era { names: ["令和", "R"], year_one: 2019, first: date!(2019 - 05 - 01), last: date!(9999 - 12 - 31) },
    Era { names: ["平成", "H"], year_one: 1989, first: date!(1989 - 01 - 08), last: date!(2019 - 04 - 30) },
    Era { names: ["昭和", "S"], year_one: 1926, first: date!(1926 - 12 - 25), last: date!(1989 - 01 - 07) },
    Era { names: ["大正", "T"], year_one: 1912, first: date!(1912 - 07 - 30), last: date!(1926 - 12 - 25) },
    // Before 1873 Japan used a lunisolar calendar.
    Era { names: ["明治", "M"], year_one: 1868, first: date!(1873 - 01 - 01), last: date!(1912 - 07 - 30) },
];

/// The first day of the Gregorian calendar in Japan.
pub const EARLIEST: Date = date!(1873 - 01 - 01);

/// Why a text is not a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotADate {
    /// Neither ISO nor era.
    #[error("must be a date such as 2020-05-13 or R2.5.13")]
    Format,
    /// No such day in the calendar.
    #[error("must be a day of the calendar")]
    NoSuchDay,
    /// The day lies outside of the era named.
    #[error("must be a day of that era")]
    OutsideEra,
    /// Before 1873.
    #[error("must not be before 1873-01-01")]
    TooEarly,
}

/// Reads `2020-05-13`, `2020/5/13`, `R2.5.13`, `令和2年5月13日`, `H元.1.8`, also in full-width characters.
///
/// # Errors
/// Says what is wrong with the text.
pub fn parse(text: &str) -> Result<Date, NotADate> {
    let text: String = text.nfkc().filter(|c| !c.is_whitespace()).collect();
    let upper = text.to_uppercase();
    let era = ERAS
        .iter()
        .find_map(|era| era.names.iter().find_map(|name| upper.strip_prefix(name).map(|rest| (era, rest.to_owned()))));
    let (era, rest) = era.map_or((None, text), |(era, rest)| (Some(era), rest));
    let rest = rest.replacen('元', "1", 1).replace(['年', '月', '/', '.'], "-").replace('日', "");
    let mut parts = rest.split('-').map(|part| {
        // `parse` takes a leading plus sign; a date does not.
        if part.bytes().all(|b| b.is_ascii_digit()) { part.parse::<i32>().ok() } else { None }
    });
    let (Some(Some(year)), Some(Some(month)), Some(Some(day)), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(NotADate::Format);
    };
    let year = match era {
        Some(era) if year >= 1 => era.year_one.saturating_add(year - 1),
        Some(_) => return Err(NotADate::NoSuchDay),
        None => year,
    };
    if era.is_none() && year < 1000 {
        return Err(NotADate::Format);
    }
    let month = u8::try_from(month).ok().and_then(|m| Month::try_from(m).ok()).ok_or(NotADate::NoSuchDay)?;
    let day = u8::try_from(day).map_err(|_| NotADate::NoSuchDay)?;
    let date = Date::from_calendar_date(year, month, day).map_err(|_| NotADate::NoSuchDay)?;
    match era {
        Some(era) if !(era.first..=era.last).contains(&date) => Err(NotADate::OutsideEra),
        _ if date < EARLIEST => Err(NotADate::TooEarly),
        _ => Ok(date),
    }
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::{NotADate, parse};

    #[test]
    fn every_usual_way_of_writing_is_understood() {
        for text in ["2020-05-13", "2020/5/13", "R2.5.13", "令和2年5月13日", "令和２年５月１３日", "r2-05-13"]
        {
            assert_eq!(parse(text), Ok(date!(2020 - 05 - 13)), "{text}");
        }
        assert_eq!(parse("H元.1.8"), Ok(date!(1989 - 01 - 08)));
        assert_eq!(parse("昭和63年1月31日"), Ok(date!(1988 - 01 - 31)));
        // A day of change is written in both eras where the new one began on it.
        for (text, day) in [
            ("明治45年7月30日", date!(1912 - 07 - 30)),
            ("大正元年7月30日", date!(1912 - 07 - 30)),
            ("T15.12.25", date!(1926 - 12 - 25)),
            ("S1.12.25", date!(1926 - 12 - 25)),
            ("S64.1.7", date!(1989 - 01 - 07)),
        ] {
            assert_eq!(parse(text), Ok(day), "{text}");
        }
    }

    #[test]
    fn impossible_days_are_named() {
        assert_eq!(parse("2021-02-29"), Err(NotADate::NoSuchDay));
        assert_eq!(parse("2020-13-01"), Err(NotADate::NoSuchDay));
        for text in ["H31.5.1", "S64.1.8", "T15.12.26", "M45.7.31", "T1.7.29"] {
            assert_eq!(parse(text), Err(NotADate::OutsideEra), "{text}");
        }
        assert_eq!(parse("S0.1.1"), Err(NotADate::NoSuchDay));
        assert_eq!(parse("1872-12-31"), Err(NotADate::TooEarly));
    }

    #[test]
    fn nonsense_is_no_date() {
        for text in [
            "",
            "yesterday",
            "2020-05",
            "2020-05-13-1",
            "20-5-13",
            "+2020-05-13",
            "2020--5-13",
            "R.5.1",
            "9999999999-1-1",
        ] {
            assert_eq!(parse(text), Err(NotADate::Format), "{text}");
        }
    }
}
