//! A person's age on a given day.

use time::Date;

/// Completed years on a day; `None` before birth. Somebody born on 29 February is a year older on 1 March in common
/// years.
pub fn on(day: Date, born: Date) -> Option<u8> {
    let had_birthday = (u8::from(day.month()), day.day()) >= (u8::from(born.month()), born.day());
    let years = day.year() - born.year() - i32::from(!had_birthday);
    u8::try_from(years).ok()
}

/// Completed months on a day; `None` before birth.
pub fn months(day: Date, born: Date) -> Option<u16> {
    let of = |date: Date| date.year() * 12 + i32::from(u8::from(date.month()));
    let months = of(day) - of(born) - i32::from(day.day() < born.day());
    u16::try_from(months).ok()
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::{months, on};

    #[test]
    fn a_birthday_adds_a_year() {
        let born = date!(1980 - 06 - 15);
        assert_eq!(on(date!(2020 - 06 - 14), born), Some(39));
        assert_eq!(on(date!(2020 - 06 - 15), born), Some(40));
        assert_eq!(on(date!(1979 - 01 - 01), born), None);
    }

    #[test]
    fn an_infant_counts_by_completed_months() {
        let born = date!(2020 - 01 - 31);
        assert_eq!(months(date!(2020 - 01 - 31), born), Some(0));
        assert_eq!(months(date!(2020 - 02 - 29), born), Some(0));
        assert_eq!(months(date!(2020 - 03 - 01), born), Some(1));
        assert_eq!(months(date!(2021 - 01 - 30), born), Some(11));
        assert_eq!(months(date!(2021 - 01 - 31), born), Some(12));
        assert_eq!(months(date!(2020 - 01 - 30), born), None);
    }
}
