//! Faults of a request by the names that REST has for its fields.

use tonic::{Code, Status};
use tonic_types::{FieldViolation, StatusExt as _};

/// The same error, naming fields as JSON does. Where the body is a field of the request, its own fields have no other name before
/// theirs.
pub(super) fn in_json(status: &Status, body: &str) -> Status {
    let mut details = status.get_error_details();
    let Some(faults) = details.bad_request().map(|request| request.field_violations.clone()) else {
        return status.clone();
    };
    let faults: Vec<FieldViolation> =
        faults.into_iter().map(|fault| FieldViolation { field: name(&fault.field, body), ..fault }).collect();
    let message = match status.code() {
        Code::InvalidArgument => {
            faults.iter().map(|fault| format!("{}: {}", fault.field, fault.description)).collect::<Vec<_>>().join("; ")
        }
        _ => status.message().to_owned(),
    };
    details.set_bad_request(faults);
    Status::with_error_details(status.code(), message, details)
}

/// `person.birth_date` is `person.birthDate`, and `birthDate` where the body is the person.
fn name(field: &str, body: &str) -> String {
    let own = field.strip_prefix(body).and_then(|rest| rest.strip_prefix('.')).filter(|_| !body.is_empty());
    let mut upper = false;
    own.unwrap_or(field)
        .chars()
        .filter_map(|c| match c {
            '_' => {
                upper = true;
                None
            }
            c if std::mem::take(&mut upper) => Some(c.to_ascii_uppercase()),
            c => Some(c),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use runtime::problem::{Violation, invalid, request_id_reused};
    use tonic_types::StatusExt as _;

    use super::{in_json, name};

    #[test]
    fn a_fault_names_the_field_as_the_body_does() {
        assert_eq!(name("person.birth_date", ""), "person.birthDate");
        assert_eq!(name("person.birth_date", "*"), "person.birthDate");
        assert_eq!(name("person.birth_date", "person"), "birthDate");
        assert_eq!(name("contractor_ids[0]", "contract"), "contractorIds[0]");

        let told = in_json(&invalid(&[Violation::new("person.name_kana", "あ", "a")]), "person");
        assert_eq!(told.message(), "nameKana: あ");
        let details = told.get_error_details();
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "nameKana");
        assert_eq!(details.error_info().unwrap().reason, "INVALID_FIELDS");
        let reused = in_json(&request_id_reused(), "*");
        assert_eq!(reused.get_details_bad_request().unwrap().field_violations[0].field, "requestId");
    }
}
