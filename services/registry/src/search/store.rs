//! SQL that finds cases by blind index, inside the list of an organisation.

use access::OrganisationId;
use sqlx::PgConnection;
use vault::Place;

use super::{index::FormKeys, model::Key};
use crate::{case::Listed, filing::NotificationId};

pub(super) const PHONE: Place = Place { table: "person", column: "phone_index" };
pub(super) const NAME: Place = Place { table: "person", column: "name_index" };
pub(super) const RECEIPT: Place = Place { table: "case_notification", column: "receipt_index" };
pub(super) const PATIENT_NUMBER: Place = Place { table: "case_notification", column: "patient_number_index" };

/// The cases of a list among those that carry a key. Two notifications of a case may carry one.
///
/// The offset keeps the planner from walking the list, even on a table of which it knows nothing yet: each case is looked up by itself.
macro_rules! listed {
    ($carries:literal) => {
        concat!(
            "select k.case_id, l.relations, l.listed_at
             from (select distinct k.case_id from ",
            $carries,
            ") as k
             cross join lateral (
                 select relations, is_open, listed_at from case_list
                 where organisation_id = $1 and case_id = k.case_id offset 0
             ) as l
             where l.is_open or not $3
             order by l.listed_at desc, k.case_id desc limit $4"
        )
    };
}

/// The cases of an organisation's list under an index, newest first.
///
/// The few cases that carry the key are found by `cases_access_key`, `person_phone`, `person_name`, `case_notification_receipt` or
/// `case_notification_patient_number`. What it costs does not depend on how long the list is.
pub(super) async fn find(
    conn: &mut PgConnection,
    organisation: OrganisationId,
    key: &Key,
    index: &[u8],
    open_only: bool,
    limit: i64,
) -> sqlx::Result<Vec<Listed>> {
    let page = sqlx::query_as(sql(key)).bind(organisation).bind(index).bind(open_only).bind(limit);
    page.fetch_all(conn).await
}

fn sql(key: &Key) -> &'static str {
    match key {
        Key::AccessId(_) => listed!("cases as k where access_hash = $2"),
        Key::Phone(_) => listed!("person as p join cases as k using (person_id) where p.phone_index = $2"),
        Key::Name(_) => listed!("person as p join cases as k using (person_id) where p.name_index = $2"),
        Key::Receipt(_) => listed!("case_notification as k where receipt_index = $2"),
        Key::PatientNumber(_) => listed!("case_notification as k where patient_number_index = $2"),
    }
}

/// A notification was amended: it is found by what it says now.
pub(crate) async fn replace_form(
    conn: &mut PgConnection,
    notification: NotificationId,
    keys: &FormKeys,
) -> sqlx::Result<()> {
    sqlx::query(
        "update case_notification set receipt_index = $2, patient_number_index = $3
         where notification_id = $1 and (receipt_index, patient_number_index) is distinct from ($2, $3)",
    )
    .bind(notification)
    .bind(&keys.receipt)
    .bind(&keys.patient_number)
    .execute(conn)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use japan::access_id::AccessId;
    use testing::Outcome;

    use super::{Key, sql};
    use crate::fixture::Scene;

    #[tokio::test]
    async fn a_key_leads_to_its_cases_and_never_through_a_list_even_on_tables_that_are_new() -> Outcome {
        let scene = Scene::new().await?;
        for (key, by) in [
            (Key::AccessId(AccessId::from_random([0; 10])), "cases_access_key"),
            (Key::Phone(String::new()), "person_phone"),
            (Key::Name(String::new()), "person_name"),
            (Key::Receipt(String::new()), "case_notification_receipt"),
            (Key::PatientNumber(String::new()), "case_notification_patient_number"),
        ] {
            let plan = scene.plan(sql(&key)).await?;
            assert!(plan.contains(&format!("{by} on")) || plan.contains(&format!("Scan on {by}")), "{plan}");
            assert!(!plan.contains("Seq Scan") && !plan.contains("case_list_newest"), "{plan}");
        }
        Ok(())
    }
}
