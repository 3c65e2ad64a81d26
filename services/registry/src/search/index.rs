//! Blind indexes of what a case is looked for by: made when a person or a notification is stored, and when somebody asks.

use access::OrganisationId;
use proto::{notification::Form, registry::Person};
use vault::Vault;

use super::{
    model::{self, Key},
    store::{NAME, PATIENT_NUMBER, PHONE, RECEIPT},
};
use crate::access_id;

/// By what a person is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PersonKeys {
    pub phone: Option<Vec<u8>>,
    /// Kana with birth date.
    pub name: Option<Vec<u8>>,
}

/// By what a notification is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FormKeys {
    /// 受付番号.
    pub receipt: Option<Vec<u8>>,
    /// The reporter's own patient number (カルテ番号).
    pub patient_number: Option<Vec<u8>>,
}

pub(crate) fn of_person(vault: &Vault, person: &Person) -> PersonKeys {
    PersonKeys {
        phone: model::phone_of(person).map(|phone| vault.blind(PHONE, &phone)),
        name: model::name_of(person).map(|name| vault.blind(NAME, &name)),
    }
}

/// The keys of a form that an institution filed, and of the number that it was given.
pub(crate) fn of_form(vault: &Vault, reporter: OrganisationId, receipt: &str, form: &Form) -> FormKeys {
    let patient_number = form.subject.as_ref().map(|subject| subject.clinic_patient_number.as_str());
    FormKeys {
        receipt: model::receipt(receipt).map(|number| vault.blind(RECEIPT, &number)),
        patient_number: patient_number
            .and_then(|number| model::patient_number(reporter, number))
            .map(|number| vault.blind(PATIENT_NUMBER, &number)),
    }
}

/// The index under which a key is found.
pub(super) fn of_key(vault: &Vault, key: &Key) -> Vec<u8> {
    match key {
        Key::AccessId(id) => access_id::index(vault, id),
        Key::Receipt(number) => vault.blind(RECEIPT, number),
        Key::PatientNumber(number) => vault.blind(PATIENT_NUMBER, number),
        Key::Phone(phone) => vault.blind(PHONE, phone),
        Key::Name(name) => vault.blind(NAME, name),
    }
}
