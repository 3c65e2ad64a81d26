//! The requests that tell a row.

use japan::municipality;
use proto::{
    notification::{Diagnosis, FileNotificationRequest, Findings, Form, Physician, Purpose, Subject},
    registry::{
        AgeBand, DiagnosisClass, Outcome, Person, RecordOutcomeRequest, RegisterCaseRequest, Specimen, TestMethod,
        TestResult,
    },
};
use time::{Date, Duration};
use uuid::Uuid;

use super::{Row, words::Age};

/// Request ids are derived in this namespace: the same row always sends the same requests.
const NAMESPACE: Uuid = Uuid::from_u128(0x6865_7273_7973_2d72_6570_6c61_792d_7631);

/// The requests that tell one row. Its case id is not known before the first one is answered.
pub struct Requests {
    /// Registers the person.
    pub register: RegisterCaseRequest,
    /// Files the notification; the case id is still empty.
    pub file: FileNotificationRequest,
    /// Records the release, if there was one; the case id is still empty.
    pub release: Option<RecordOutcomeRequest>,
}

impl Row {
    /// The requests that tell this row in a prefecture, on behalf of a source such as a file name.
    pub fn requests(&self, source: &str, prefecture: u8) -> Requests {
        let id =
            |step: &str| Uuid::new_v5(&NAMESPACE, format!("{source}|{}|{step}", self.number).as_bytes()).to_string();
        let code = municipality::find(prefecture, &self.residence).map(|m| m.as_str().to_owned()).unwrap_or_default();
        let (kanji, kana) = name(self.number);
        let (birth_date, band) = self.birth();
        let sex = self.sex;
        let day = self.reported_on.to_string();
        let phone = format!("090{}", 10_000_000 + self.number % 90_000_000);
        let mail = format!("person{}@example.jp", self.number);
        let person = Person {
            name_kanji: kanji.clone(),
            name_kana: kana.clone(),
            birth_date: birth_date.clone(),
            sex: sex.into(),
            address: String::new(),
            phone: phone.clone(),
            mail: mail.clone(),
            municipality_code: code.clone(),
            stated_age_band: band.into(),
        };
        let subject = Subject {
            name_kanji: kanji,
            name_kana: kana,
            sex: sex.into(),
            birth_date,
            stated_age_band: band.into(),
            whereabouts: self.residence.clone(),
            whereabouts_code: code,
            phone,
            mail,
            ..Subject::default()
        };
        let findings = Findings {
            diagnoses: vec![Diagnosis {
                method: TestMethod::NucleicAcid.into(),
                specimen: Specimen::NasopharyngealSwab.into(),
                result: TestResult::Positive.into(),
                sampled_date: (self.reported_on - Duration::days(1)).to_string(),
                specimen_other: String::new(),
            }],
            diagnosis_date: day.clone(),
            ..Findings::default()
        };
        let form = Form {
            purpose: Purpose::Notification.into(),
            report_date: day.clone(),
            physician: Some(Physician {
                name: "入力支援".to_owned(),
                institution_name: "入力支援".to_owned(),
                ..Physician::default()
            }),
            diagnosis_class: DiagnosisClass::Confirmed.into(),
            subject: Some(subject),
            findings: Some(findings),
            ..Form::default()
        };
        Requests {
            register: RegisterCaseRequest {
                request_id: id("register"),
                person: Some(person),
                consultation_date: day,
                ..RegisterCaseRequest::default()
            },
            file: FileNotificationRequest {
                request_id: id("file"),
                form: Some(form),
                ..FileNotificationRequest::default()
            },
            release: self.released.then(|| RecordOutcomeRequest {
                request_id: id("release"),
                case_id: String::new(),
                etag: String::new(),
                outcome: Outcome::Released.into(),
                ..RecordOutcomeRequest::default()
            }),
        }
    }

    /// A birth date where the file gives a decade; a band where it gives a word.
    fn birth(&self) -> (String, AgeBand) {
        match self.age {
            Age::Decade(0) => (self.born(5), AgeBand::Unspecified),
            Age::Decade(decade) => (self.born(decade + 3), AgeBand::Unspecified),
            Age::Band(band) => (String::new(), band),
            Age::Unknown => (String::new(), AgeBand::Unknown),
        }
    }

    fn born(&self, years: u16) -> String {
        let year = self.reported_on.year() - i32::from(years);
        let month =
            time::Month::try_from(u8::try_from(self.number % 12 + 1).unwrap_or(1)).unwrap_or(time::Month::January);
        let day = u8::try_from(self.number / 12 % 28 + 1).unwrap_or(1);
        Date::from_calendar_date(year, month, day).unwrap_or(self.reported_on).to_string()
    }
}

/// A made-up name, another one for each number.
fn name(number: u32) -> (String, String) {
    const FAMILY: &[(&str, &str)] = &[
        ("佐藤", "サトウ"),
        ("鈴木", "スズキ"),
        ("髙橋", "タカハシ"),
        ("田中", "タナカ"),
        ("渡邉", "ワタナベ"),
        ("伊藤", "イトウ"),
        ("山本", "ヤマモト"),
        ("中村", "ナカムラ"),
        ("小林", "コバヤシ"),
        ("𠮷田", "ヨシダ"),
    ];
    const SYLLABLES: &[(&str, &str)] = &[
        ("安", "ア"),
        ("伊", "イ"),
        ("宇", "ウ"),
        ("江", "エ"),
        ("緒", "オ"),
        ("佳", "カ"),
        ("紀", "キ"),
        ("久", "ク"),
        ("恵", "ケ"),
        ("子", "コ"),
        ("沙", "サ"),
        ("志", "シ"),
        ("須", "ス"),
        ("世", "セ"),
        ("楚", "ソ"),
        ("多", "タ"),
    ];
    let at = |list: &[(&'static str, &'static str)], n: u32| {
        list.get(usize::try_from(n).unwrap_or(0) % list.len()).copied().unwrap_or(("山", "ヤマ"))
    };
    let family = at(FAMILY, number);
    let rest = number / 10;
    let given = [rest % 16, rest / 16 % 16, rest / 256 % 16, rest / 4096].map(|n| at(SYLLABLES, n));
    let join = |pick: fn(&(&'static str, &'static str)) -> &'static str| given.iter().map(pick).collect::<String>();
    (format!("{} {}", family.0, join(|pair| pair.0)), format!("{} {}", family.1, join(|pair| pair.1)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proto::registry::AgeBand;

    use super::{super::parse, name};

    const FILE: &str = "番号,報道提供日,年代,性別,居住地,退院・解除\n1,2020-01-29,40,女性,大阪市,○\n2,2020-05-13,未就学児,不明,大阪府外,\n3,2020-06-01,調査中,男性,調査中,○\n";

    #[test]
    fn odd_values_are_kept_and_not_guessed() {
        let rows = parse(FILE.as_bytes()).unwrap();
        let requests: Vec<_> = rows.iter().map(|row| row.requests("test", 27)).collect();
        let subject = |n: usize| requests[n].file.form.clone().unwrap().subject.unwrap();
        assert_eq!(subject(0).whereabouts_code, "271004");
        assert_eq!(&subject(0).birth_date[..4], "1977");
        assert_eq!((subject(1).whereabouts_code.as_str(), subject(1).whereabouts.as_str()), ("", "大阪府外"));
        assert_eq!(subject(1).birth_date, "");
        assert_eq!(subject(2).stated_age_band, i32::from(AgeBand::Unknown));
        assert!(requests[0].release.is_some() && requests[1].release.is_none());
    }

    #[test]
    fn the_same_row_sends_the_same_requests_and_no_two_persons_share_a_name() {
        let rows = parse(FILE.as_bytes()).unwrap();
        assert_eq!(rows[0].requests("test", 27).register.request_id, rows[0].requests("test", 27).register.request_id);
        assert_ne!(rows[0].requests("test", 27).register.request_id, rows[1].requests("test", 27).register.request_id);
        let names: HashSet<_> = (1..=20_000).map(name).collect();
        assert_eq!(names.len(), 20_000);
    }
}
