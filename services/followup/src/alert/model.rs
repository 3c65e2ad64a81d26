//! What in a report worries, and how urgent it is.

use std::sync::LazyLock;

use access::{CaseId, OrganisationId, UserId};
use proto::{
    followup::{AlertLevel, Answer, HealthReport, WarningSign},
    registry::CaseChanged,
};
use runtime::problem::{Text, Why, text, why};
use serde::Deserialize;
use time::OffsetDateTime;

use crate::worklist;

data::id!(
    /// An alert. Its task carries the same id.
    AlertId,
    "alert"
);

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alert {
    pub id: AlertId,
    pub case_id: CaseId,
    /// 1 as raised, 2 once taken.
    pub version: i64,
    pub level: AlertLevel,
    pub worries: Vec<Worry>,
    pub raised_at: OffsetDateTime,
    pub owner: Option<OrganisationId>,
    pub taken_by: Option<UserId>,
    pub acknowledged_at: Option<OffsetDateTime>,
}

impl Alert {
    /// The one that a report raises; `None` where nothing worries.
    pub(crate) fn of(case_id: CaseId, case: &CaseChanged, report: &HealthReport, now: OffsetDateTime) -> Option<Self> {
        let worries = worries(report);
        let level = level(&worries)?;
        Some(Self {
            id: AlertId::new(),
            case_id,
            version: 1,
            level,
            worries,
            raised_at: now,
            owner: worklist::owner(case),
            taken_by: None,
            acknowledged_at: None,
        })
    }

    /// A worker takes it: from now on it is this worker's. Taken before by the same one, it stays as it is.
    ///
    /// # Errors
    /// Where a colleague took it.
    pub(crate) fn take(&mut self, user: UserId, now: OffsetDateTime) -> Result<(), Why> {
        match self.taken_by {
            Some(owner) if owner != user => Err(why(
                "TAKEN_BY_COLLEAGUE",
                "他の担当者が対応しています。",
                "A colleague has taken this alert already.",
            )),
            Some(_) => Ok(()),
            None => {
                self.version += 1;
                self.taken_by = Some(user);
                self.acknowledged_at = Some(now);
                Ok(())
            }
        }
    }
}

/// Which oxygen saturation raises which alert, in percent.
#[derive(Debug, Deserialize)]
struct Thresholds {
    /// 中等症II.
    urgent_spo2_at_most: i32,
    /// 中等症I.
    caution_spo2_at_most: i32,
}

#[expect(clippy::expect_used, reason = "the file is part of the program; a unit test reads it")]
static THRESHOLDS: LazyLock<Thresholds> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../rules/alerts.json")).expect("rules/alerts.json"));

/// What in a report worries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worry {
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

impl Default for Worry {
    fn default() -> Self {
        Self::Sign(WarningSign::Unspecified)
    }
}

/// The number of a warning sign in the contract; 101 and above for what has none there.
impl From<Worry> for i32 {
    fn from(worry: Worry) -> Self {
        match worry {
            Worry::Sign(sign) => sign.into(),
            Worry::LowOxygen => 101,
            Worry::ReducedOxygen => 102,
            Worry::Consciousness => 103,
            Worry::NoUrination => 104,
        }
    }
}

impl TryFrom<i32> for Worry {
    type Error = i32;

    fn try_from(number: i32) -> Result<Self, i32> {
        match number {
            101 => Ok(Self::LowOxygen),
            102 => Ok(Self::ReducedOxygen),
            103 => Ok(Self::Consciousness),
            104 => Ok(Self::NoUrination),
            sign => WarningSign::try_from(sign).map(Self::Sign).map_err(|_| number),
        }
    }
}

impl Worry {
    /// How urgent it is.
    pub(crate) fn level(self) -> AlertLevel {
        match self {
            Self::ReducedOxygen | Self::NoUrination => AlertLevel::Caution,
            _ => AlertLevel::Urgent,
        }
    }

    pub(crate) fn text(self) -> Text {
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

/// What in a report worries, in the order of the form.
pub(crate) fn worries(report: &HealthReport) -> Vec<Worry> {
    let signs = report.warning_signs.iter().filter_map(|number| WarningSign::try_from(*number).ok());
    let mut found: Vec<Worry> = signs.filter(|sign| *sign != WarningSign::Unspecified).map(Worry::Sign).collect();
    if let Some(spo2) = report.spo2_percent {
        if spo2 <= THRESHOLDS.urgent_spo2_at_most {
            found.push(Worry::LowOxygen);
        } else if spo2 <= THRESHOLDS.caution_spo2_at_most {
            found.push(Worry::ReducedOxygen);
        }
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
fn level(worries: &[Worry]) -> Option<AlertLevel> {
    worries.iter().map(|worry| worry.level()).max_by_key(|level| i32::from(*level))
}

/// What the reporting person should do now.
pub(crate) fn advice(level: Option<AlertLevel>) -> Text {
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
    use access::UserId;
    use proto::followup::{AlertLevel, HealthReport, WarningSign};
    use time::macros::datetime;

    use super::{Alert, Worry, level, worries};

    fn of(report: &HealthReport) -> Option<Alert> {
        Alert::of(access::CaseId::NIL, &proto::registry::CaseChanged::default(), report, datetime!(2020-06-01 0:00 UTC))
    }

    #[test]
    fn each_warning_sign_and_each_threshold_raises_its_alert() {
        for number in 1..=13 {
            let report = HealthReport { warning_signs: vec![number], ..HealthReport::default() };
            assert_eq!(of(&report).map(|alert| alert.level), Some(AlertLevel::Urgent), "sign {number}");
            let worry = Worry::Sign(WarningSign::try_from(number).unwrap());
            assert_eq!(Worry::try_from(i32::from(worry)), Ok(worry));
        }
        let spo2 = |percent| level(&worries(&HealthReport { spo2_percent: percent, ..HealthReport::default() }));
        assert_eq!(spo2(Some(96)), None);
        assert_eq!(spo2(Some(95)), Some(AlertLevel::Caution));
        assert_eq!(spo2(Some(94)), Some(AlertLevel::Caution));
        assert_eq!(spo2(Some(93)), Some(AlertLevel::Urgent), "93 % itself is moderate II");
        assert_eq!(spo2(None), None, "not measured");
    }

    #[test]
    fn a_worry_survives_the_database() {
        for worry in [Worry::LowOxygen, Worry::ReducedOxygen, Worry::Consciousness, Worry::NoUrination] {
            assert_eq!(Worry::try_from(i32::from(worry)), Ok(worry));
        }
        assert_eq!(Worry::try_from(99), Err(99));
    }

    #[test]
    fn an_alert_is_taken_once() {
        let mut alert = of(&HealthReport { spo2_percent: Some(90), ..HealthReport::default() }).unwrap();
        let (first, second) = (UserId::new(), UserId::new());
        alert.take(first, datetime!(2020-06-01 0:00 UTC)).unwrap();
        let taken = alert.clone();
        alert.take(first, datetime!(2020-06-01 1:00 UTC)).unwrap();
        assert_eq!(alert, taken, "again by the same worker");
        assert!(alert.take(second, datetime!(2020-06-01 1:00 UTC)).is_err());
    }
}
