//! `ImportOrganisations`: organisations from a list, a result per row. A row at fault holds up no other; a second load changes
//! nothing.

use std::collections::{HashMap, HashSet};

use access::{Caller, OrganisationId};
use chassis::{Call, Error, Seen};
use data::outbox;
use proto::identity::{
    ImportOrganisationsRequest, ImportOrganisationsResponse, ImportOutcome, ImportedOrganisation, OrganisationChanged,
};
use runtime::problem::{Violation, text};
use sqlx::PgConnection;
use time::Date;

use super::{
    add::changed,
    item::{self, Item},
    model::{self, Body},
    rows::{self, Loaded, Row},
    scope::{self, Maker},
    standing,
    store::{self, Listed},
};
use crate::service::Identity;

pub(crate) async fn import(
    identity: Identity,
    call: Call<ImportOrganisationsRequest>,
) -> Result<ImportOrganisationsResponse, Error> {
    let caller = &call.caller;
    let rows = rows::read(&call.request.csv)?;
    let mut conn = identity.base.pool.acquire().await?;
    let rows = checked(&mut conn, caller, rows, call.today()).await?;
    drop(conn);

    let again = async |conn: &mut PgConnection, answer: &ImportOrganisationsResponse| {
        // A dry run made nothing.
        let made = if call.request.dry_run { Vec::new() } else { made_by(answer)? };
        if scope::all_in_scope(conn, caller, &made).await?.len() < made.len() {
            return Err(Error::NotFound("organisation"));
        }
        Ok(Seen::records(made))
    };
    call.create(&identity.base, again, async |conn| {
        let (mut answers, new) = planned(conn, rows).await?;
        let mut stored = Vec::new();
        if !call.request.dry_run {
            stored = store::insert_many(conn, &new).await?;
            refuse_the_others(&mut answers, &stored);
            let events: Vec<OrganisationChanged> = new
                .iter()
                .filter(|new| stored.contains(&new.body.id))
                .map(|new| changed(&new.organisation, 1))
                .collect();
            outbox::add_all(conn, &events).await?;
        }
        Ok((ImportOrganisationsResponse { rows: answers }, Seen::records(stored)))
    })
    .await
}

/// A row that was looked at.
struct Checked {
    line: i32,
    outcome: Result<(Body, Loaded), Violation>,
}

/// Looks at every row with the eyes of its maker.
async fn checked(conn: &mut PgConnection, caller: &Caller, rows: Vec<Row>, today: Date) -> Result<Vec<Checked>, Error> {
    let above = scope::own(conn, caller).await?;
    let maker = scope::maker(conn, caller).await?;
    let named: HashSet<OrganisationId> = rows
        .iter()
        .filter_map(|row| OrganisationId::parse(&row.outcome.as_ref().ok()?.organisation.parent_id).ok())
        .collect();
    let named: Vec<OrganisationId> = named.into_iter().collect();
    let closed = standing::closed(conn, &named, today).await?;
    let parents: HashSet<OrganisationId> = scope::all_in_scope(conn, caller, &named)
        .await?
        .into_iter()
        .map(|body| body.id)
        .filter(|id| !closed.contains(id))
        .collect();
    let check = |loaded| check(loaded, (caller, &maker), &above, &parents);
    Ok(rows.into_iter().map(|row| Checked { line: row.line, outcome: row.outcome.and_then(check) }).collect())
}

fn check(
    mut loaded: Loaded,
    (caller, maker): (&Caller, &Maker),
    above: &Body,
    parents: &HashSet<OrganisationId>,
) -> Result<(Body, Loaded), Violation> {
    let body = model::new_body(&loaded.organisation, caller.organisation_id).map_err(of_column)?;
    item::check(&loaded.organisation, &Item::ALL, maker).map_err(of_column)?;
    if !model::may_create(above, &body) {
        return Err(Violation::new("prefecture", "管轄外です", "must be inside your organisation's scope"));
    }
    if body.parent_id.is_some_and(|parent| parent != caller.organisation_id && !parents.contains(&parent)) {
        return Err(Violation::new("parent", "上位機関が見つかりません", "must be an organisation of your scope"));
    }
    loaded.organisation.organisation_id = body.id.to_string();
    loaded.organisation.parent_id = data::text(body.parent_id);
    "1".clone_into(&mut loaded.organisation.etag);
    Ok((body, loaded))
}

/// What is wrong with a row, by its column.
fn of_column(faults: Vec<Violation>) -> Violation {
    let first = faults.into_iter().next().unwrap_or_else(|| Violation::new("", "", ""));
    let field = first.field.trim_start_matches("organisation.").replace("parent_id", "parent");
    Violation { field, ..first }
}

/// What becomes of each row, and what is to be stored.
async fn planned(
    conn: &mut PgConnection,
    rows: Vec<Checked>,
) -> Result<(Vec<ImportedOrganisation>, Vec<Listed>), Error> {
    let keys: Vec<String> =
        rows.iter().filter_map(|row| Some(row.outcome.as_ref().ok()?.1.natural_key.clone())).collect();
    let mut there: HashMap<String, OrganisationId> = store::by_natural_keys(conn, &keys).await?;
    let (mut answers, mut new) = (Vec::with_capacity(rows.len()), Vec::new());
    for Checked { line, outcome } in rows {
        let mut answer = ImportedOrganisation { line, ..ImportedOrganisation::default() };
        match outcome {
            Err(fault) => refuse(&mut answer, &fault),
            Ok((body, Loaded { organisation, natural_key })) => {
                answer.message = warning(&organisation.institution_code);
                if let Some(id) = there.get(&natural_key) {
                    answer.outcome = ImportOutcome::Unchanged.into();
                    answer.organisation_id = id.to_string();
                } else {
                    there.insert(natural_key.clone(), body.id);
                    answer.outcome = ImportOutcome::Created.into();
                    answer.organisation_id = body.id.to_string();
                    new.push(Listed { body, organisation, natural_key });
                }
            }
        }
        answers.push(answer);
    }
    Ok((answers, new))
}

/// Somebody else's list was faster, or the prefecture is there: that row is told so, and the others are made.
fn refuse_the_others(answers: &mut [ImportedOrganisation], stored: &[OrganisationId]) {
    let stored: HashSet<String> = stored.iter().map(ToString::to_string).collect();
    let taken = Violation::new("", "登録済みです", "must not be registered already");
    for answer in answers.iter_mut().filter(|answer| answer.outcome == i32::from(ImportOutcome::Created)) {
        if !stored.contains(&answer.organisation_id) {
            refuse(answer, &taken);
        }
    }
}

fn refuse(answer: &mut ImportedOrganisation, fault: &Violation) {
    answer.outcome = ImportOutcome::Refused.into();
    answer.organisation_id.clear();
    answer.field.clone_from(&fault.field);
    fault.rule.shown().clone_into(&mut answer.message);
}

/// What to check although the row is taken.
fn warning(institution_code: &str) -> String {
    if institution_code.is_empty() || model::institution_code_checks(institution_code) {
        return String::new();
    }
    let odd = text("検証番号を確認してください", "check the institution code: its check digit is unusual");
    odd.shown().to_owned()
}

fn made_by(answer: &ImportOrganisationsResponse) -> Result<Vec<OrganisationId>, Error> {
    let made = answer.rows.iter().filter(|row| row.outcome == i32::from(ImportOutcome::Created));
    Ok(made.map(|row| OrganisationId::parse(&row.organisation_id)).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::identity::{
        ImportOrganisationsRequest, ImportOrganisationsResponse, ImportOutcome, ListOrganisationsRequest,
        OrganisationChanged, OrganisationKind as Kind, Role,
    };
    use testing::{Outcome, Refused as _};
    use tonic::{Code, Status};

    use crate::{
        fixture::{Scene, request_id},
        organisation,
    };

    async fn import(
        scene: &Scene,
        caller: &Caller,
        request: ImportOrganisationsRequest,
    ) -> Result<ImportOrganisationsResponse, Status> {
        scene.world.ask(&scene.identity, caller, request, organisation::import).await
    }

    fn asked(csv: &str) -> ImportOrganisationsRequest {
        ImportOrganisationsRequest { request_id: request_id(), csv: csv.to_owned(), dry_run: false }
    }

    fn outcomes(answer: &ImportOrganisationsResponse) -> Vec<ImportOutcome> {
        answer.rows.iter().map(|row| data::code(row.outcome)).collect()
    }

    #[tokio::test]
    async fn each_row_has_its_own_result_and_a_second_load_changes_nothing() -> Outcome {
        use ImportOutcome::{Created, Refused, Unchanged};
        let scene = Scene::new().await?;
        let admin = scene.prefecture.staff(Role::Administrator);
        let tokyo = scene.organisation(Kind::Prefecture, 13, scene.ministry).await?;
        let before = scene.world.announced::<OrganisationChanged>().await?.len();
        let csv = format!(
            "kind,name,prefecture,institution_code,parent,opening_date\n\
             clinic,なにわ医院,27,,{},2020-07-01\nzoo,動物園,27,,,\nclinic,遠い医院,13,,,\nclinic,よその医院,27,,{},\n\
             clinic,古い医院,27,,,yesterday\nhospital,病院,27,2710117784,,\nclinic,なにわ医院,27,,,",
            scene.centre.id, tokyo.id
        );
        let first = import(&scene, &admin, asked(&csv)).await?;
        assert_eq!(outcomes(&first), [Created, Refused, Refused, Refused, Refused, Created, Unchanged]);
        let faults: Vec<&str> = first.rows.iter().map(|row| row.field.as_str()).collect();
        assert_eq!(faults, ["", "kind", "prefecture", "parent", "opening_date", "", ""]);
        assert!(!first.rows[5].message.is_empty(), "the check digit is unusual");
        assert_eq!(first.rows[6].organisation_id, first.rows[0].organisation_id, "twice in one list");

        let announced: Vec<OrganisationChanged> = scene.world.announced().await?;
        assert_eq!(announced.len(), before + 2);
        assert_eq!(announced.last().unwrap().organisation.as_ref().unwrap().etag, "1");
        assert_eq!(scene.world.audited("ImportOrganisations").await?.len(), 2);

        let second = import(&scene, &admin, asked(&csv)).await?;
        assert_eq!(outcomes(&second), [Unchanged, Refused, Refused, Refused, Refused, Unchanged, Unchanged]);
        Ok(())
    }

    #[tokio::test]
    async fn a_prefecture_that_is_there_is_refused_and_the_others_are_made() -> Outcome {
        let scene = Scene::new().await?;
        let csv = "kind,name,prefecture\nprefecture,大阪府,27\nprefecture,東京都,13";
        let answer = import(&scene, &scene.minister, asked(csv)).await?;
        assert_eq!(outcomes(&answer), [ImportOutcome::Refused, ImportOutcome::Created]);
        assert!(answer.rows[0].organisation_id.is_empty() && !answer.rows[0].message.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn a_dry_run_tells_what_would_happen() -> Outcome {
        let scene = Scene::new().await?;
        let csv = "kind,name,prefecture\nclinic,なにわ医院,27";
        let request = ImportOrganisationsRequest { dry_run: true, ..asked(csv) };
        for _ in 0..2 {
            let answer = import(&scene, &scene.minister, request.clone()).await?;
            assert_eq!(outcomes(&answer), [ImportOutcome::Created]);
        }
        assert!(scene.world.audited("ImportOrganisations").await?.is_empty());
        let clinics = ListOrganisationsRequest { kind: Kind::Clinic.into(), ..ListOrganisationsRequest::default() };
        let clinics = scene.world.ask(&scene.identity, &scene.minister, clinics, organisation::list).await?;
        assert!(clinics.organisations.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_request_makes_nothing_new_and_is_audited() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.prefecture.staff(Role::Administrator);
        let request = asked("kind,name,prefecture\nclinic,なにわ医院,27");
        let first = import(&scene, &admin, request.clone()).await?;
        let again = import(&scene, &admin, request.clone()).await?;
        assert!(first == again);
        assert_eq!(scene.world.audited("ImportOrganisations").await?.len(), 2);
        let reused = ImportOrganisationsRequest { dry_run: true, ..request.clone() };
        assert_eq!(import(&scene, &admin, reused).await.refused().code(), Code::AlreadyExists);
        let tokyo = scene.organisation(Kind::Prefecture, 13, scene.ministry).await?;
        let moved = Caller { user_id: admin.user_id, ..tokyo.staff(Role::Administrator) };
        assert_eq!(import(&scene, &moved, request).await.refused().code(), Code::NotFound);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let good = "kind,name,prefecture\nclinic,なにわ医院,27";
        for (caller, csv, code, field) in [
            (scene.centre.staff(Role::Administrator), good, Code::PermissionDenied, ""),
            (scene.minister.clone(), "a,b\n1,2", Code::InvalidArgument, "csv"),
        ] {
            let status = import(&scene, &caller, asked(csv)).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (code, true), "{field}");
        }
        Ok(())
    }
}
