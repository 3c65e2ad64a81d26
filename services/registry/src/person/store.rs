//! SQL of persons.

use access::CaseId;
use sqlx::{FromRow, PgConnection};
use vault::Place;

use super::model::PersonId;
use crate::search::PersonKeys;

/// The particulars of a person.
pub(crate) const PARTICULARS: Place = Place { table: "person", column: "sealed" };
pub(super) const MATCH: Place = Place { table: "person", column: "match_index" };

/// A person as stored.
#[derive(Clone, Debug)]
pub(crate) struct SealedPerson {
    pub id: PersonId,
    pub sealed: Vec<u8>,
    pub match_index: Option<Vec<u8>>,
    /// By what it is found.
    pub keys: PersonKeys,
}

#[derive(FromRow)]
struct Row {
    case_id: CaseId,
    person_id: PersonId,
    sealed: Vec<u8>,
    match_index: Option<Vec<u8>>,
    phone_index: Option<Vec<u8>>,
    name_index: Option<Vec<u8>>,
}

/// The persons of some cases.
pub(crate) async fn of_cases(conn: &mut PgConnection, cases: &[CaseId]) -> sqlx::Result<Vec<(CaseId, SealedPerson)>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select c.case_id, p.person_id, p.sealed, p.match_index, p.phone_index, p.name_index
         from cases c
         cross join lateral (select * from person where person_id = c.person_id offset 0) as p
         where c.case_id = any($1)",
    )
    .bind(cases)
    .fetch_all(conn)
    .await?;
    let person = |row: Row| {
        let keys = PersonKeys { phone: row.phone_index, name: row.name_index };
        (row.case_id, SealedPerson { id: row.person_id, sealed: row.sealed, match_index: row.match_index, keys })
    };
    Ok(rows.into_iter().map(person).collect())
}

pub(crate) async fn insert(conn: &mut PgConnection, persons: &[SealedPerson]) -> sqlx::Result<()> {
    if persons.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into person (person_id, sealed, match_index, phone_index, name_index)
         select * from unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[])",
    )
    .bind(persons.iter().map(|person| person.id).collect::<Vec<_>>())
    .bind(persons.iter().map(|person| person.sealed.as_slice()).collect::<Vec<_>>())
    .bind(persons.iter().map(|person| person.match_index.as_deref()).collect::<Vec<_>>())
    .bind(persons.iter().map(|person| person.keys.phone.as_deref()).collect::<Vec<_>>())
    .bind(persons.iter().map(|person| person.keys.name.as_deref()).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn replace(conn: &mut PgConnection, person: &SealedPerson) -> sqlx::Result<()> {
    sqlx::query(
        "update person set sealed = $2, match_index = $3, phone_index = $4, name_index = $5 where person_id = $1",
    )
    .bind(person.id)
    .bind(&person.sealed)
    .bind(&person.match_index)
    .bind(&person.keys.phone)
    .bind(&person.keys.name)
    .execute(conn)
    .await?;
    Ok(())
}
