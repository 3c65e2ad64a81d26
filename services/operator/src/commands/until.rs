//! When something ends, as people say it.

use runtime::clock::JAPAN;
use time::{
    Duration, OffsetDateTime, PrimitiveDateTime, format_description::well_known::Rfc3339, macros::format_description,
};

/// A span from now (`90m`, `2h`, `1d`), a moment in Japan (`2022-02-01T06:00`), or a moment with its offset. It must be to come.
pub(super) fn parse(text: &str, now: OffsetDateTime) -> Result<OffsetDateTime, String> {
    let at = span(text).map(|span| now + span).or_else(|| moment(text));
    let at = at.ok_or_else(|| format!("`{text}` must be like 2h, 90m, 1d or 2022-02-01T06:00 (Japan)"))?;
    if at <= now {
        return Err(format!("`{text}` must be to come"));
    }
    Ok(at)
}

fn span(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u32 = number.parse().ok().filter(|number| *number <= 100_000)?;
    match unit {
        "m" => Some(Duration::minutes(number.into())),
        "h" => Some(Duration::hours(number.into())),
        "d" => Some(Duration::days(number.into())),
        _ => None,
    }
}

fn moment(text: &str) -> Option<OffsetDateTime> {
    let local = format_description!("[year]-[month]-[day]T[hour]:[minute]");
    let in_japan = || PrimitiveDateTime::parse(text, local).ok().map(|at| at.assume_offset(JAPAN));
    OffsetDateTime::parse(text, &Rfc3339).ok().or_else(in_japan)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::parse;

    #[test]
    fn an_end_is_a_span_or_a_moment_to_come() {
        let now = datetime!(2022-02-01 00:00 UTC);
        assert_eq!(parse("90m", now), Ok(datetime!(2022-02-01 01:30 UTC)));
        assert_eq!(parse("1d", now), Ok(datetime!(2022-02-02 00:00 UTC)));
        assert_eq!(parse("2022-02-01T12:00", now), Ok(datetime!(2022-02-01 12:00 +9)));
        assert_eq!(parse("2022-02-01T12:00:00Z", now), Ok(datetime!(2022-02-01 12:00 UTC)));
        for past in ["2022-02-01T09:00", "0h"] {
            assert!(parse(past, now).unwrap_err().contains("to come"), "{past}");
        }
        for nonsense in ["", "h", "-1h", "tomorrow", "2022-02-30T06:00", "999999999d", "１h"] {
            assert!(parse(nonsense, now).unwrap_err().contains("must be like"), "{nonsense}");
        }
    }
}
