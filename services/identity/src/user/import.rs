//! `ImportUsers`: IDs from a list, a result per row, and the slips to hand over.

use std::collections::{HashMap, HashSet};

use access::{Caller, OrganisationId, UserId};
use chassis::{Call, Error, Seen};
use proto::identity::{ImportOutcome, ImportUsersRequest, ImportUsersResponse, ImportedUser, Role};
use runtime::clock::{day_in_japan, to_proto};
use sqlx::{Connection as _, PgConnection};
use time::OffsetDateTime;

use super::{
    locked::must_all_be_in_scope,
    make::{check, make},
    model::{self, INITIAL_SECRET, Made, NewUser},
    slip::{self, Slip},
    store,
};
use crate::{
    organisation::{self, Body, ROWS, Standing},
    service::Identity,
};

/// A row as read.
#[derive(Clone, Debug, Default)]
struct Row {
    /// In the file; the header is line 1.
    line: i32,
    login: String,
    /// `None` where the cell holds no id.
    organisation_id: Option<OrganisationId>,
    role: String,
    holder_name: String,
    mail: String,
}

pub(crate) async fn import(identity: Identity, call: Call<ImportUsersRequest>) -> Result<ImportUsersResponse, Error> {
    let caller = &call.caller;
    let rows = read(&call.request.csv)?;
    let mut conn = identity.base.pool.acquire().await?;
    let bodies = bodies(&mut conn, caller, &rows).await?;
    drop(conn);

    let again = async |conn: &mut PgConnection, answer: &ImportUsersResponse| {
        let made = answer.rows.iter().filter(|row| !row.user_id.is_empty());
        let made: Vec<UserId> = made.map(|row| UserId::parse(&row.user_id)).collect::<Result<_, _>>()?;
        must_all_be_in_scope(conn, caller, &made).await?;
        // The answer carries secrets: nobody gets at an ID that sees more than their own.
        for hidden in store::hidden_of(conn, &made).await? {
            model::check_hidden("csv", caller.hidden, hidden).map_err(Error::Invalid)?;
        }
        Ok(Seen::records(made))
    };
    call.create(&identity.base, again, async |conn| {
        let (mut answers, mut made, mut slips) = (Vec::with_capacity(rows.len()), Vec::new(), Vec::new());
        for row in &rows {
            let body = row.organisation_id.and_then(|id| bodies.get(&id));
            match one(&identity, conn, caller, row, body, call.now).await {
                Ok(new) => {
                    answers.push(created(row, &new));
                    slips.push(Slip::new(&row.login, &row.holder_name, &new));
                    made.push(new.user_id);
                }
                Err(Error::Invalid(faults)) => answers.push(refused(row, faults)),
                // What is wrong with the database is wrong with the whole list.
                Err(other) => return Err(other),
            }
        }
        let with_slips = call.request.with_slips && !slips.is_empty();
        let answer = ImportUsersResponse {
            rows: answers,
            expire_time: Some(to_proto(call.now + INITIAL_SECRET)),
            slips_pdf: if with_slips { slip::pages(&identity, slips).await? } else { Vec::new() },
        };
        Ok((answer, Seen::records(made)))
    })
    .await
}

/// The organisations that rows name, as far as they are of the caller's scope.
async fn bodies(
    conn: &mut PgConnection,
    caller: &Caller,
    rows: &[Row],
) -> Result<HashMap<OrganisationId, (Body, Standing)>, Error> {
    let named: HashSet<OrganisationId> = rows.iter().filter_map(|row| row.organisation_id).collect();
    let named: Vec<OrganisationId> = named.into_iter().collect();
    let found = organisation::all_in_scope(conn, caller, &named).await?;
    let mut standings = organisation::standings(conn, &named).await?;
    let known = |body: Body| Some((body.id, (body, standings.remove(&body.id)?)));
    Ok(found.into_iter().filter_map(known).collect())
}

/// One row, in a savepoint of its own: a log-in that is taken takes no other row with it.
async fn one(
    identity: &Identity,
    conn: &mut PgConnection,
    caller: &Caller,
    row: &Row,
    body: Option<&(Body, Standing)>,
    now: OffsetDateTime,
) -> Result<Made, Error> {
    let (body, standing) = body.ok_or_else(|| {
        Error::invalid("organisation_id", "管轄の機関ではありません", "must be an organisation of your scope")
    })?;
    let role = Role::from_str_name(&format!("ROLE_{}", row.role.to_uppercase()))
        .ok_or_else(|| Error::invalid("role", "役割が正しくありません", "must be a role"))?;
    model::check_login(&row.login).map_err(Error::Invalid)?;
    if row.holder_name.chars().count() > 100 {
        return Err(Error::invalid("holder_name", "100文字以内です", "must have at most 100 characters"));
    }
    let new = NewUser {
        organisation_id: body.id,
        login: &row.login,
        role,
        holder_name: &row.holder_name,
        mail: &row.mail,
        hidden: caller.hidden,
    };
    check(caller, (body, standing), &new, day_in_japan(now))?;

    let mut savepoint = conn.begin().await?;
    let made = make(identity, &mut savepoint, Some(caller.user_id), &new, now).await?;
    savepoint.commit().await?;
    Ok(made)
}

fn created(row: &Row, made: &Made) -> ImportedUser {
    ImportedUser {
        line: row.line,
        outcome: ImportOutcome::Created.into(),
        user_id: made.user_id.to_string(),
        login: row.login.clone(),
        initial_secret: made.initial_secret.clone(),
        ..ImportedUser::default()
    }
}

fn refused(row: &Row, faults: Vec<runtime::problem::Violation>) -> ImportedUser {
    let fault = faults.into_iter().next();
    ImportedUser {
        line: row.line,
        outcome: ImportOutcome::Refused.into(),
        login: row.login.clone(),
        message: fault.as_ref().map(|fault| fault.rule.shown().to_owned()).unwrap_or_default(),
        field: fault.map(|fault| fault.field).unwrap_or_default(),
        ..ImportedUser::default()
    }
}

fn read(text: &str) -> Result<Vec<Row>, Error> {
    let wrong = |why: String| Error::invalid("csv", "CSV を読めません", why);
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header = reader.headers().map_err(|_| wrong("must be CSV with a header".to_owned()))?.clone();
    let column = |name: &str| header.iter().position(|column| column.trim() == name);
    if let Some(missing) = ["login", "organisation_id", "role"].into_iter().find(|name| column(name).is_none()) {
        return Err(wrong(format!("must have a header with {missing}")));
    }
    let mut rows = Vec::new();
    for (index, record) in reader.records().enumerate() {
        if rows.len() == ROWS {
            return Err(wrong(format!("must have at most {ROWS} rows")));
        }
        let record = record.map_err(|_| wrong(format!("must be CSV in line {}", index + 2)))?;
        let cell = |name: &str| column(name).and_then(|at| record.get(at)).unwrap_or_default().trim().to_owned();
        rows.push(Row {
            line: i32::try_from(index + 2).unwrap_or(i32::MAX),
            login: cell("login"),
            organisation_id: OrganisationId::parse(&cell("organisation_id")).ok(),
            role: cell("role"),
            holder_name: cell("holder_name"),
            mail: cell("mail"),
        });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::{
        identity::{ImportOutcome, ImportUsersRequest, ImportUsersResponse, ListUsersRequest, NextStep, Role},
        options::Group,
    };
    use testing::{Outcome, Refused as _};
    use tonic::{Code, Status};

    use crate::{
        fixture::{Scene, request_id},
        user,
    };

    const HEADER: &str = "login,organisation_id,role,holder_name,mail";

    async fn import(
        scene: &Scene,
        caller: &Caller,
        request: ImportUsersRequest,
    ) -> Result<ImportUsersResponse, Status> {
        scene.world.ask(&scene.identity, caller, request, user::import).await
    }

    fn asked(rows: &str) -> ImportUsersRequest {
        ImportUsersRequest { request_id: request_id(), csv: format!("{HEADER}\n{rows}"), with_slips: false }
    }

    #[tokio::test]
    async fn each_row_has_its_own_result_and_a_row_at_fault_holds_up_no_other() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.centre.narrowed(Role::Administrator, [Group::Clinical]);
        let (hospital, above) = (scene.hospital.id, scene.prefecture.id);
        let long = "長".repeat(101);
        let rows = format!(
            "one,{hospital},nurse,髙﨑 花子,one@example.jp\none,{hospital},nurse,,\nx.queen,{hospital},queen,,\n\
             x.beyond,{hospital},coordinator,,\nx.above,{above},nurse,,\nx.where,somewhere,nurse,,\nA B,{hospital},nurse,,\n\
             x.mail,{hospital},nurse,,nowhere\nx.long,{hospital},nurse,{long},\ntwo,{hospital},clerk"
        );
        let answer = import(&scene, &admin, asked(&rows)).await?;
        let faults: Vec<(i32, &str)> = answer.rows.iter().map(|row| (row.line, row.field.as_str())).collect();
        let expected = [
            (2, ""),
            (3, "login"),
            (4, "role"),
            (5, "role"),
            (6, "organisation_id"),
            (7, "organisation_id"),
            (8, "login"),
            (9, "mail"),
            (10, "holder_name"),
            (11, ""),
        ];
        assert_eq!(faults, expected);
        let made: Vec<_> = answer.rows.iter().filter(|row| row.outcome == i32::from(ImportOutcome::Created)).collect();
        assert_eq!(made.len(), 2);
        assert_ne!(made[0].initial_secret, made[1].initial_secret);
        assert_eq!(scene.sign_in("two", &made[1].initial_secret).await?.next_step, i32::from(NextStep::Enrol));
        assert_eq!(scene.world.audited("ImportUsers").await?.len(), 2);

        let list = ListUsersRequest { organisation_id: hospital.to_string(), ..ListUsersRequest::default() };
        let listed = scene.world.ask(&scene.identity, &admin, list, user::list).await?.users;
        assert!(listed.iter().all(|user| user.hidden_groups == [i32::from(Group::Clinical)]), "as their issuer");
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_request_shows_the_same_secrets_and_is_audited() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.centre.staff(Role::Administrator);
        let request = asked(&format!("one,{},nurse,,", scene.hospital.id));
        let first = import(&scene, &admin, request.clone()).await?;
        assert!(import(&scene, &admin, request.clone()).await? == first);
        assert_eq!(scene.world.audited("ImportUsers").await?.len(), 2);
        let reused = ImportUsersRequest { with_slips: true, ..request.clone() };
        assert_eq!(import(&scene, &admin, reused).await.refused().code(), Code::AlreadyExists);
        let moved = Caller { user_id: admin.user_id, ..scene.hospital.staff(Role::Administrator) };
        import(&scene, &moved, request.clone()).await?;
        let elsewhere = scene.organisation(proto::identity::OrganisationKind::Clinic, 13, scene.ministry).await?;
        let moved = Caller { user_id: admin.user_id, ..elsewhere.staff(Role::Administrator) };
        assert_eq!(import(&scene, &moved, request).await.refused().code(), Code::NotFound);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.centre.staff(Role::Administrator);
        let row = format!("one,{},nurse,,", scene.hospital.id);
        let no_header = ImportUsersRequest { csv: "login,role\none,nurse".to_owned(), ..asked("") };
        let many = asked(&format!("{row}\n").repeat(1_001));
        let slips = ImportUsersRequest { with_slips: true, ..asked(&row) };
        for (caller, request, code, field) in [
            (scene.hospital.staff(Role::Nurse), asked(&row), Code::PermissionDenied, ""),
            (admin.clone(), no_header, Code::InvalidArgument, "csv"),
            (admin.clone(), many, Code::InvalidArgument, "csv"),
            // There is no font.
            (admin.clone(), slips, Code::FailedPrecondition, ""),
        ] {
            let status = import(&scene, &caller, request).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (code, true), "{field}: {status}");
        }
        Ok(())
    }
}
