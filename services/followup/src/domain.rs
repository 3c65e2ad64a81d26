//! Who is observed, until when, what is due next, and what a report says. No I/O.

use proto::{
    followup::{AlertLevel, Answer, HealthReport, WarningSign},
    registry::{CaseChanged, CaseRole, DiagnosisClass, Outcome, Placement, TestResult},
};
use runtime::problem::{Text, text};
use time::{Date, OffsetDateTime, Time, UtcOffset};

use crate::rules;

/// A first report is not due sooner than this after the plan opens.
const SETTLE: time::Duration = time::Duration::hours(4);
/// A report made earlier than this before its deadline is kept, and does not stand for it.
const WINDOW: time::Duration = time::Duration::hours(12);

/// What should be the case for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Reports are due, for a contact until the last day.
    Active(Option<Date>),
    /// The ward observes.
    Paused,
    /// No more reports.
    Closed(Reason),
}

/// Why a plan is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum Reason {
    /// From registration on.
    Registered = 1,
    /// In hospital.
    InHospital = 2,
    /// The episode has ended.
    Ended = 3,
    /// The test was negative.
    Negative = 4,
    /// A contact's days are over.
    DaysOver = 5,
}

impl Reason {
    /// By its number in the database.
    pub fn from_number(number: i16) -> Self {
        [Self::InHospital, Self::Ended, Self::Negative, Self::DaysOver]
            .into_iter()
            .find(|reason| *reason as i16 == number)
            .unwrap_or(Self::Registered)
    }

    /// In words.
    pub fn text(self) -> Text {
        match self {
            Self::Registered => text("登録時から健康観察中です。", "Observed since registration."),
            Self::InHospital => text("入院中のため、病棟が観察します。", "In hospital: the ward observes."),
            Self::Ended => text("転帰が登録されたため終了しました。", "Over: the outcome is recorded."),
            Self::Negative => text("検査が陰性のため終了しました。", "Over: the test was negative."),
            Self::DaysOver => text("観察期間が満了しました。", "Over: the days of observation have passed."),
        }
    }
}

/// What should be the case for a person, as the registry knows it.
pub fn wanted(case: &CaseChanged, today: Date) -> Wanted {
    let positive = case.test_result == i32::from(TestResult::Positive)
        || [DiagnosisClass::Confirmed, DiagnosisClass::AsymptomaticCarrier]
            .iter()
            .any(|class| case.diagnosis_class == i32::from(*class));
    if case.outcome != i32::from(Outcome::Unspecified) {
        return Wanted::Closed(Reason::Ended);
    }
    if case.placement == i32::from(Placement::Hospital) {
        return Wanted::Paused;
    }
    if case.role == i32::from(CaseRole::CloseContact) && !positive {
        // A negative test does not end the observation of a contact: illness may still come.
        let last_day = japan::date::parse(&case.last_contact_on).ok().map(|day| rules::observation().last_day(day));
        return match last_day {
            Some(day) if day < today => Wanted::Closed(Reason::DaysOver),
            day => Wanted::Active(day),
        };
    }
    if case.test_result == i32::from(TestResult::Negative) && !positive {
        return Wanted::Closed(Reason::Negative);
    }
    Wanted::Active(None)
}

/// Whether a report at a moment answers what is due then: not what was due before, and not what is due only tomorrow.
pub fn counts(at: OffsetDateTime, opens_at: OffsetDateTime, due_at: OffsetDateTime) -> bool {
    at >= opens_at && at >= due_at - WINDOW
}

/// When the first report of a plan that opens now is due.
pub fn first_due(now: OffsetDateTime, times: &[String]) -> OffsetDateTime {
    next_due(now + SETTLE, times)
}

/// The next moment a report is due after another: the earliest of the agreed times of the day in Japan.
pub fn next_due(after: OffsetDateTime, times: &[String]) -> OffsetDateTime {
    let japan = UtcOffset::from_hms(9, 0, 0).unwrap_or(UtcOffset::UTC);
    let local = after.to_offset(japan);
    let times = || times.iter().filter_map(|text| time_of_day(text));
    let on =
        |day: Date| times().map(move |time| day.with_time(time).assume_offset(japan)).filter(|at| *at > after).min();
    on(local.date())
        .or_else(|| local.date().next_day().and_then(on))
        .unwrap_or(after + time::Duration::days(1))
        .to_offset(UtcOffset::UTC)
}

fn time_of_day(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    Time::from_hms(hour.parse().ok()?, minute.parse().ok()?, 0).ok()
}

/// What in a report worries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worry {
    /// One of the thirteen warning signs (緊急性の高い症状).
    Sign(WarningSign),
    /// `SpO2` at or below the threshold of 中等症II.
    LowOxygen,
    /// `SpO2` at or below the threshold of 中等症I.
    ReducedOxygen,
    /// 意識障害.
    Consciousness,
    /// 排尿がない.
    NoUrination,
}

impl Worry {
    /// Its number in the database.
    pub fn number(self) -> i16 {
        match self {
            Self::Sign(sign) => i16::try_from(i32::from(sign)).unwrap_or(0),
            Self::LowOxygen => 101,
            Self::ReducedOxygen => 102,
            Self::Consciousness => 103,
            Self::NoUrination => 104,
        }
    }

    /// By its number.
    pub fn from_number(number: i16) -> Option<Self> {
        match number {
            101 => Some(Self::LowOxygen),
            102 => Some(Self::ReducedOxygen),
            103 => Some(Self::Consciousness),
            104 => Some(Self::NoUrination),
            sign => {
                WarningSign::try_from(i32::from(sign)).ok().filter(|s| *s != WarningSign::Unspecified).map(Self::Sign)
            }
        }
    }

    /// How urgent it is.
    pub fn level(self) -> AlertLevel {
        match self {
            Self::ReducedOxygen | Self::NoUrination => AlertLevel::Caution,
            _ => AlertLevel::Urgent,
        }
    }

    /// In words.
    pub fn text(self) -> Text {
        match self {
            Self::LowOxygen => text("酸素飽和度が93％以下です（中等症II相当）", "SpO2 is at most 93 % (moderate II)"),
            Self::ReducedOxygen => text("酸素飽和度が96％未満です（中等症I相当）", "SpO2 is below 96 % (moderate I)"),
            Self::Consciousness => text("意識障害があります", "Consciousness is impaired"),
            Self::NoUrination => text("排尿がありません", "No urination"),
            Self::Sign(sign) => sign_text(sign),
        }
    }
}

fn sign_text(sign: WarningSign) -> Text {
    match sign {
        WarningSign::BadComplexion => text("顔色が明らかに悪い", "Clearly bad complexion"),
        WarningSign::PurpleLips => text("唇が紫色になっている", "Purple lips"),
        WarningSign::NotAsUsual => text("いつもと違う、様子がおかしい", "Not as usual"),
        WarningSign::FastBreathing => text("息が荒くなった（呼吸数が多くなった）", "Fast breathing"),
        WarningSign::SuddenlyBreathless => text("急に息苦しくなった", "Suddenly breathless"),
        WarningSign::BreathlessOnEffort => text("少し動くと息があがる", "Breathless on slight effort"),
        WarningSign::ChestPain => text("胸の痛みがある", "Chest pain"),
        WarningSign::CannotLieDown => text("横になれない・座らないと息ができない", "Cannot breathe lying down"),
        WarningSign::ShoulderBreathing => text("肩で息をしている", "Breathes with the shoulders"),
        WarningSign::SuddenWheeze => text("突然ゼーゼーしはじめた", "Sudden wheezing"),
        WarningSign::Drowsy => text("ぼんやりしている（反応が弱い）", "Drowsy"),
        WarningSign::NoAnswer => text("もうろうとしている（返事がない）", "Does not answer"),
        WarningSign::IrregularPulse => text("脈のリズムが乱れる感じがする", "Irregular pulse"),
        WarningSign::Unspecified => text("不明な症状", "Unknown sign"),
    }
}

/// What in a report worries, most of it first in the order of the form.
pub fn worries(report: &HealthReport) -> Vec<Worry> {
    let thresholds = rules::observation().alerts;
    let signs = report.warning_signs.iter().filter_map(|n| WarningSign::try_from(*n).ok());
    let mut found: Vec<Worry> = signs.filter(|sign| *sign != WarningSign::Unspecified).map(Worry::Sign).collect();
    let spo2 = report.spo2_percent;
    if spo2 > 0 && spo2 <= thresholds.urgent_spo2_at_most {
        found.push(Worry::LowOxygen);
    } else if spo2 > 0 && spo2 <= thresholds.caution_spo2_at_most {
        found.push(Worry::ReducedOxygen);
    }
    let yes = i32::from(Answer::Yes);
    if report.impaired_consciousness == yes {
        found.push(Worry::Consciousness);
    }
    if report.no_urination == yes {
        found.push(Worry::NoUrination);
    }
    found
}

/// How urgent a report is as a whole; `None` where nothing worries.
pub fn level(worries: &[Worry]) -> Option<AlertLevel> {
    worries.iter().map(|worry| worry.level()).max_by_key(|level| i32::from(*level))
}

/// What the reporting person should do now.
pub fn advice(level: Option<AlertLevel>) -> Text {
    match level {
        Some(AlertLevel::Urgent) => text(
            "緊急性の高い症状です。ただちに保健所（夜間は119番）へ電話してください。保健所にも通知しました。",
            "These are signs of an emergency. Call the health centre at once, at night 119. The centre has been told.",
        ),
        Some(_) => text(
            "保健所から本日中に連絡します。悪化したときはすぐに電話してください。",
            "The health centre will call you today. Call at once should it get worse.",
        ),
        None => text("受け付けました。お大事になさってください。", "Received. Take care."),
    }
}

#[cfg(test)]
mod tests {
    use proto::{
        followup::{AlertLevel, HealthReport, WarningSign},
        registry::{CaseChanged, CaseRole, Outcome, Placement, TestResult},
    };
    use time::macros::{date, datetime};

    use super::{Reason, Wanted, Worry, counts, first_due, level, next_due, wanted, worries};

    const TODAY: time::Date = date!(2020 - 06 - 10);

    #[test]
    fn a_plan_follows_result_placement_and_outcome() {
        let case = CaseChanged::default();
        assert_eq!(wanted(&case, TODAY), Wanted::Active(None), "before the result is known");
        let negative = CaseChanged { test_result: TestResult::Negative.into(), ..case.clone() };
        assert_eq!(wanted(&negative, TODAY), Wanted::Closed(Reason::Negative));
        let positive = CaseChanged { test_result: TestResult::Positive.into(), ..case };
        assert_eq!(wanted(&positive, TODAY), Wanted::Active(None));
        let hospital = CaseChanged { placement: Placement::Hospital.into(), ..positive.clone() };
        assert_eq!(wanted(&hospital, TODAY), Wanted::Paused);
        let home_again = CaseChanged { placement: Placement::Home.into(), ..hospital };
        assert_eq!(wanted(&home_again, TODAY), Wanted::Active(None));
        let over = CaseChanged { outcome: Outcome::Released.into(), ..positive };
        assert_eq!(wanted(&over, TODAY), Wanted::Closed(Reason::Ended));
    }

    #[test]
    fn a_contact_is_observed_to_the_last_day_also_after_a_negative_test() {
        let contact = CaseChanged {
            role: CaseRole::CloseContact.into(),
            last_contact_on: "2020-06-01".to_owned(),
            test_result: TestResult::Negative.into(),
            ..CaseChanged::default()
        };
        assert_eq!(wanted(&contact, TODAY), Wanted::Active(Some(date!(2020 - 06 - 15))));
        assert_eq!(wanted(&contact, date!(2020 - 06 - 15)), Wanted::Active(Some(date!(2020 - 06 - 15))));
        assert_eq!(wanted(&contact, date!(2020 - 06 - 16)), Wanted::Closed(Reason::DaysOver));
        let ill = CaseChanged { test_result: TestResult::Positive.into(), ..contact };
        assert_eq!(wanted(&ill, date!(2020 - 06 - 16)), Wanted::Active(None), "a contact who fell ill is a patient");
    }

    #[test]
    fn reports_are_due_at_the_agreed_times_in_japan() {
        let times = ["20:00".to_owned(), "08:30".to_owned()];
        let due = |after| next_due(after, &times);
        assert_eq!(due(datetime!(2020-06-10 08:00 +9)), datetime!(2020-06-10 08:30 +9));
        assert_eq!(due(datetime!(2020-06-10 08:30 +9)), datetime!(2020-06-10 20:00 +9));
        assert_eq!(due(datetime!(2020-06-10 20:00 +9)), datetime!(2020-06-11 08:30 +9));
        let once = ["08:30".to_owned()];
        assert_eq!(first_due(datetime!(2020-06-10 08:00 +9), &once), datetime!(2020-06-11 08:30 +9));
    }

    #[test]
    fn a_second_report_in_the_evening_does_not_stand_for_tomorrow() {
        let (before, due) = (datetime!(2020-06-10 08:30 +9), datetime!(2020-06-11 08:30 +9));
        assert!(!counts(datetime!(2020-06-10 18:00 +9), before, due));
        assert!(counts(datetime!(2020-06-10 21:00 +9), before, due));
        assert!(!counts(datetime!(2020-06-10 07:00 +9), before, due), "that one stands for the day itself");
    }

    #[test]
    fn each_warning_sign_and_each_threshold_raises_its_alert() {
        for number in 1..=13 {
            let report = HealthReport { warning_signs: vec![number], ..HealthReport::default() };
            assert_eq!(level(&worries(&report)), Some(AlertLevel::Urgent), "sign {number}");
            let sign = WarningSign::try_from(number).unwrap();
            assert_eq!(Worry::from_number(Worry::Sign(sign).number()), Some(Worry::Sign(sign)));
        }
        let spo2 = |percent| level(&worries(&HealthReport { spo2_percent: percent, ..HealthReport::default() }));
        assert_eq!(spo2(96), None);
        assert_eq!(spo2(95), Some(AlertLevel::Caution));
        assert_eq!(spo2(94), Some(AlertLevel::Caution));
        assert_eq!(spo2(93), Some(AlertLevel::Urgent), "93 % itself is moderate II");
        assert_eq!(spo2(0), None, "not measured");
    }
}
