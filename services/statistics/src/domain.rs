//! What is asked of the facts, and who may ask for which area. No I/O.

use access::Caller;
use japan::date;
use proto::{
    identity::OrganisationKind as Kind,
    registry::{AgeBand, DiagnosisClass, Outcome, Sex},
    statistics::{Dimension, QueryCasesRequest},
};
use runtime::problem::{Text, Violation, text};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

/// Dimensions of one question at most.
pub const DIMENSIONS: usize = 4;
/// Days that are listed one by one, empty ones too, at most.
const MOST_DAYS: i64 = 4_000;

/// The area a caller may see in figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// Everything.
    Nation,
    /// One prefecture.
    Prefecture(u8),
    /// One health centre.
    Centre(Uuid),
}

impl Area {
    /// The area of a caller: the nation sees all, a prefecture itself, a centre its own.
    ///
    /// # Errors
    /// For organisations that have no area.
    pub fn of(caller: &Caller) -> Result<Self, Text> {
        match caller.kind {
            Kind::Ministry => Ok(Self::Nation),
            Kind::InformationCentre if caller.prefecture == 0 => Ok(Self::Nation),
            Kind::HealthCentre => Ok(Self::Centre(caller.organisation_id)),
            _ if caller.prefecture != 0 => Ok(Self::Prefecture(caller.prefecture)),
            _ => Err(text("統計の閲覧範囲がありません。", "Your organisation has no area in the statistics.")),
        }
    }
}

/// A question that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Numbers of the dimensions, 0 where unused.
    pub dimensions: [i32; DIMENSIONS],
    /// How many are used.
    pub used: usize,
    /// The time axis, by number.
    pub axis: i32,
    /// First day.
    pub from: Option<Date>,
    /// Last day.
    pub to: Option<Date>,
    /// Only this prefecture.
    pub prefecture: Option<u8>,
    /// Only this centre.
    pub centre: Option<Uuid>,
    /// Only these classes, by number.
    pub classes: Vec<i16>,
    /// Also days without cases.
    pub every_day: bool,
    /// The moment asked for.
    pub as_of: Option<OffsetDateTime>,
}

impl Question {
    /// Reads a request, inside the area of its caller.
    ///
    /// # Errors
    /// Every field at fault.
    pub fn parse(request: &QueryCasesRequest, area: Area) -> Result<Self, Vec<Violation>> {
        let mut found = Vec::new();
        let mut day = |field: &str, value: &str| match date::parse(value) {
            _ if value.is_empty() => None,
            Ok(date) => Some(date),
            Err(why) => {
                found.push(Violation::new(field, "日付が正しくありません", why));
                None
            }
        };
        let (from, to) = (day("from", &request.from), day("to", &request.to));
        let centre = match request.centre_id.as_str() {
            "" => None,
            text => Uuid::try_parse(text).ok().or_else(|| {
                found.push(Violation::new("centre_id", "UUID を指定してください", "must be a UUID"));
                None
            }),
        };
        let prefecture = u8::try_from(request.prefecture).ok().filter(|p| *p != 0);
        let outside = match area {
            Area::Nation => None,
            Area::Prefecture(own) => prefecture.filter(|asked| *asked != own).map(|_| "prefecture"),
            Area::Centre(own) => centre.filter(|asked| *asked != own).map(|_| "centre_id"),
        };
        if let Some(field) = outside {
            found.push(Violation::new(field, "閲覧できる範囲の外です", "lies outside of your area"));
        }
        let mut dimensions = [0; DIMENSIONS];
        for (slot, asked) in dimensions.iter_mut().zip(&request.dimensions) {
            *slot = *asked;
        }
        let axis = if request.time_axis == 0 { i32::from(Dimension::ReportDate) } else { request.time_axis };
        if request.include_empty_days {
            let days = from.zip(to).map(|(from, to)| (to - from).whole_days());
            if request.dimensions != [axis] {
                found.push(Violation::new(
                    "include_empty_days",
                    "日付だけの集計で指定できます",
                    "needs the time axis as the only dimension",
                ));
            }
            if !days.is_some_and(|days| (0..MOST_DAYS).contains(&days)) {
                found.push(Violation::new(
                    "to",
                    "開始日と終了日を指定してください（4000日以内）",
                    "needs both bounds, at most 4000 days apart",
                ));
            }
        }
        let positive = [DiagnosisClass::Confirmed, DiagnosisClass::AsymptomaticCarrier, DiagnosisClass::Deceased];
        let classes: Vec<i16> = if request.diagnosis_classes.is_empty() {
            positive.iter().filter_map(|class| i16::try_from(i32::from(*class)).ok()).collect()
        } else {
            request.diagnosis_classes.iter().filter_map(|number| i16::try_from(*number).ok()).collect()
        };
        if !found.is_empty() {
            return Err(found);
        }
        let (prefecture, centre) = match area {
            Area::Nation => (prefecture, centre),
            Area::Prefecture(own) => (Some(own), centre),
            Area::Centre(own) => (prefecture, Some(own)),
        };
        Ok(Self {
            dimensions,
            used: request.dimensions.len().min(DIMENSIONS),
            axis,
            from,
            to,
            prefecture,
            centre,
            classes,
            every_day: request.include_empty_days,
            as_of: request.as_of.as_ref().and_then(runtime::clock::from_proto),
        })
    }
}

/// The value of a dimension as the API shows it: a date, a number, or an enum name.
pub fn shown(dimension: i32, key: &str) -> String {
    let number = || key.parse::<i32>().unwrap_or(0);
    match Dimension::try_from(dimension) {
        Ok(Dimension::AgeBand) => AgeBand::try_from(number()).unwrap_or_default().as_str_name().to_owned(),
        Ok(Dimension::Sex) => Sex::try_from(number()).unwrap_or_default().as_str_name().to_owned(),
        Ok(Dimension::Outcome) => Outcome::try_from(number()).unwrap_or_default().as_str_name().to_owned(),
        Ok(Dimension::Prefecture) => number().to_string(),
        _ => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proto::statistics::{Dimension, QueryCasesRequest};
    use uuid::Uuid;

    use super::{Area, Question, shown};

    fn request() -> QueryCasesRequest {
        QueryCasesRequest { dimensions: vec![Dimension::ReportDate.into()], ..QueryCasesRequest::default() }
    }

    fn faults(request: &QueryCasesRequest, area: Area) -> Vec<String> {
        Question::parse(request, area).err().unwrap_or_default().into_iter().map(|v| v.field).collect()
    }

    #[test]
    fn nobody_asks_beyond_the_own_area() {
        let tokyo = QueryCasesRequest { prefecture: 13, ..request() };
        assert_eq!(faults(&tokyo, Area::Prefecture(27)), ["prefecture"]);
        assert_eq!(faults(&tokyo, Area::Nation), Vec::<String>::new());
        let other = QueryCasesRequest { centre_id: Uuid::now_v7().to_string(), ..request() };
        assert_eq!(faults(&other, Area::Centre(Uuid::now_v7())), ["centre_id"]);
        let question = Question::parse(&request(), Area::Prefecture(27)).unwrap_or_else(|_| panic!("refused"));
        assert_eq!(question.prefecture, Some(27));
    }

    #[test]
    fn empty_days_need_bounds() {
        let open = QueryCasesRequest { include_empty_days: true, ..request() };
        assert_eq!(faults(&open, Area::Nation), ["to"]);
        let wrong = QueryCasesRequest { from: "2020-13-01".to_owned(), centre_id: "x".to_owned(), ..request() };
        assert_eq!(faults(&wrong, Area::Nation), ["from", "centre_id"]);
    }

    #[test]
    fn keys_are_shown_as_names() {
        assert_eq!(shown(Dimension::AgeBand.into(), "05"), "AGE_BAND_40S");
        assert_eq!(shown(Dimension::Prefecture.into(), "05"), "5");
        assert_eq!(shown(Dimension::ReportDate.into(), "2020-05-13"), "2020-05-13");
    }
}
