//! 緊急閲覧: a case is opened outside of one's relations, for three hours, with a reason, and the centre is told at once. And
//! new access IDs for lost or leaked ones.

use access::{Caller, Relations, audit, audit::Act, audit::Actor, classes};
use chassis::{Error, once};
use data::outbox;
use japan::access_id::AccessId;
use proto::registry::{
    BreakGlassRequest, BrokenGlass, Case as CaseView, CaseOpenedInEmergency, ListBreakGlassRequest,
    ListBreakGlassResponse, PersonCorrected, ReissueAccessRequest, ReissueAccessResponse, Relation,
};
use runtime::{clock::to_proto, problem::text};
use sqlx::{FromRow, PgConnection};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;
use vault::Place;

use crate::{
    rpc::Registry,
    store::{self, GrantRow},
    write,
};

/// How long a case stands open.
const OPEN: Duration = Duration::hours(3);
/// Where the reason lies.
pub(crate) const REASON: Place = Place { table: "break_glass", column: "reason" };

/// An opening as stored.
#[derive(FromRow)]
#[expect(clippy::struct_field_names, reason = "fields are named as their columns")]
struct Opening {
    opening_id: Uuid,
    case_id: Uuid,
    user_id: Uuid,
    organisation_id: Uuid,
    at: OffsetDateTime,
    until: OffsetDateTime,
    reason: Vec<u8>,
}

impl Registry {
    pub(crate) async fn break_glass(&self, caller: Caller, request: BreakGlassRequest) -> Result<CaseView, Error> {
        let key = once::key(&self.base.vault, &caller, "BreakGlass", &request.request_id, &request)?;
        let mut tx = self.base.pool.begin().await?;
        let id = match (request.case_id.as_str(), request.access_id.as_str()) {
            ("", "") => {
                return Err(Error::invalid(
                    "case_id",
                    "症例かスマホ入力IDを指定してください",
                    "or an access ID is required",
                ));
            }
            ("", typed) => {
                let typed = AccessId::parse(typed).ok_or_else(|| {
                    Error::invalid("access_id", "IDを確認してください", "is mistyped: its check character is wrong")
                })?;
                let hash = write::access_index(&self.base.vault, &typed);
                case_of_access(&mut tx, &hash).await?.ok_or(Error::NotFound("case"))?
            }
            (id, _) => Uuid::try_parse(id).map_err(|_| Error::NotFound("case"))?,
        };
        let mut case = store::lock_cases(&mut tx, &[id]).await?.pop().ok_or(Error::NotFound("case"))?;
        let relations = Relations::new(vec![Relation::BreakGlass], &caller);
        let groups = classes::groups_shown(&relations);
        let act = Act {
            actor: Actor::Caller(&caller),
            rpc: key.rpc,
            groups: &groups,
            request_id: Some(key.request_id),
            on_behalf_of: None,
        };
        audit::record(&mut tx, &act, &[id]).await?;
        if let Some(answer) = once::claim(&mut tx, &self.base.vault, &key).await? {
            // Three hours are over for a repeated answer too.
            self.relations(&mut tx, &caller, id).await?;
            tx.commit().await?;
            return Ok(answer);
        }
        match self.relations(&mut tx, &caller, id).await {
            Ok(held) if held.iter().any(|relation| *relation != Relation::BreakGlass) => {
                return Err(Error::Precondition(text(
                    "すでに閲覧できる症例です。",
                    "Your organisation sees this case already.",
                )));
            }
            Ok(_) | Err(Error::NotFound(_)) => {}
            Err(other) => return Err(other),
        }
        let now = self.clock.now();
        let opening_id = Uuid::now_v7();
        case.step(now);
        let opened =
            GrantRow { until: Some(now + OPEN), ..write::grant(&case, caller.organisation_id, Relation::BreakGlass) };
        let opening = Opening {
            opening_id,
            case_id: id,
            user_id: caller.user_id,
            organisation_id: caller.organisation_id,
            at: now,
            until: now + OPEN,
            reason: self.base.vault.seal(REASON, opening_id.as_bytes(), request.reason.as_bytes())?,
        };
        insert(&mut tx, &opening).await?;
        write::save_one(&mut tx, &case, &[opened]).await?;
        let told = CaseOpenedInEmergency {
            case_id: id.to_string(),
            opening_id: opening_id.to_string(),
            at: Some(to_proto(now)),
        };
        outbox::add(&mut tx, "case.opened_in_emergency", &told).await?;
        let view = self.view(&mut tx, case, &relations).await?;
        once::answer(&mut tx, &self.base.vault, &key, &view).await?;
        tx.commit().await?;
        tracing::warn!(case_id = %id, user_id = %caller.user_id, "A case was opened in an emergency");
        Ok(view)
    }

    pub(crate) async fn list_break_glass(
        &self,
        caller: &Caller,
        request: &ListBreakGlassRequest,
    ) -> Result<ListBreakGlassResponse, Error> {
        let id = Uuid::try_parse(&request.case_id).map_err(|_| Error::NotFound("case"))?;
        let mut tx = self.base.pool.begin().await?;
        let relations = self.relations(&mut tx, caller, id).await?;
        crate::rpc::read_audit(&mut tx, caller, "ListBreakGlass", &relations, &[id]).await?;
        let rows: Vec<Opening> = sqlx::query_as(
            "select opening_id, case_id, user_id, organisation_id, at, until, reason from break_glass
             where case_id = $1 order by at desc limit 100",
        )
        .bind(id)
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let openings = rows
            .into_iter()
            .map(|row| {
                let reason = self.base.vault.open(REASON, row.opening_id.as_bytes(), &row.reason)?;
                let shown = BrokenGlass {
                    user_id: row.user_id.to_string(),
                    organisation_id: row.organisation_id.to_string(),
                    at: Some(to_proto(row.at)),
                    until: Some(to_proto(row.until)),
                    reason: String::from_utf8_lossy(&reason).into_owned(),
                };
                classes::mask(&shown, "hersys.registry.v1.BrokenGlass", &relations).map_err(Error::Internal)
            })
            .collect::<Result<_, Error>>()?;
        Ok(ListBreakGlassResponse { openings })
    }

    /// A new access ID. Identity hears of it and ends what the old one opened.
    pub(crate) async fn reissue_access(
        &self,
        caller: Caller,
        request: ReissueAccessRequest,
    ) -> Result<ReissueAccessResponse, Error> {
        let key = once::key(&self.base.vault, &caller, "ReissueAccess", &request.request_id, &request)?;
        let id = Uuid::try_parse(&request.case_id).map_err(|_| Error::NotFound("case"))?;
        let mut tx = self.base.pool.begin().await?;
        let case = store::lock_cases(&mut tx, &[id]).await?.pop().ok_or(Error::NotFound("case"))?;
        let relations = self.relations(&mut tx, &caller, id).await?;
        crate::rpc::read_audit(&mut tx, &caller, key.rpc, &relations, &[id]).await?;
        if let Some(answer) = once::claim(&mut tx, &self.base.vault, &key).await? {
            tx.commit().await?;
            return Ok(answer);
        }
        if !relations.iter().copied().any(crate::change::may_record) {
            return Err(Error::Denied(text(
                "この症例に対してこの操作を行う権限がありません。",
                "Your relation to this case does not allow this.",
            )));
        }
        let (access_id, sealed, hash) = write::mint_access_id(&self.base.vault, case.id)?;
        sqlx::query("update cases set access_sealed = $2, access_hash = $3 where case_id = $1")
            .bind(id)
            .bind(sealed)
            .bind(hash)
            .execute(&mut *tx)
            .await?;
        outbox::add(&mut tx, "person.corrected", &PersonCorrected { case_id: id.to_string() }).await?;
        let answer = ReissueAccessResponse { access_id: access_id.printed() };
        once::answer(&mut tx, &self.base.vault, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }
}

async fn case_of_access(conn: &mut PgConnection, hash: &[u8]) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar("select case_id from cases where access_hash = $1").bind(hash).fetch_optional(conn).await
}

async fn insert(conn: &mut PgConnection, opening: &Opening) -> sqlx::Result<()> {
    sqlx::query(
        "insert into break_glass (opening_id, case_id, user_id, organisation_id, at, until, reason)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(opening.opening_id)
    .bind(opening.case_id)
    .bind(opening.user_id)
    .bind(opening.organisation_id)
    .bind(opening.at)
    .bind(opening.until)
    .bind(&opening.reason)
    .execute(conn)
    .await?;
    Ok(())
}
