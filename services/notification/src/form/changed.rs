//! What differs between two versions of a form.

use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use proto::notification::Form;

/// The fields that differ, by path and in the order of the form, such as `form.subject.address`.
pub(crate) fn changed(before: &Form, after: &Form) -> Vec<String> {
    let (Some(before), Some(after)) = (read(before), read(after)) else { return Vec::new() };
    let mut found = Vec::new();
    compare("form", &before, &after, &mut found);
    found
}

fn read(form: &Form) -> Option<DynamicMessage> {
    use prost::{Message as _, Name as _};

    let descriptor = proto::pool().get_message_by_name(&Form::full_name())?;
    DynamicMessage::decode(descriptor, form.encode_to_vec().as_slice()).ok()
}

fn compare(path: &str, before: &DynamicMessage, after: &DynamicMessage, found: &mut Vec<String>) {
    for field in after.descriptor().fields() {
        let path = format!("{path}.{}", field.name());
        let (one, other) = (before.get_field(&field), after.get_field(&field));
        let stated = before.has_field(&field) == after.has_field(&field);
        match (one.as_ref(), other.as_ref()) {
            (Value::Message(one), Value::Message(other)) => compare(&path, one, other, found),
            (one, other) if one != other || !stated => found.push(path),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::notification::{Care, Form};

    use super::changed;
    use crate::fixture::form;

    #[test]
    fn each_field_that_differs_is_named() {
        assert!(changed(&form(), &form()).is_empty());
        let mut other = form();
        other.subject.as_mut().unwrap().address = "大阪市北区".to_owned();
        other.findings.as_mut().unwrap().diagnoses.clear();
        let other = Form { care: Some(Care { admitted: Some(false), ..Care::default() }), ..other };
        let named = ["form.subject.address", "form.findings.diagnoses", "form.care.admitted"];
        assert_eq!(changed(&form(), &other), named);
        assert_eq!(changed(&other, &form()), named, "what was taken away differs too");
    }
}
