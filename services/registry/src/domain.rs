//! Cases and the rules by which they change. No I/O.

use japan::{age, name};
use proto::registry::{
    AdmissionNecessity, AgeBand, CaseChanged, CaseRole, DiagnosisClass, Outcome, Person, Placement, Relation, Severity,
    Sex, Specimen, TestMethod, TestResult,
};
use runtime::problem::{Text, text};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

runtime::id!(
    /// A person.
    PersonId
);
runtime::id!(
    /// An episode of illness of one person.
    CaseId
);

/// An episode: its coded facts and its version.
#[expect(clippy::struct_excessive_bools, reason = "the yes and no of the ward's own form")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The case.
    pub id: CaseId,
    /// The person.
    pub person_id: PersonId,
    /// From 1; every change adds one.
    pub version: i64,
    /// The patient access ID, sealed.
    pub access_sealed: Vec<u8>,
    /// Its blind index.
    pub access_hash: Vec<u8>,
    /// Sex.
    pub sex: Sex,
    /// Age band at diagnosis.
    pub age_band: AgeBand,
    /// The class of the diagnosis, once notified.
    pub diagnosis_class: DiagnosisClass,
    /// 報告年月日.
    pub report_date: Option<Date>,
    /// 発病年月日.
    pub onset_date: Option<Date>,
    /// 診断年月日.
    pub diagnosis_date: Option<Date>,
    /// The first positive sampling day, else the first.
    pub test_date: Option<Date>,
    /// The latest result.
    pub test_result: TestResult,
    /// Tests so far.
    pub test_count: i32,
    /// Where the person is cared for.
    pub placement: Placement,
    /// Since when.
    pub placement_since: Option<Date>,
    /// How the episode ended.
    pub outcome: Outcome,
    /// When.
    pub outcome_date: Option<Date>,
    /// 届出を受理した保健所.
    pub receiving_centre: Option<Uuid>,
    /// 所在地を管轄する保健所.
    pub responsible_centre: Option<Uuid>,
    /// The prefecture of the centre.
    pub prefecture: u8,
    /// Why the person is in the registry.
    pub role: CaseRole,
    /// 濃厚接触者: the case the person was in contact with.
    pub index_case_id: Option<Uuid>,
    /// 最終接触日.
    pub last_contact_on: Option<Date>,
    /// 重症度, latest.
    pub severity: Severity,
    /// In intensive care.
    pub icu: bool,
    /// On a ventilator.
    pub ventilator: bool,
    /// On ECMO.
    pub ecmo: bool,
    /// 入院の要否.
    pub admission_necessity: AdmissionNecessity,
    /// The hospital or lodging.
    pub facility_id: Option<Uuid>,
    /// The institution the person was referred to.
    pub referred_to: Option<Uuid>,
    /// The latest negative sample since the last other result.
    pub negative_on: Option<Date>,
    /// The one before it, on an earlier day or the same.
    pub negative_before_on: Option<Date>,
    /// Was on a ventilator or on ECMO at any time.
    pub ventilated: bool,
    /// When it was opened.
    pub created_at: OffsetDateTime,
    /// When it last changed.
    pub updated_at: OffsetDateTime,
}

/// One test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// How it was tested.
    pub method: TestMethod,
    /// What was tested.
    pub specimen: Specimen,
    /// What came out.
    pub result: TestResult,
    /// 検体採取日.
    pub sampled_on: Option<Date>,
}

/// Where a person is cared for from a day on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    /// The kind of place.
    pub placement: Placement,
    /// From this day.
    pub since: Date,
    /// The hospital or lodging.
    pub facility_id: Option<Uuid>,
}

/// How ill a person is on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClinicalState {
    /// The day.
    pub on: Date,
    /// 重症度.
    pub severity: Severity,
    /// In intensive care.
    pub icu: bool,
    /// On a ventilator.
    pub ventilator: bool,
    /// On ECMO.
    pub ecmo: bool,
}

/// What a filed notification says about a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notified {
    /// Item 1.
    pub diagnosis_class: DiagnosisClass,
    /// 報告年月日.
    pub report_date: Date,
    /// Item 16.
    pub onset_date: Option<Date>,
    /// Item 14.
    pub diagnosis_date: Option<Date>,
    /// Item 17.
    pub died_on: Option<Date>,
    /// Item 3.
    pub sex: Sex,
    /// Item 5.
    pub age_band: AgeBand,
    /// Whose inbox it reached.
    pub receiving_centre: Uuid,
    /// That centre's prefecture.
    pub prefecture: u8,
}

impl Case {
    /// An episode about which nothing is known yet. Its first [`step`](Self::step) makes it version 1.
    pub fn opened(id: CaseId, person_id: PersonId, access: (Vec<u8>, Vec<u8>), now: OffsetDateTime) -> Self {
        let (access_sealed, access_hash) = access;
        Self {
            id,
            person_id,
            version: 0,
            access_sealed,
            access_hash,
            sex: Sex::Unspecified,
            age_band: AgeBand::Unspecified,
            diagnosis_class: DiagnosisClass::Unspecified,
            report_date: None,
            onset_date: None,
            diagnosis_date: None,
            test_date: None,
            test_result: TestResult::Unspecified,
            test_count: 0,
            placement: Placement::Unspecified,
            placement_since: None,
            outcome: Outcome::Unspecified,
            outcome_date: None,
            receiving_centre: None,
            responsible_centre: None,
            prefecture: 0,
            role: CaseRole::Patient,
            index_case_id: None,
            last_contact_on: None,
            severity: Severity::Unspecified,
            icu: false,
            ventilator: false,
            ecmo: false,
            admission_necessity: AdmissionNecessity::Unspecified,
            facility_id: None,
            referred_to: None,
            negative_on: None,
            negative_before_on: None,
            ventilated: false,
            created_at: now,
            updated_at: now,
        }
    }

    /// Whether the episode goes on.
    pub fn is_open(&self) -> bool {
        self.outcome == Outcome::Unspecified
    }

    /// A newer version, changed now.
    pub fn step(&mut self, now: OffsetDateTime) {
        self.version += 1;
        self.updated_at = now.max(self.updated_at);
    }

    /// Takes a test into account. The day of the first positive sample is the case's test date.
    pub fn take_test(&mut self, test: &Test) {
        // What was sampled before the day of the first positive sample says nothing against it, whenever it is recorded.
        let before = |day: Option<Date>| day.zip(self.test_date).is_some_and(|(day, positive)| day < positive);
        if self.test_result == TestResult::Positive && test.result == TestResult::Negative && before(test.sampled_on) {
            self.test_count += 1;
            return;
        }
        let first_positive = test.result == TestResult::Positive && self.test_result != TestResult::Positive;
        if self.test_date.is_none() || first_positive {
            self.test_date = test.sampled_on.or(self.test_date);
        }
        if test.result != TestResult::Pending || self.test_result == TestResult::Unspecified {
            self.test_result = test.result;
        }
        match test.result {
            TestResult::Negative => {
                // By the day of sampling, in whatever order they are recorded.
                let mut days: Vec<Date> =
                    [self.negative_on, self.negative_before_on, test.sampled_on].into_iter().flatten().collect();
                days.sort_unstable_by(|one, other| other.cmp(one));
                (self.negative_on, self.negative_before_on) = (days.first().copied(), days.get(1).copied());
            }
            TestResult::Pending => {}
            _ => (self.negative_on, self.negative_before_on) = (None, None),
        }
        self.test_count += 1;
    }

    /// The person is cared for somewhere else from a day on.
    pub fn place(&mut self, stay: &Stay) {
        self.placement = stay.placement;
        self.placement_since = Some(stay.since);
        self.facility_id = stay.facility_id;
    }

    /// Takes into account how ill the person is. A day that was reported later than a newer one is history only.
    ///
    /// # Errors
    /// Where the state contradicts itself.
    pub fn take_state(&mut self, state: &ClinicalState, latest: Option<Date>) -> Result<(), Text> {
        let supported = state.icu || state.ventilator || state.ecmo;
        if supported && state.severity != Severity::Severe {
            return Err(text(
                "ICU・人工呼吸器・ECMO の患者の重症度は「重症」です。",
                "A patient in intensive care, on a ventilator or on ECMO is severe.",
            ));
        }
        self.ventilated |= state.ventilator || state.ecmo;
        if latest.is_none_or(|latest| latest <= state.on) {
            self.severity = state.severity;
            (self.icu, self.ventilator, self.ecmo) = (state.icu, state.ventilator, state.ecmo);
        }
        Ok(())
    }

    /// Takes a notification into account. The first report stays the day of the report; a later confirmation raises the class.
    pub fn take_notification(&mut self, notified: &Notified) {
        let raises = rank(notified.diagnosis_class) > rank(self.diagnosis_class);
        if raises || self.report_date.is_none() {
            // A case is counted on the day it was first reported as what it is now.
            self.report_date = Some(notified.report_date);
            self.diagnosis_class = notified.diagnosis_class;
        }
        self.onset_date = notified.onset_date.or(self.onset_date);
        self.diagnosis_date = notified.diagnosis_date.or(self.diagnosis_date);
        if notified.sex != Sex::Unspecified {
            self.sex = notified.sex;
        }
        if notified.age_band != AgeBand::Unspecified {
            self.age_band = notified.age_band;
        }
        if let Some(died_on) = notified.died_on {
            self.outcome = Outcome::Died;
            self.outcome_date = Some(died_on);
        }
        // Centre and prefecture of the count go together, and stay where the case was first received.
        if self.receiving_centre.is_none() {
            self.receiving_centre = Some(notified.receiving_centre);
            self.prefecture = notified.prefecture;
        }
        self.responsible_centre = Some(notified.receiving_centre);
    }

    /// Ends the episode.
    ///
    /// # Errors
    /// When it has ended otherwise: a wrong outcome is corrected, not overwritten.
    pub fn end(&mut self, outcome: Outcome, date: Option<Date>) -> Result<(), Text> {
        if !self.is_open() && self.outcome != outcome {
            return Err(text("この症例は既に転帰が登録されています。", "This case already has another outcome."));
        }
        if let (Some(reported), Some(ended)) = (self.onset_date.or(self.test_date), date)
            && ended < reported
        {
            return Err(text("転帰日が発病日・検体採取日より前です。", "The outcome lies before onset and sampling."));
        }
        self.outcome = outcome;
        self.outcome_date = date.or(self.outcome_date);
        Ok(())
    }

    /// The event that tells this version.
    pub fn changed(&self, grants: Vec<proto::registry::Grant>) -> CaseChanged {
        let day = |date: Option<Date>| date.map(|date| date.to_string()).unwrap_or_default();
        let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
        let centre = self.receiving_centre.or(self.responsible_centre);
        CaseChanged {
            case_id: self.id.to_string(),
            version: self.version,
            prefecture: i32::from(self.prefecture),
            centre_id: id(centre),
            sex: self.sex.into(),
            age_band: self.age_band.into(),
            diagnosis_class: self.diagnosis_class.into(),
            report_date: day(self.report_date),
            onset_date: day(self.onset_date),
            test_date: day(self.test_date),
            test_result: self.test_result.into(),
            placement: self.placement.into(),
            outcome: self.outcome.into(),
            outcome_date: day(self.outcome_date),
            grants,
            test_count: self.test_count,
            role: self.role.into(),
            last_contact_on: day(self.last_contact_on),
            severity: self.severity.into(),
            icu: self.icu,
            ventilator: self.ventilator,
            ecmo: self.ecmo,
            admission_necessity: self.admission_necessity.into(),
            responsible_centre_id: id(self.responsible_centre),
            placement_since: day(self.placement_since),
            negative_test_dates: [self.negative_on, self.negative_before_on]
                .into_iter()
                .flatten()
                .map(|d| d.to_string())
                .collect(),
            facility_id: id(self.facility_id),
            was_ventilated: self.ventilated,
        }
    }
}

/// How much a class says: a suspicion gives way to a finding.
fn rank(class: DiagnosisClass) -> u8 {
    match class {
        DiagnosisClass::Unspecified => 0,
        DiagnosisClass::Suspected => 1,
        DiagnosisClass::SuspectedDeceased => 2,
        DiagnosisClass::AsymptomaticCarrier => 3,
        DiagnosisClass::Confirmed => 4,
        DiagnosisClass::Deceased => 5,
    }
}

/// The age band on a day: the stated one where a source gives no more, else from the birth date.
pub fn age_band(stated: AgeBand, born: Option<Date>, on: Date) -> AgeBand {
    if stated != AgeBand::Unspecified {
        return stated;
    }
    match born.and_then(|born| age::on(on, born)) {
        None => AgeBand::Unknown,
        Some(0..10) => AgeBand::Under10,
        Some(10..20) => AgeBand::AgeBand10s,
        Some(20..30) => AgeBand::AgeBand20s,
        Some(30..40) => AgeBand::AgeBand30s,
        Some(40..50) => AgeBand::AgeBand40s,
        Some(50..60) => AgeBand::AgeBand50s,
        Some(60..70) => AgeBand::AgeBand60s,
        Some(70..80) => AgeBand::AgeBand70s,
        Some(80..90) => AgeBand::AgeBand80s,
        Some(90..100) => AgeBand::AgeBand90s,
        Some(100..) => AgeBand::AgeBand100OrOver,
    }
}

/// What two records of one person have in common: both names, the birth date and the telephone. `None` where too little is
/// known to call anybody the same.
///
/// Whoever files for a person joins the open case and sees it. A name and a birth date are known to many; the number a
/// person answers is not. Nearer resemblances are for people to judge.
pub fn match_key(person: &Person) -> Option<String> {
    let (kanji, kana) = (name::search_key(&person.name_kanji), name::search_key(&person.name_kana));
    let known = !kanji.is_empty() && !person.birth_date.is_empty() && !person.phone.is_empty();
    known.then(|| format!("{kanji}|{kana}|{}|{}", person.birth_date, person.phone))
}

/// The relation in which an organisation of a kind registers or files.
pub fn relation_of_filer(kind: proto::identity::OrganisationKind) -> Relation {
    use proto::identity::OrganisationKind as Kind;
    match kind {
        Kind::HealthCentre | Kind::City => Relation::ResponsibleCentre,
        Kind::ConsultationCentre => Relation::ConsultationCentre,
        _ => Relation::Reporter,
    }
}

#[cfg(test)]
mod tests {
    use proto::registry::{AgeBand, DiagnosisClass, Outcome, Person, Severity, Sex, Specimen, TestMethod, TestResult};
    use time::{OffsetDateTime, macros::date};
    use uuid::Uuid;

    use super::{Case, CaseId, ClinicalState, Notified, PersonId, Test, age_band, match_key};

    fn case() -> Case {
        Case::opened(CaseId::new(), PersonId::new(), (Vec::new(), Vec::new()), OffsetDateTime::UNIX_EPOCH)
    }

    fn test(result: TestResult, day: u8) -> Test {
        let sampled_on = Some(time::Date::from_calendar_date(2020, time::Month::May, day).unwrap());
        Test { method: TestMethod::NucleicAcid, specimen: Specimen::Saliva, result, sampled_on }
    }

    fn notified(class: DiagnosisClass, day: u8) -> Notified {
        Notified {
            diagnosis_class: class,
            report_date: time::Date::from_calendar_date(2020, time::Month::May, day).unwrap(),
            onset_date: None,
            diagnosis_date: None,
            died_on: None,
            sex: Sex::Female,
            age_band: AgeBand::AgeBand40s,
            receiving_centre: Uuid::now_v7(),
            prefecture: 27,
        }
    }

    #[test]
    fn the_first_positive_sample_dates_the_case() {
        let mut case = case();
        case.take_test(&test(TestResult::Negative, 1));
        assert_eq!(case.test_date, Some(date!(2020 - 05 - 01)));
        case.take_test(&test(TestResult::Positive, 3));
        case.take_test(&test(TestResult::Positive, 5));
        case.take_test(&test(TestResult::Pending, 6));
        assert_eq!(
            (case.test_date, case.test_result, case.test_count),
            (Some(date!(2020 - 05 - 03)), TestResult::Positive, 4)
        );
    }

    #[test]
    fn negative_samples_count_in_a_row_and_a_positive_one_starts_over() {
        let mut case = case();
        case.take_test(&test(TestResult::Negative, 7));
        case.take_test(&test(TestResult::Pending, 8));
        case.take_test(&test(TestResult::Negative, 8));
        assert_eq!(
            (case.negative_on, case.negative_before_on),
            (Some(date!(2020 - 05 - 08)), Some(date!(2020 - 05 - 07)))
        );
        case.take_test(&test(TestResult::Positive, 9));
        assert_eq!((case.negative_on, case.negative_before_on), (None, None));
        case.take_test(&test(TestResult::Negative, 12));
        case.take_test(&test(TestResult::Negative, 11));
        assert_eq!(
            (case.negative_on, case.negative_before_on),
            (Some(date!(2020 - 05 - 12)), Some(date!(2020 - 05 - 11)))
        );
    }

    #[test]
    fn an_old_negative_recorded_late_says_nothing_against_a_positive() {
        let mut case = case();
        case.take_test(&test(TestResult::Positive, 9));
        case.take_test(&test(TestResult::Negative, 3));
        assert_eq!((case.test_result, case.negative_on, case.test_count), (TestResult::Positive, None, 2));
    }

    #[test]
    fn intensive_care_is_severe_and_an_older_day_does_not_overwrite_a_newer_one() {
        let mut case = case();
        let state = |day, severity, icu| ClinicalState {
            on: time::Date::from_calendar_date(2020, time::Month::May, day).unwrap(),
            severity,
            icu,
            ventilator: false,
            ecmo: false,
        };
        assert!(case.take_state(&state(5, Severity::Mild, true), None).is_err());
        case.take_state(&state(5, Severity::Severe, true), None).unwrap();
        case.take_state(&state(3, Severity::Mild, false), Some(date!(2020 - 05 - 05))).unwrap();
        assert_eq!((case.severity, case.icu), (Severity::Severe, true));
        case.take_state(&state(9, Severity::ModerateI, false), Some(date!(2020 - 05 - 05))).unwrap();
        assert_eq!((case.severity, case.icu), (Severity::ModerateI, false));
    }

    #[test]
    fn a_confirmation_counts_on_its_own_day_and_a_second_one_changes_nothing() {
        let mut case = case();
        case.take_notification(&notified(DiagnosisClass::Suspected, 2));
        case.take_notification(&notified(DiagnosisClass::Confirmed, 4));
        case.take_notification(&notified(DiagnosisClass::Confirmed, 9));
        case.take_notification(&notified(DiagnosisClass::Suspected, 9));
        assert_eq!((case.report_date, case.diagnosis_class), (Some(date!(2020 - 05 - 04)), DiagnosisClass::Confirmed));
    }

    #[test]
    fn the_receiving_centre_stays_who_received_it_first() {
        let (mut case, first, second) =
            (case(), notified(DiagnosisClass::Confirmed, 1), notified(DiagnosisClass::Confirmed, 2));
        let second = Notified { prefecture: 13, ..second };
        case.take_notification(&first);
        case.take_notification(&second);
        assert_eq!(case.prefecture, 27);
        assert_eq!(case.receiving_centre, Some(first.receiving_centre));
        assert_eq!(case.responsible_centre, Some(second.receiving_centre));
    }

    #[test]
    fn an_outcome_is_not_overwritten_by_another() {
        let mut case = case();
        assert!(case.end(Outcome::Released, Some(date!(2020 - 05 - 20))).is_ok());
        assert!(case.end(Outcome::Released, None).is_ok());
        assert_eq!(case.outcome_date, Some(date!(2020 - 05 - 20)));
        assert!(case.end(Outcome::Died, None).is_err());
    }

    #[test]
    fn a_stated_band_wins_and_the_unknown_stays_unknown() {
        let (on, born) = (date!(2020 - 05 - 13), Some(date!(1980 - 05 - 14)));
        assert_eq!(age_band(AgeBand::Unspecified, born, on), AgeBand::AgeBand30s);
        assert_eq!(age_band(AgeBand::Preschool, born, on), AgeBand::Preschool);
        assert_eq!(age_band(AgeBand::Unspecified, None, on), AgeBand::Unknown);
    }

    #[test]
    fn nobody_is_matched_on_what_many_know() {
        let person = Person {
            name_kanji: "山田 太郎".to_owned(),
            name_kana: "ヤマダ タロウ".to_owned(),
            birth_date: "1980-01-31".to_owned(),
            ..Person::default()
        };
        assert_eq!(match_key(&person), None);
        let reachable = Person { phone: "09000000000".to_owned(), ..person };
        assert_eq!(match_key(&reachable).as_deref(), Some("山田太郎|ヤマダタロウ|1980-01-31|09000000000"));
        let written_otherwise = Person { name_kana: "ﾔﾏﾀﾞ　ﾀﾛｳ".to_owned(), ..reachable.clone() };
        assert_eq!(match_key(&written_otherwise), match_key(&reachable));
        assert_eq!(match_key(&Person { birth_date: String::new(), ..reachable }), None);
    }
}
