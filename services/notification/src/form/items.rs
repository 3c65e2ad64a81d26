//! The items of the form by number: where each stands in the message, what it is called, and whether it is filled in.

use proto::notification::{Findings, Form, Subject};

/// A form, taken apart.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub form: &'a Form,
    pub subject: &'a Subject,
    pub findings: &'a Findings,
}

pub(super) struct Item {
    number: &'static str,
    pub field: &'static str,
    /// As it is printed on the form.
    pub name: &'static str,
    filled: fn(Parts<'_>) -> bool,
}

impl Item {
    pub(super) fn is_filled(&self, parts: Parts<'_>) -> bool {
        (self.filled)(parts)
    }
}

const ITEMS: [Item; 22] = [
    Item {
        number: "1",
        field: "form.diagnosis_class",
        name: "診断した者の類型",
        filled: |parts| parts.form.diagnosis_class != 0,
    },
    Item {
        number: "2",
        field: "form.subject.name_kanji",
        name: "当該者氏名",
        filled: |parts| !parts.subject.name_kanji.is_empty(),
    },
    Item { number: "3", field: "form.subject.sex", name: "性別", filled: |parts| parts.subject.sex != 0 },
    Item {
        number: "4",
        field: "form.subject.birth_date",
        name: "生年月日",
        filled: |parts| !parts.subject.birth_date.is_empty() || parts.subject.stated_age_band != 0,
    },
    Item {
        number: "6",
        field: "form.subject.occupation",
        name: "当該者職業",
        filled: |parts| !parts.subject.occupation.is_empty(),
    },
    Item {
        number: "7",
        field: "form.subject.address",
        name: "当該者住所",
        filled: |parts| !parts.subject.address.is_empty(),
    },
    Item {
        number: "8",
        field: "form.subject.whereabouts",
        name: "当該者所在地",
        filled: |parts| !parts.subject.whereabouts.is_empty() || !parts.subject.whereabouts_code.is_empty(),
    },
    Item {
        number: "9",
        field: "form.subject.guardian_name",
        name: "保護者氏名",
        filled: |parts| !parts.subject.guardian_name.is_empty(),
    },
    Item {
        number: "10",
        field: "form.subject.guardian_phone",
        name: "保護者住所・電話番号",
        filled: |parts| !parts.subject.guardian_address.is_empty() || !parts.subject.guardian_phone.is_empty(),
    },
    Item {
        number: "11",
        field: "form.findings.symptoms",
        name: "症状",
        filled: |parts| !parts.findings.symptoms.is_empty(),
    },
    Item {
        number: "12",
        field: "form.findings.diagnoses",
        name: "診断方法",
        filled: |parts| !parts.findings.diagnoses.is_empty(),
    },
    Item {
        number: "12.sampled",
        field: "form.findings.diagnoses",
        name: "検体採取日",
        filled: |parts| parts.findings.diagnoses.iter().any(|diagnosis| !diagnosis.sampled_date.is_empty()),
    },
    Item {
        number: "13",
        field: "form.findings.first_visit_date",
        name: "初診年月日",
        filled: |parts| !parts.findings.first_visit_date.is_empty(),
    },
    Item {
        number: "14",
        field: "form.findings.diagnosis_date",
        name: "診断（検案）年月日",
        filled: |parts| !parts.findings.diagnosis_date.is_empty(),
    },
    Item {
        number: "15",
        field: "form.findings.infection_date",
        name: "感染したと推定される年月日",
        filled: |parts| !parts.findings.infection_date.is_empty(),
    },
    Item {
        number: "16",
        field: "form.findings.onset_date",
        name: "発病年月日",
        filled: |parts| !parts.findings.onset_date.is_empty(),
    },
    Item {
        number: "17",
        field: "form.findings.death_date",
        name: "死亡年月日",
        filled: |parts| !parts.findings.death_date.is_empty(),
    },
    Item {
        number: "18",
        field: "form.infection",
        name: "感染原因・感染経路・感染地域",
        filled: |parts| parts.form.infection.is_some(),
    },
    Item {
        number: "19",
        field: "form.care",
        name: "その他医師が必要と認める事項",
        filled: |parts| parts.form.care.is_some(),
    },
    Item {
        number: "19.severity",
        field: "form.care.severity",
        name: "重症度",
        filled: |parts| parts.form.care.as_ref().is_some_and(|care| care.severity != 0),
    },
    Item {
        number: "19.admission_needed",
        field: "form.care.admission_needed",
        name: "入院の必要性の有無",
        filled: |parts| parts.form.care.as_ref().is_some_and(|care| care.admission_needed.is_some()),
    },
    Item {
        number: "physician",
        field: "form.physician.name",
        name: "医師の氏名・医療機関名",
        filled: |parts| {
            parts
                .form
                .physician
                .as_ref()
                .is_some_and(|physician| !physician.name.is_empty() && !physician.institution_name.is_empty())
        },
    },
];

/// The item of this number, where the rules may ask for it.
pub(super) fn find(number: &str) -> Option<&'static Item> {
    ITEMS.iter().find(|item| item.number == number)
}
