//! A person's age on a given day.

use time::Date;

/// Completed years on a day; `None` before birth. Somebody born on 29 February is a year older on 1 March in common
/// years.
pub fn on(day: Date, born: Date) -> Option<u8> {
    let had_birthday = (u8::from(day.month()), day.day()) >= (u8::from(born.month()), born.day());
    let years = day.year() - born.year() - i32::from(!had_birthday);
    u8::try_from(years).ok()
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::on;

    #[test]
    fn a_birthday_adds_a_year() {
        let born = date!(1980 - 06 - 15);
        assert_eq!(on(date!(2020 - 06 - 14), born), Some(39));
        assert_eq!(on(date!(2020 - 06 - 15), born), Some(40));
        assert_eq!(on(date!(1979 - 01 - 01), born), None);
    }
}
