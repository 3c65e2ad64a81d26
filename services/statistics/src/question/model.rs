//! What is asked of the facts, and how the answer is told.

use std::collections::BTreeMap;

use access::OrganisationId;
use japan::date;
use proto::{
    registry::{AgeBand, DiagnosisClass, Outcome, Sex},
    statistics::{Dimension, QueryCasesRequest, Row},
};
use runtime::problem::Violation;
use time::{Date, OffsetDateTime};

use crate::fact::{Area, POSITIVE, as_of};

/// Days that are listed one by one, empty ones too, at most.
const MOST_DAYS: i64 = 4_000;

/// A question that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// At most four, as the contract says.
    pub dimensions: Vec<Dimension>,
    /// The date that the first and the last day apply to.
    pub axis: Dimension,
    pub from: Option<Date>,
    pub until: Option<Date>,
    pub prefecture: Option<u8>,
    pub centre: Option<OrganisationId>,
    pub classes: Vec<DiagnosisClass>,
    /// First and last day, where also days without cases are listed.
    pub every_day: Option<(Date, Date)>,
    pub as_of: Option<OffsetDateTime>,
    /// Asked from outside of the own jurisdiction by two or more attributes of a person: small cells would show who it is.
    pub is_telling: bool,
}

/// Cells below this are withheld where they are telling.
const SMALL: i64 = 10;

/// Attributes of a person. Days and prefectures are not among them: their figures are published.
const PERSONAL: [Dimension; 4] = [Dimension::AgeBand, Dimension::Sex, Dimension::Centre, Dimension::Outcome];

impl Question {
    /// Reads a request, inside the area of its caller. Every field at fault is named.
    pub(crate) fn parse(request: &QueryCasesRequest, area: Area, is_own: bool) -> Result<Self, Vec<Violation>> {
        let mut found = Vec::new();
        let from = found_in(&mut found, day("from_date", &request.from_date));
        let until = found_in(&mut found, day("until_date", &request.until_date));
        let centre = found_in(&mut found, centre(&request.centre_id));
        let prefecture = u8::try_from(request.prefecture).ok().filter(|asked| *asked != 0);
        found.extend(outside(area, prefecture, centre));
        if from.zip(until).is_some_and(|(from, until)| until < from) && !request.include_empty_days {
            found.push(Violation::new("until_date", "終了日が開始日より前です", "must not be before from_date"));
        }
        let axis = match data::code(request.time_axis) {
            Dimension::Unspecified => Dimension::ReportDate,
            axis => axis,
        };
        let dimensions: Vec<Dimension> = request.dimensions.iter().map(|number| data::code(*number)).collect();
        let every_day = from.zip(until).filter(|_| request.include_empty_days);
        if request.include_empty_days {
            found.extend(empty_days(&dimensions, axis, every_day));
        }
        let as_of = found_in(&mut found, as_of(request.as_of_time.as_ref()));

        if !found.is_empty() {
            return Err(found);
        }
        let classes = match request.diagnosis_classes.as_slice() {
            [] => POSITIVE.to_vec(),
            asked => asked.iter().map(|number| data::code(*number)).collect(),
        };
        let by = |attribute: &&Dimension| {
            dimensions.contains(attribute) || (**attribute == Dimension::Centre && centre.is_some())
        };
        let is_telling = !is_own && PERSONAL.iter().filter(by).count() >= 2;
        let (prefecture, centre) = (area.prefecture().or(prefecture), area.centre().or(centre));
        Ok(Self { dimensions, axis, from, until, prefecture, centre, classes, every_day, as_of, is_telling })
    }
}

/// A figure that shows who it is about is not told.
pub(crate) fn told(mut row: Row, is_telling: bool) -> Row {
    if is_telling && row.count < SMALL {
        (row.count, row.withheld) = (0, true);
    }
    row
}

/// What was read, or `None` and a violation more.
fn found_in<T>(found: &mut Vec<Violation>, read: Result<Option<T>, Violation>) -> Option<T> {
    read.unwrap_or_else(|violation| {
        found.push(violation);
        None
    })
}

fn day(field: &str, value: &str) -> Result<Option<Date>, Violation> {
    if value.is_empty() {
        return Ok(None);
    }
    date::parse(value).map(Some).map_err(|why| Violation::new(field, "日付が正しくありません", why))
}

fn centre(value: &str) -> Result<Option<OrganisationId>, Violation> {
    OrganisationId::optional(value)
        .map_err(|_| Violation::new("centre_id", "UUID を指定してください", "must be a UUID"))
}

/// Nobody asks beyond the own area.
fn outside(area: Area, prefecture: Option<u8>, centre: Option<OrganisationId>) -> Option<Violation> {
    let field = match area {
        Area::Nation => None,
        Area::Prefecture(own) => prefecture.filter(|asked| *asked != own).map(|_| "prefecture"),
        Area::Centre(own) => centre.filter(|asked| *asked != own).map(|_| "centre_id"),
    };
    field.map(|field| Violation::new(field, "閲覧できる範囲の外です", "must be within your area"))
}

/// What keeps days without cases from being listed.
fn empty_days(dimensions: &[Dimension], axis: Dimension, bounds: Option<(Date, Date)>) -> Vec<Violation> {
    let mut found = Vec::new();
    if dimensions != [axis] {
        found.push(Violation::new(
            "include_empty_days",
            "日付だけの集計で指定できます",
            "must go with the time axis as the only dimension",
        ));
    }
    if !bounds.is_some_and(|(from, until)| (0..MOST_DAYS).contains(&(until - from).whole_days())) {
        found.push(Violation::new(
            "until_date",
            "開始日と終了日を指定してください（4000日以内）",
            "must be given together with from_date, at most 4000 days in all",
        ));
    }
    found
}

/// The value of a dimension as the API shows it: a date, a number, or an enum name.
pub(crate) fn shown(dimension: Dimension, key: &str) -> String {
    match (dimension, key.parse::<i32>()) {
        (Dimension::AgeBand, Ok(number)) => data::code::<AgeBand>(number).as_str_name().to_owned(),
        (Dimension::Sex, Ok(number)) => data::code::<Sex>(number).as_str_name().to_owned(),
        (Dimension::Outcome, Ok(number)) => data::code::<Outcome>(number).as_str_name().to_owned(),
        (Dimension::Prefecture, Ok(number)) => number.to_string(),
        _ => key.to_owned(),
    }
}

/// One row for each day, zero where nothing was counted.
pub(crate) fn every_day(rows: &[Row], (from, until): (Date, Date)) -> Vec<Row> {
    let counted: BTreeMap<&str, i64> =
        rows.iter().filter_map(|row| Some((row.keys.first()?.as_str(), row.count))).collect();
    std::iter::successors(Some(from), |day| day.next_day())
        .take_while(|day| *day <= until)
        .map(|day| {
            let key = day.to_string();
            let count = counted.get(key.as_str()).copied().unwrap_or_default();
            Row { keys: vec![key], count, withheld: false }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use access::OrganisationId;
    use proto::{
        Timestamp,
        statistics::{Dimension, QueryCasesRequest, Row},
    };
    use time::macros::date;

    use super::{Question, every_day, shown, told};
    use crate::fact::Area;

    fn request() -> QueryCasesRequest {
        QueryCasesRequest { dimensions: vec![Dimension::ReportDate.into()], ..QueryCasesRequest::default() }
    }

    fn faults(request: &QueryCasesRequest, area: Area) -> Vec<String> {
        Question::parse(request, area, false).err().unwrap_or_default().into_iter().map(|v| v.field).collect()
    }

    #[test]
    fn nobody_asks_beyond_the_own_area() {
        let tokyo = QueryCasesRequest { prefecture: 13, ..request() };
        assert_eq!(faults(&tokyo, Area::Prefecture(27)), ["prefecture"]);
        assert_eq!(faults(&tokyo, Area::Nation), Vec::<String>::new());
        let other = QueryCasesRequest { centre_id: OrganisationId::new().to_string(), ..request() };
        assert_eq!(faults(&other, Area::Centre(OrganisationId::new())), ["centre_id"]);
        let question = Question::parse(&request(), Area::Prefecture(27), false).unwrap_or_else(|_| panic!("refused"));
        assert_eq!(question.prefecture, Some(27));
    }

    #[test]
    fn every_field_at_fault_is_named() {
        let open = QueryCasesRequest { include_empty_days: true, ..request() };
        assert_eq!(faults(&open, Area::Nation), ["until_date"]);
        let wrong = QueryCasesRequest {
            from_date: "2020-13-01".to_owned(),
            until_date: "x".to_owned(),
            centre_id: "x".to_owned(),
            as_of_time: Some(Timestamp { seconds: i64::MAX, nanos: 0 }),
            ..request()
        };
        assert_eq!(faults(&wrong, Area::Nation), ["from_date", "until_date", "centre_id", "as_of_time"]);
    }

    #[test]
    fn empty_days_need_bounds_that_are_not_too_far_apart() {
        let bounds = |from: &str, until: &str| {
            let (from_date, until_date) = (from.to_owned(), until.to_owned());
            faults(&QueryCasesRequest { from_date, until_date, include_empty_days: true, ..request() }, Area::Nation)
        };
        assert!(bounds("2020-05-01", "2020-05-01").is_empty());
        assert!(bounds("2010-01-01", "2020-12-13").is_empty(), "4000 days");
        assert_eq!(bounds("2010-01-01", "2020-12-14"), ["until_date"], "4001 days");
        assert_eq!(bounds("2020-05-02", "2020-05-01"), ["until_date"]);
    }

    #[test]
    fn keys_are_shown_as_names() {
        assert_eq!(shown(Dimension::AgeBand, "05"), "AGE_BAND_40S");
        assert_eq!(shown(Dimension::Prefecture, "05"), "5");
        assert_eq!(shown(Dimension::ReportDate, "2020-05-13"), "2020-05-13");
    }

    #[test]
    fn a_day_without_cases_is_a_row_of_its_own() {
        let counted = [Row { keys: vec!["2020-05-02".to_owned()], count: 3, withheld: false }];
        let days = every_day(&counted, (date!(2020 - 05 - 01), date!(2020 - 05 - 03)));
        assert_eq!(days.iter().map(|row| row.count).collect::<Vec<_>>(), [0, 3, 0]);
        assert_eq!(days.last().map(|row| row.keys.as_slice()), Some(&["2020-05-03".to_owned()][..]));
    }

    #[test]
    fn two_attributes_of_a_person_are_telling_outside_of_the_own_jurisdiction() {
        let by = |dimensions: &[Dimension], centre_id: &str, is_own| {
            let request = QueryCasesRequest {
                dimensions: dimensions.iter().map(|dimension| i32::from(*dimension)).collect(),
                centre_id: centre_id.to_owned(),
                ..QueryCasesRequest::default()
            };
            Question::parse(&request, Area::Nation, is_own).unwrap_or_else(|_| panic!("refused")).is_telling
        };
        let centre = OrganisationId::new().to_string();
        assert!(!by(&[Dimension::Prefecture, Dimension::ReportDate], "", false));
        assert!(!by(&[Dimension::Prefecture, Dimension::ReportDate, Dimension::AgeBand], "", false));
        assert!(by(&[Dimension::Sex, Dimension::AgeBand], "", false));
        assert!(by(&[Dimension::Sex, Dimension::ReportDate], &centre, false), "a centre asked for is one of them");
        assert!(!by(&[Dimension::Sex, Dimension::AgeBand], "", true));

        let row = |count| Row { keys: Vec::new(), count, withheld: false };
        let withheld = |count| told(row(count), true);
        assert_eq!((withheld(9).count, withheld(9).withheld), (0, true));
        assert_eq!((withheld(10).count, withheld(10).withheld), (10, false));
        assert_eq!(told(row(1), false).count, 1);
    }
}
