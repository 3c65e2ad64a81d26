//! What requests carry, read and checked.

use access::{Directory, OrganisationId};
use chassis::Error;
use japan::date;
use proto::identity::OrganisationKind as Kind;
use time::Date;

/// A date that may be missing.
pub(crate) fn optional_date(field: &str, value: &str, today: Date) -> Result<Option<Date>, Error> {
    if value.is_empty() {
        return Ok(None);
    }
    match date::parse(value) {
        Ok(date) if date > today => Err(Error::invalid(field, "未来の日付です", "must not be in the future")),
        Ok(date) => Ok(Some(date)),
        Err(_) => Err(Error::invalid(
            field,
            "日付が正しくありません（例: 2020-05-13、R2.5.13）",
            "must be a date such as 2020-05-13 or R2.5.13",
        )),
    }
}

pub(crate) fn required_date(field: &str, value: &str, today: Date) -> Result<Date, Error> {
    optional_date(field, value, today)?.ok_or_else(|| Error::invalid(field, "必須です", "is required"))
}

/// An organisation of the directory, of a fitting kind, that is open on a day.
pub(crate) fn organisation(
    directory: &Directory,
    field: &str,
    id: &str,
    fits: fn(Kind) -> bool,
    day: Date,
) -> Result<OrganisationId, Error> {
    directory.addressee(id, fits, day).map(|entry| entry.id).ok_or_else(|| {
        Error::invalid(
            field,
            "該当する、利用中の機関が登録されていません",
            "must be a registered organisation of a fitting kind that is open",
        )
    })
}
