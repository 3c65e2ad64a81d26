//! IDs from a list, a result per row, and the slips to hand over.

use std::collections::HashMap;

use access::{Caller, audit};
use chassis::{Error, once};
use proto::identity::{ImportOutcome, ImportUsersRequest, ImportUsersResponse, ImportedUser, Role};
use runtime::clock;
use sqlx::Connection as _;
use uuid::Uuid;

use crate::{
    domain::{self, Body, INITIAL_SECRET},
    import::ROWS,
    rpc::Identity,
    slip,
    users::{self, Made, NewUser, act, in_scope},
};

/// A row as read.
#[derive(Clone, Debug, Default)]
struct Row {
    line: i32,
    login: String,
    organisation_id: String,
    role: String,
    holder_name: String,
    mail: String,
}

pub(crate) async fn users(
    identity: &Identity,
    caller: &Caller,
    request: ImportUsersRequest,
) -> Result<ImportUsersResponse, Error> {
    let key = once::key(identity.vault(), caller, "ImportUsers", &request.request_id, &request)?;
    let rows = read(&request.csv)?;
    let mut tx = identity.base.pool.begin().await?;
    if let Some(answer) = once::claim(&mut tx, identity.vault(), &key).await? {
        return Ok(answer);
    }
    let mut bodies: HashMap<String, Option<Body>> = HashMap::new();
    let (mut answers, mut made): (Vec<ImportedUser>, Vec<(Row, Made)>) = (Vec::new(), Vec::new());
    for row in rows {
        let mut answer = ImportedUser { line: row.line, login: row.login.clone(), ..ImportedUser::default() };
        if !bodies.contains_key(&row.organisation_id) {
            let body = match Uuid::try_parse(&row.organisation_id) {
                Ok(id) => in_scope(&mut tx, caller, id).await.ok(),
                Err(_) => None,
            };
            bodies.insert(row.organisation_id.clone(), body);
        }
        let body = bodies.get(&row.organisation_id).copied().flatten();
        match one(identity, &mut tx, caller, &row, body).await {
            Ok(new) => {
                answer.outcome = ImportOutcome::Created.into();
                answer.user_id = new.user_id.to_string();
                answer.initial_secret.clone_from(&new.initial_secret);
                made.push((row, new));
            }
            Err(Error::Invalid(violations)) => {
                answer.outcome = ImportOutcome::Refused.into();
                if let Some(violation) = violations.into_iter().next() {
                    answer.message = violation.rule.shown().to_owned();
                    answer.field = violation.field;
                }
            }
            // What is wrong with the database is wrong with the whole list.
            Err(other) => return Err(other),
        }
        answers.push(answer);
    }
    let ids: Vec<Uuid> = made.iter().map(|(_, made)| made.user_id).collect();
    audit::record(&mut tx, &act(caller, "ImportUsers", key.request_id), &ids).await?;
    let slips_pdf = if request.with_slips && !made.is_empty() {
        let slips = made.iter().map(|(row, made)| slip::Slip::new(&row.login, &row.holder_name, made)).collect();
        slip::pages(identity, slips).await?
    } else {
        Vec::new()
    };
    let answer = ImportUsersResponse {
        rows: answers,
        expires_at: Some(clock::to_proto(identity.clock.now() + INITIAL_SECRET)),
        slips_pdf,
    };
    once::answer(&mut tx, identity.vault(), &key, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}

/// One row, in a savepoint of its own: a log-in that is taken takes no other row with it.
async fn one(
    identity: &Identity,
    conn: &mut sqlx::PgConnection,
    caller: &Caller,
    row: &Row,
    body: Option<Body>,
) -> Result<Made, Error> {
    let body = body.ok_or_else(|| {
        Error::invalid("organisation_id", "管轄の機関ではありません", "is no organisation of your scope")
    })?;
    let role = Role::from_str_name(&format!("ROLE_{}", row.role.to_uppercase()))
        .ok_or_else(|| Error::invalid("role", "役割が正しくありません", "is no role"))?;
    if !domain::login_is_well_formed(&row.login) {
        return Err(Error::invalid(
            "login",
            "英小文字、数字、. - _ の3〜64文字です",
            "has 3 to 64 lower-case letters, digits, dots, hyphens or underscores",
        ));
    }
    if row.holder_name.chars().count() > 100 {
        return Err(Error::invalid("holder_name", "100文字以内です", "takes at most 100 characters"));
    }
    let mut savepoint = conn.begin().await?;
    let new = NewUser {
        organisation_id: body.id,
        login: &row.login,
        role,
        holder_name: &row.holder_name,
        mail: &row.mail,
        hidden: caller.hidden,
    };
    let made = users::make(identity, &mut savepoint, caller, &body, &new).await?;
    savepoint.commit().await?;
    Ok(made)
}

fn read(text: &str) -> Result<Vec<Row>, Error> {
    let wrong = |why: String| Error::invalid("csv", "CSV を読めません", why);
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header = reader.headers().map_err(|error| wrong(error.to_string()))?.clone();
    let column = |name: &str| header.iter().position(|column| column.trim() == name);
    for needed in ["login", "organisation_id", "role"] {
        if column(needed).is_none() {
            return Err(wrong(format!("the header does not name {needed}")));
        }
    }
    let mut rows = Vec::new();
    for (index, record) in reader.records().enumerate() {
        if rows.len() == ROWS {
            return Err(wrong(format!("takes at most {ROWS} rows")));
        }
        let record = record.map_err(|_| wrong(format!("line {} is no CSV", index + 2)))?;
        let cell = |name: &str| column(name).and_then(|at| record.get(at)).unwrap_or_default().trim().to_owned();
        rows.push(Row {
            line: i32::try_from(index + 2).unwrap_or(i32::MAX),
            login: cell("login"),
            organisation_id: cell("organisation_id"),
            role: cell("role"),
            holder_name: cell("holder_name"),
            mail: cell("mail"),
        });
    }
    Ok(rows)
}
