use access::{CaseId, OrganisationId};
use proto::registry::{
    AgeBand, Authority, Channel, DayKind, DiagnosisClass, Outcome, Placement, Severity, Sex, Specimen, TestMethod,
    TestResult,
};
use time::{Date, Duration, OffsetDateTime, Time, macros::date};
use uuid::Uuid;

use super::Course;
use crate::{
    course::{ClinicalState, Stay, Test},
    fact::{Content, Fact, FactId, Report, Slot, Source},
};

const FIRST: Date = date!(2020 - 05 - 01);

pub(super) fn may(day: u8) -> Date {
    FIRST + Duration::days(i64::from(day) - 1)
}

pub(super) fn centre(number: u8) -> OrganisationId {
    Uuid::from_u128(u128::from(number)).into()
}

/// The n-th record, by a reporter.
pub(super) fn fact(number: u128, content: Content) -> Fact {
    let id = FactId::from(Uuid::from_u128(number + 1));
    Fact {
        id,
        case_id: CaseId::NIL,
        subject: id,
        content: Some(content),
        authority: Authority::Reporter,
        recorded_at: OffsetDateTime::UNIX_EPOCH,
        organisation: None,
        user: None,
        on_behalf_of: None,
        channel: Channel::Unspecified,
        told_at: None,
        source: Source::Record,
        reason: None,
    }
}

pub(super) fn by(authority: Authority, fact: Fact) -> Fact {
    Fact { authority, ..fact }
}

/// A record about the same thing as another.
pub(super) fn instead(number: u128, of: &Fact, content: Option<Content>) -> Fact {
    Fact { subject: of.subject, content, ..fact(number, Content::Day(DayKind::Onset, FIRST)) }
}

fn test(result: TestResult, day: u8) -> Content {
    Content::Test(Test {
        method: TestMethod::NucleicAcid,
        specimen: Specimen::Saliva,
        result,
        sampled_on: Some(may(day)),
        result_on: None,
        expected_on: None,
        facility_id: None,
        administrative: None,
    })
}

fn stay(placement: Placement, day: u8) -> Content {
    Content::Stay(Stay { placement, since: may(day), since_time: None, facility_id: None })
}

fn report(class: DiagnosisClass, day: u8) -> Content {
    Content::Report(Report { class, on: may(day), centre: centre(day), prefecture: day })
}

/// What facts say, in the order they are given and the other way round.
fn course(facts: &[Fact]) -> Course {
    let forth = Course::of(facts);
    assert!(forth == Course::of(facts.iter().rev()), "the order they came in does not matter");
    forth
}

#[test]
fn the_first_positive_report_is_the_day_a_case_counts_on() {
    let suspected = fact(1, report(DiagnosisClass::Suspected, 1));
    let carrier = fact(2, report(DiagnosisClass::AsymptomaticCarrier, 3));
    let confirmed = fact(3, report(DiagnosisClass::Confirmed, 6));
    let corpse = fact(4, report(DiagnosisClass::Deceased, 9));
    for (facts, class, day) in [
        (vec![suspected.clone()], DiagnosisClass::Suspected, 1),
        (vec![suspected.clone(), carrier.clone()], DiagnosisClass::AsymptomaticCarrier, 3),
        (vec![suspected.clone(), carrier.clone(), confirmed.clone()], DiagnosisClass::Confirmed, 3),
        (vec![suspected, carrier, confirmed, corpse], DiagnosisClass::Deceased, 3),
    ] {
        let course = course(&facts);
        assert_eq!((course.diagnosis_class, course.report_date), (class, Some(may(day))));
        assert_eq!(course.received, Some((centre(day), day)), "counted where that report was received");
    }
}

#[test]
fn the_first_positive_sample_is_day_zero_and_the_latest_result_counts() {
    let told =
        [(TestResult::Negative, 1), (TestResult::Positive, 12), (TestResult::Positive, 8), (TestResult::Pending, 14)];
    let facts: Vec<Fact> =
        told.iter().enumerate().map(|(n, (result, day))| fact(n as u128, test(*result, *day))).collect();
    let course = course(&facts);
    assert_eq!((course.test_date, course.test_result, course.test_count), (Some(may(8)), TestResult::Positive, 4));
    assert_eq!(course.day_zero(), Some(may(8)));
    let onset = [facts, vec![fact(9, Content::Day(DayKind::Onset, may(5)))]].concat();
    assert_eq!(self::course(&onset).day_zero(), Some(may(5)));
    let negative = self::course(&[fact(1, test(TestResult::Negative, 1))]);
    assert_eq!((negative.test_date, negative.day_zero()), (Some(may(1)), None), "nobody is ill by a negative test");
}

#[test]
fn negative_samples_count_in_a_row_by_the_day_of_sampling() {
    use TestResult::{Indeterminate, Negative, Pending, Positive};
    for (told, last, before) in [
        (vec![(Negative, 7), (Pending, 8), (Negative, 9)], Some(9), Some(7)),
        (vec![(Negative, 7), (Negative, 8), (Positive, 9)], None, None),
        (vec![(Positive, 9), (Negative, 12), (Negative, 11)], Some(12), Some(11)),
        (vec![(Positive, 9), (Negative, 3)], None, None),
        (vec![(Negative, 7), (Indeterminate, 8), (Negative, 9)], Some(9), None),
        (vec![(Negative, 7), (Negative, 7)], Some(7), None),
    ] {
        let facts: Vec<Fact> =
            told.iter().enumerate().map(|(n, (result, day))| fact(n as u128, test(*result, *day))).collect();
        let course = course(&facts);
        assert_eq!((course.negative_on, course.negative_before_on), (last.map(may), before.map(may)));
    }
}

#[test]
fn a_test_under_way_and_its_result_are_one_and_a_form_repeats_what_the_site_recorded() {
    let other = |change: fn(&mut Test)| {
        let Content::Test(mut test) = test(TestResult::Positive, 3) else { panic!("a test") };
        change(&mut test);
        Content::Test(test)
    };
    for (second, count) in [
        (test(TestResult::Positive, 3), 1),
        (other(|test| test.specimen = Specimen::Unspecified), 1),
        (other(|test| test.result_on = Some(may(4))), 1),
        (other(|test| test.specimen = Specimen::NasalSwab), 2),
        (other(|test| test.method = TestMethod::AntigenQualitative), 2),
        (other(|test| test.sampled_on = Some(may(4))), 2),
        (other(|test| test.sampled_on = None), 2),
    ] {
        let pending = course(&[fact(1, test(TestResult::Pending, 3)), fact(2, second.clone())]);
        assert_eq!((pending.test_count, pending.test_result), (count, TestResult::Positive));
        assert_eq!(course(&[fact(1, test(TestResult::Positive, 3)), fact(2, second)]).test_count, count);
    }
    let contradiction = [fact(1, test(TestResult::Positive, 3)), fact(2, test(TestResult::Negative, 3))];
    let course = course(&contradiction);
    assert_eq!(
        (course.test_count, course.test_result),
        (2, TestResult::Positive),
        "of one day, the positive one counts"
    );
}

#[test]
fn the_latest_day_is_where_the_person_is_and_of_one_day_the_weightier_word() {
    use Placement::{Home, Hospital, Lodging};
    let facts = [fact(1, stay(Hospital, 24)), fact(2, stay(Home, 21))];
    assert_eq!(course(&facts).placement, Hospital);
    let centre = by(Authority::ResponsibleCentre, fact(1, stay(Lodging, 24)));
    let course = course(&[centre, fact(2, stay(Home, 24))]);
    assert_eq!((course.placement, course.placement_since), (Lodging, Some(may(24))));
    let at = |number, hour, placement| {
        let since_time = Some(Time::from_hms(hour, 0, 0).unwrap());
        fact(number, Content::Stay(Stay { placement, since: may(24), since_time, facility_id: None }))
    };
    assert_eq!(self::course(&[at(1, 15, Home), at(2, 9, Hospital)]).placement, Home, "and where known, the hour");
}

#[test]
fn how_ill_somebody_is_is_said_by_the_latest_day() {
    let ill = |severity, day, ventilator| {
        Content::State(ClinicalState { on: may(day), severity, icu: ventilator, ventilator, ecmo: false })
    };
    let facts = [fact(1, ill(Severity::Severe, 5, true)), fact(2, ill(Severity::Mild, 3, false))];
    let severe = course(&facts);
    assert_eq!((severe.severity, severe.icu, severe.ventilated), (Severity::Severe, true, true));
    let better = course(&[facts.to_vec(), vec![fact(3, ill(Severity::ModerateI, 9, false))]].concat());
    assert_eq!((better.severity, better.icu, better.ventilated), (Severity::ModerateI, false, true), "it was so once");
}

#[test]
fn death_is_death_and_knowing_the_day_is_knowing_more() {
    let ending = |number, outcome, day: Option<u8>| fact(number, Content::Ending(outcome, day.map(may)));
    let released = ending(1, Outcome::Released, Some(20));
    let died = by(Authority::Import, ending(2, Outcome::Died, None));
    let dated = ending(3, Outcome::Died, Some(18));
    for (facts, outcome, day) in [
        (vec![released.clone()], Outcome::Released, Some(20)),
        (vec![released.clone(), died.clone()], Outcome::Died, None),
        (vec![released.clone(), died.clone(), dated.clone()], Outcome::Died, Some(18)),
        (vec![dated.clone(), instead(4, &dated, None), released.clone()], Outcome::Released, Some(20)),
        (vec![dated.clone(), instead(4, &dated, None)], Outcome::Unspecified, None),
    ] {
        let course = course(&facts);
        assert_eq!((course.outcome, course.outcome_date), (outcome, day.map(may)));
    }
}

#[test]
fn knowing_less_overwrites_nothing() {
    let said = |number, sex, band, born| fact(number, Content::Description(sex, band, born));
    let born = by(Authority::Import, said(1, Sex::Female, AgeBand::AgeBand30s, true));
    let stated = said(2, Sex::Unknown, AgeBand::AgeBand40s, false);
    let unknown = by(Authority::ResponsibleCentre, said(3, Sex::Unspecified, AgeBand::Unknown, false));
    let all = course(&[born, stated.clone(), unknown.clone()]);
    assert_eq!((all.sex, all.age_band), (Sex::Female, AgeBand::AgeBand30s));
    assert_eq!(course(&[stated, unknown]).age_band, AgeBand::AgeBand40s);
}

#[test]
fn a_correction_outranks_its_source_and_a_lower_word_does_not_outrank_it() {
    let onset = |day| Content::Day(DayKind::Onset, may(day));
    let filed = fact(1, onset(3));
    let corrected = by(Authority::ResponsibleCentre, instead(2, &filed, Some(onset(5))));
    let amended = instead(3, &filed, Some(onset(4)));
    assert_eq!(course(&[filed.clone(), amended.clone()]).onset_date, Some(may(4)));
    assert_eq!(course(&[filed.clone(), corrected.clone(), amended]).onset_date, Some(may(5)));
    let withdrawn = by(Authority::ResponsibleCentre, instead(4, &filed, None));
    assert_eq!(course(&[filed, corrected, withdrawn]).onset_date, None);
}

#[test]
fn an_episode_of_which_nothing_is_left_was_an_error() {
    let source = Source::Notification { id: Uuid::nil().into(), version: 1, slot: Slot::REPORT };
    let filed = Fact { source, ..fact(1, report(DiagnosisClass::Confirmed, 3)) };
    let withdrawn = Fact { source, ..instead(2, &filed, None) };
    assert_eq!(course(&[filed.clone(), withdrawn.clone()]).outcome, Outcome::EnteredInError);
    let tested = fact(3, test(TestResult::Negative, 1));
    assert_eq!(course(&[filed, withdrawn, tested]).outcome, Outcome::Unspecified, "somebody knows something else");
    assert_eq!(course(&[]).outcome, Outcome::Unspecified);
}
