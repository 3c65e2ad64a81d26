//! Organisations from a list, a result per row. A row at fault holds up no other; a second load changes nothing.

use std::collections::{HashMap, HashSet};

use access::{Caller, audit};
use chassis::{Error, once};
use data::outbox;
use prost::Message as _;
use proto::identity::{
    ImportOrganisationsRequest, ImportOrganisationsResponse, ImportOutcome, ImportedOrganisation, Organisation,
    OrganisationChanged, OrganisationKind as Kind, Rights,
};
use runtime::trace;
use uuid::Uuid;

use crate::{
    domain::{self, Body},
    organisations,
    rpc::Identity,
    store::{
        self,
        contracts::{self, NewOrganisation},
    },
    users::{act, in_scope},
};

/// Rows of one call.
pub(crate) const ROWS: usize = 1_000;

/// A row as read: its line, and the organisation or what is wrong.
struct Read {
    line: i32,
    outcome: Result<(Organisation, String), (String, String)>,
    note: String,
}

pub(crate) async fn organisations(
    identity: &Identity,
    caller: &Caller,
    request: ImportOrganisationsRequest,
) -> Result<ImportOrganisationsResponse, Error> {
    let key = once::key(identity.vault(), caller, "ImportOrganisations", &request.request_id, &request)?;
    let mut rows = read(&request.csv)?;
    let mut tx = identity.base.pool.begin().await?;
    if let Some(answer) = once::claim(&mut tx, identity.vault(), &key).await? {
        return Ok(answer);
    }
    let above = store::find_body(&mut tx, caller.organisation_id).await?.ok_or(Error::NotFound("organisation"))?;
    let parents = parents_of(&mut tx, caller, &rows).await?;
    for row in &mut rows {
        row.outcome = std::mem::replace(&mut row.outcome, Err(Default::default()))
            .and_then(|(organisation, key)| checked(organisation, key, caller, &above, &parents));
    }
    let keys: Vec<String> = rows.iter().filter_map(|row| Some(row.outcome.as_ref().ok()?.1.clone())).collect();
    let mut there: HashMap<String, Uuid> = contracts::by_natural_keys(&mut tx, &keys).await?.into_iter().collect();
    let (mut new, mut made, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let mut answer = ImportedOrganisation { line: row.line, message: row.note, ..ImportedOrganisation::default() };
        match row.outcome {
            Err((field, message)) => {
                answer.outcome = ImportOutcome::Refused.into();
                (answer.field, answer.message) = (field, message);
            }
            Ok((organisation, natural_key)) => {
                if let Some(id) = there.get(&natural_key) {
                    answer.outcome = ImportOutcome::Unchanged.into();
                    answer.organisation_id = id.to_string();
                } else {
                    let id = Uuid::now_v7();
                    there.insert(natural_key.clone(), id);
                    let organisation = Organisation { organisation_id: id.to_string(), ..organisation };
                    new.push(NewOrganisation {
                        id,
                        content: organisation.encode_to_vec(),
                        kind: small(organisation.kind),
                        prefecture: small(organisation.prefecture),
                        parent_id: Uuid::try_parse(&organisation.parent_id).ok(),
                        natural_key,
                    });
                    made.push(organisation);
                    answer.outcome = ImportOutcome::Created.into();
                    answer.organisation_id = id.to_string();
                }
            }
        }
        answers.push(answer);
    }
    let mut answer = ImportOrganisationsResponse { rows: answers };
    if request.dry_run {
        return Ok(answer);
    }
    let stored: HashSet<String> =
        contracts::insert_many(&mut tx, &new).await?.into_iter().map(|id| id.to_string()).collect();
    // Somebody else's list was faster, or the prefecture is there: that row is told so, and the others are made.
    for row in answer.rows.iter_mut().filter(|row| row.outcome == i32::from(ImportOutcome::Created)) {
        if !stored.contains(&row.organisation_id) {
            row.outcome = ImportOutcome::Refused.into();
            row.organisation_id.clear();
            "is there already / 登録済みです".clone_into(&mut row.message);
        }
    }
    let changed: Vec<OrganisationChanged> = made
        .into_iter()
        .filter(|made| stored.contains(&made.organisation_id))
        .map(|made| OrganisationChanged { organisation: Some(made), version: 1 })
        .collect();
    let traceparent = trace::current().header();
    let traced: Vec<(&str, &OrganisationChanged)> = changed.iter().map(|event| (traceparent.as_str(), event)).collect();
    outbox::add_traced(&mut tx, "organisation.changed", &traced).await?;
    let ids: Vec<Uuid> = new.iter().map(|new| new.id).filter(|id| stored.contains(&id.to_string())).collect();
    audit::record(&mut tx, &act(caller, "ImportOrganisations", key.request_id), &ids).await?;
    once::answer(&mut tx, identity.vault(), &key, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}

/// The supervising bodies that rows name, as far as they lie in the caller's scope.
async fn parents_of(
    conn: &mut sqlx::PgConnection,
    caller: &Caller,
    rows: &[Read],
) -> Result<HashMap<Uuid, Body>, Error> {
    let named: HashSet<Uuid> =
        rows.iter().filter_map(|row| Uuid::try_parse(&row.outcome.as_ref().ok()?.0.parent_id).ok()).collect();
    let mut found = HashMap::new();
    for id in named {
        if let Ok(body) = in_scope(conn, caller, id).await {
            found.insert(id, body);
        }
    }
    Ok(found)
}

fn checked(
    mut organisation: Organisation,
    key: String,
    caller: &Caller,
    above: &Body,
    parents: &HashMap<Uuid, Body>,
) -> Result<(Organisation, String), (String, String)> {
    let body = organisations::body_of(&organisation, caller).map_err(told)?;
    if !domain::may_create(above, &body) {
        return Err(("prefecture".to_owned(), "lies outside of your organisation's scope / 管轄外です".to_owned()));
    }
    let parent = body.parent_id.unwrap_or(caller.organisation_id);
    if parent != caller.organisation_id && !parents.contains_key(&parent) {
        return Err(("parent".to_owned(), "is no organisation of your scope / 上位機関が見つかりません".to_owned()));
    }
    organisation.parent_id = parent.to_string();
    "1".clone_into(&mut organisation.etag);
    Ok((organisation, key))
}

/// What is wrong with a row, as its column and a sentence.
fn told(error: Error) -> (String, String) {
    match error {
        Error::Invalid(violations) => violations
            .into_iter()
            .next()
            .map(|violation| {
                let column = violation.field.trim_start_matches("organisation.").to_owned();
                (column, violation.rule.shown().to_owned())
            })
            .unwrap_or_default(),
        other => (String::new(), tonic::Status::from(other).message().to_owned()),
    }
}

/// Reads our own columns, or those of the G-MIS list of hospitals.
fn read(text: &str) -> Result<Vec<Read>, Error> {
    let wrong = |why: String| Error::invalid("csv", "CSV を読めません", why);
    let mut reader = csv::ReaderBuilder::new().from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header = reader.headers().map_err(|error| wrong(error.to_string()))?.clone();
    let column = |name: &str| header.iter().position(|column| column.trim() == name);
    let gmis = column("医療機関コード").is_some() && column("医療機関名").is_some();
    if !gmis && (column("kind").is_none() || column("name").is_none()) {
        return Err(wrong("the header names neither kind and name nor 医療機関コード and 医療機関名".to_owned()));
    }
    let mut rows = Vec::new();
    for (index, record) in reader.records().enumerate() {
        if rows.len() == ROWS {
            return Err(wrong(format!("takes at most {ROWS} rows")));
        }
        let line = i32::try_from(index + 2).unwrap_or(i32::MAX);
        let Ok(record) = record else {
            let why = "has another number of columns than the header / 列数が見出しと異なります";
            rows.push(Read { line, outcome: Err((String::new(), why.to_owned())), note: String::new() });
            continue;
        };
        let cell = |name: &str| column(name).and_then(|at| record.get(at)).unwrap_or_default().trim().to_owned();
        let outcome = if gmis { of_gmis(&cell) } else { of_ours(&cell) };
        let note = match &outcome {
            Ok((organisation, _)) if code_is_odd(organisation) => {
                "the check digit of the institution code is unusual / 検証番号を確認してください".to_owned()
            }
            _ => String::new(),
        };
        rows.push(Read { line, outcome, note });
    }
    Ok(rows)
}

fn code_is_odd(organisation: &Organisation) -> bool {
    !organisation.institution_code.is_empty() && !domain::institution_code_checks(&organisation.institution_code)
}

/// A hospital of the list that the ministry's survey of medical provision (G-MIS) publishes.
fn of_gmis(cell: &impl Fn(&str) -> String) -> Result<(Organisation, String), (String, String)> {
    let name = cell("医療機関名");
    if name.is_empty() {
        return Err(("医療機関名".to_owned(), "is required / 必須です".to_owned()));
    }
    let (code, municipality) = (cell("医療機関コード"), cell("全国地方公共団体コード"));
    if code.len() != 10 || !code.bytes().all(|b| b.is_ascii_digit()) {
        return Err(("医療機関コード".to_owned(), "is ten digits / 10桁の数字です".to_owned()));
    }
    let prefecture = municipality.get(..2).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let organisation = Organisation {
        kind: Kind::Hospital.into(),
        name,
        prefecture,
        rights: Rights::Entry.into(),
        institution_code: code.clone(),
        local_government_code: municipality,
        ..Organisation::default()
    };
    Ok((organisation, format!("institution|{code}")))
}

/// A row of our own columns.
fn of_ours(cell: &impl Fn(&str) -> String) -> Result<(Organisation, String), (String, String)> {
    let refused = |field: &str, why: &str| Err((field.to_owned(), why.to_owned()));
    let Some(kind) = Kind::from_str_name(&format!("ORGANISATION_KIND_{}", cell("kind").to_uppercase())) else {
        return refused("kind", "is no kind of organisation / 種別が正しくありません");
    };
    let name = cell("name");
    if name.is_empty() || name.chars().count() > 200 {
        return refused("name", "has 1 to 200 characters / 1〜200文字です");
    }
    let Ok(prefecture) = cell("prefecture").parse::<i32>() else {
        return refused("prefecture", "is a number from 0 to 47 / 0〜47の数字です");
    };
    if !(0..=47).contains(&prefecture) {
        return refused("prefecture", "is a number from 0 to 47 / 0〜47の数字です");
    }
    let rights = match cell("rights").to_lowercase().as_str() {
        "" | "entry" => Rights::Entry,
        "view" => Rights::View,
        "none" => Rights::None,
        _ => return refused("rights", "is entry, view or none / entry、view、none のいずれかです"),
    };
    let code = cell("institution_code");
    let natural_key = if code.is_empty() {
        format!("{}|{prefecture}|{name}", kind.as_str_name())
    } else {
        format!("institution|{code}")
    };
    let organisation = Organisation {
        kind: kind.into(),
        name,
        prefecture,
        rights: rights.into(),
        institution_code: code,
        local_government_code: cell("local_government_code"),
        parent_id: cell("parent"),
        opens_on: cell("opens_on"),
        ..Organisation::default()
    };
    Ok((organisation, natural_key))
}

fn small(number: i32) -> i16 {
    i16::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::read;

    fn fault(row: &super::Read) -> &str {
        row.outcome.as_ref().err().map_or("", |(field, _)| field.as_str())
    }

    #[test]
    fn both_lists_are_read_and_a_row_at_fault_is_named() {
        let ours =
            "kind,name,prefecture,institution_code,rights\nclinic,なにわ医院,27,,entry\nzoo,動物園,27,,\nclinic,,27,,";
        let rows = read(ours).unwrap();
        assert!(rows[0].outcome.is_ok());
        assert_eq!(fault(&rows[1]), "kind");
        assert_eq!((rows[2].line, fault(&rows[2])), (4, "name"));
        let gmis = "\u{feff}医療機関コード,医療機関名,全国地方公共団体コード\n0110117785,創成東病院,011002\n0110117784,別の病院,011002";
        let rows = read(gmis).unwrap();
        let (hospital, key) = rows[0].outcome.as_ref().ok().unwrap();
        assert_eq!((hospital.prefecture, key.as_str()), (1, "institution|0110117785"));
        assert!(rows[0].note.is_empty());
        assert!(rows[1].outcome.is_ok() && !rows[1].note.is_empty(), "warned, not refused");
        assert!(read("a,b\n1,2").is_err());
    }
}
