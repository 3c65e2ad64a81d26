//! `WatchCase`: that a case changed, and which parts of it.
//!
//! Nothing is written for it: a watcher knows the marks of the parts it was told of, compares them with those of now, and carries them in
//! its cursor.

mod model;
mod store;

use std::sync::Arc;

use access::{CaseId, Relations};
use chassis::{
    Call, Error, Reply, Seen,
    watch::{Arrivals, Arrived, Since, Stream},
};
use proto::registry::{WatchCaseRequest, WatchCaseResponse};
use sqlx::PgConnection;
use tokio::sync::Mutex;
use tonic::Request;
use uuid::Uuid;

use self::model::Cursor;
use super::{grants, model::Case, store::find};
use crate::{section, service::Registry};

/// What the watcher knows. `None` until the watch is set up.
type Known = Arc<Mutex<Option<Cursor>>>;

pub(crate) fn watch(registry: &Registry, request: Request<WatchCaseRequest>) -> Reply<Stream<WatchCaseResponse>> {
    let known: Known = Arc::new(Mutex::new(None));
    let shown = Arc::clone(&known);
    // Changes of other cases wake nobody: each watch looks for its own at its own pace.
    registry.base.watch(
        registry,
        request,
        &Arrivals::default(),
        move |registry, call, _: Since| look(registry, call, Arc::clone(&known)),
        move |registry, call, _: Vec<Uuid>| show(registry, call, Arc::clone(&shown)),
    )
}

/// Whether the case is another one than the watcher knows. The watch goes on as long as the relation does.
async fn look(registry: Registry, call: Arc<Call<WatchCaseRequest>>, known: Known) -> Result<Vec<Arrived>, Error> {
    let mut conn = registry.base.pool.acquire().await?;
    let (case, _) = seen(&registry, &mut conn, &call).await?;
    let mut known = known.lock().await;
    let Some(cursor) = known.as_ref() else {
        *known = match Cursor::parse(&call.request.cursor)? {
            None => Some(Cursor::Marks(store::marks(&mut conn, case.id).await?)),
            cursor => cursor,
        };
        return Ok(Vec::new());
    };
    let changed = cursor.version() != case.version;
    Ok(changed.then(|| (Uuid::now_v7(), registry.base.clock.now())).into_iter().collect())
}

async fn show(registry: Registry, call: Arc<Call<WatchCaseRequest>>, known: Known) -> Result<WatchCaseResponse, Error> {
    let mut tx = registry.base.pool.begin().await?;
    let (case, relations) = seen(&registry, &mut tx, &call).await?;
    let marks = store::marks(&mut tx, case.id).await?;
    call.record(&mut tx, &Seen::by(&relations, [case.id])).await?;
    tx.commit().await?;

    let mut known = known.lock().await;
    let before = known.get_or_insert(Cursor::Version(0));
    let changed = marks.since(before, &relations, section::group_of);
    let cursor = marks.to_string();
    let etag = marks.version.to_string();
    *before = Cursor::Marks(marks);
    Ok(WatchCaseResponse {
        etag,
        parts: changed.parts.into_iter().map(Into::into).collect(),
        section_ids: changed.sections,
        cursor,
    })
}

async fn seen(
    registry: &Registry,
    conn: &mut PgConnection,
    call: &Call<WatchCaseRequest>,
) -> Result<(Case, Relations), Error> {
    let case = find(conn, CaseId::parse(&call.request.case_id)?).await?;
    let relations = grants::relations(registry, conn, &case, &call.caller, registry.base.clock.now()).await?;
    Ok((case, relations))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use access::{Caller, CaseId};
    use anyhow::Context as _;
    use proto::{
        identity::{ContractScope, OrganisationKind as Kind, Role},
        options::Group,
        registry::{
            Answer, CasePart, GetCaseRequest, JudgeAdmissionRequest, Person, RecordOutcomeRequest, Relation,
            UpdatePersonRequest, UpdateSectionRequest, WatchCaseRequest, WatchCaseResponse,
        },
    };
    use testing::{Outcome, Refused as _, patient};
    use tokio::sync::mpsc::Receiver;
    use tonic::{Code, Request, Status};

    use super::watch;
    use crate::{
        case, course,
        fixture::{Scene, form, request_id},
        person, section,
    };

    type Messages = Receiver<Result<WatchCaseResponse, Status>>;

    fn request(who: &Caller, case: CaseId, cursor: &str) -> Request<WatchCaseRequest> {
        let mut request = Request::new(WatchCaseRequest { case_id: case.to_string(), cursor: cursor.to_owned() });
        request.extensions_mut().insert(who.clone());
        request
    }

    async fn next(messages: &mut Messages) -> anyhow::Result<Result<WatchCaseResponse, Status>> {
        tokio::time::timeout(Duration::from_secs(10), messages.recv()).await?.context("the watch ended")
    }

    /// A watch that stands.
    async fn watched(scene: &Scene, who: &Caller, case: CaseId, cursor: &str) -> anyhow::Result<Messages> {
        let mut messages = watch(&scene.registry, request(who, case, cursor))?.into_inner().into_inner();
        assert!(next(&mut messages).await?? == WatchCaseResponse::default());
        Ok(messages)
    }

    async fn judge(scene: &Scene, case: CaseId) -> Outcome {
        let judged = JudgeAdmissionRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            necessity: 1,
            ..JudgeAdmissionRequest::default()
        };
        scene.ask(&scene.nurse, judged, course::judge_admission).await?;
        Ok(())
    }

    async fn answer(scene: &Scene, case: CaseId) -> Outcome {
        let answers = vec![Answer { item: "infection_link".to_owned(), values: vec!["yes".to_owned()] }];
        let written = UpdateSectionRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            section_id: "source".to_owned(),
            section_etag: String::new(),
            answers,
            entry: None,
        };
        scene.ask(&scene.nurse, written, section::update).await?;
        Ok(())
    }

    async fn rename(scene: &Scene, case: CaseId) -> Outcome {
        let corrected = UpdatePersonRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            person: Some(Person { address: "大阪市北区".to_owned(), ..Person::default() }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["address".to_owned()] }),
            etag: String::new(),
        };
        scene.ask(&scene.nurse, corrected, person::update).await?;
        Ok(())
    }

    fn told(message: &WatchCaseResponse) -> (Vec<CasePart>, Vec<&str>) {
        (message.parts().collect(), message.section_ids.iter().map(String::as_str).collect())
    }

    #[tokio::test]
    async fn each_change_comes_with_the_parts_that_changed_and_is_audited() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let mut messages = watched(&scene, &scene.nurse, id, "").await?;

        judge(&scene, id).await?;
        let news = next(&mut messages).await??;
        assert_eq!((news.etag.as_str(), told(&news)), ("2", (vec![CasePart::Course], vec![])));
        answer(&scene, id).await?;
        let news = next(&mut messages).await??;
        assert_eq!((news.etag.as_str(), told(&news)), ("3", (vec![], vec!["source"])));
        rename(&scene, id).await?;
        assert!(told(&next(&mut messages).await??).0.contains(&CasePart::Person));
        scene.offer(id).await?;
        assert_eq!(told(&next(&mut messages).await??).0, [CasePart::Transfer, CasePart::Grants]);
        scene.file(scene.clinic, scene.osaka, Some(id), form()).await?;
        assert!(told(&next(&mut messages).await??).0.contains(&CasePart::Notifications));
        // Another case is no news.
        scene.unrelated().await?;
        judge(&scene, id).await?;
        assert_eq!(next(&mut messages).await??.etag, "7");

        let rows = scene.world.audited("WatchCase").await?;
        assert_eq!(rows.len(), 6);
        assert!(rows.iter().all(|row| row.record == id.uuid() && row.user == Some(scene.nurse.user_id.uuid())));
        assert!(rows.iter().all(|row| row.groups.is_empty()), "nothing of the person was shown");
        Ok(())
    }

    #[tokio::test]
    async fn a_watch_goes_on_where_an_earlier_one_or_a_reading_ended() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let read = scene.get(&scene.nurse, id).await?.etag;
        let mut messages = watched(&scene, &scene.nurse, id, &read).await?;
        judge(&scene, id).await?;
        let first = next(&mut messages).await??;
        drop(messages);

        answer(&scene, id).await?;
        rename(&scene, id).await?;
        let mut messages = watched(&scene, &scene.nurse, id, &first.cursor).await?;
        let missed = next(&mut messages).await??;
        assert_eq!(missed.etag, "4", "both at once");
        let (parts, sections) = told(&missed);
        assert!(parts.contains(&CasePart::Person) && !parts.contains(&CasePart::Notifications), "{parts:?}");
        assert_eq!(sections, ["source"]);
        drop(messages);

        // Nothing was missed: the next thing that comes is the next change.
        let mut messages = watched(&scene, &scene.nurse, id, &missed.cursor).await?;
        judge(&scene, id).await?;
        assert_eq!(told(&next(&mut messages).await??), (vec![CasePart::Course], vec![]));
        let mut messages = watched(&scene, &scene.nurse, id, &read).await?;
        assert_eq!(next(&mut messages).await??.parts.len(), 5, "of an etag nobody knows what it showed");
        Ok(())
    }

    #[tokio::test]
    async fn what_the_relation_does_not_show_is_not_named() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let person = patient(id);
        let mut messages = watched(&scene, &person, id, "").await?;
        answer(&scene, id).await?;
        let news = next(&mut messages).await??;
        assert_eq!((news.etag.as_str(), told(&news)), ("2", (vec![], vec![])), "epidemiology is the centre's");
        scene.offer(id).await?;
        assert_eq!(told(&next(&mut messages).await??), (vec![], vec![]), "and so is who looks after the case");
        judge(&scene, id).await?;
        assert_eq!(told(&next(&mut messages).await??), (vec![CasePart::Course], vec![]));

        let narrowed = scene.osaka.narrowed(Role::Clerk, [Group::Epidemiology]);
        let mut messages = watched(&scene, &narrowed, id, "1").await?;
        assert!(next(&mut messages).await??.section_ids.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn a_watch_ends_with_the_relation() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let mut messages = watched(&scene, &scene.nurse, id, "").await?;
        scene.end(id, scene.osaka, Relation::ResponsibleCentre).await?;
        assert_eq!(next(&mut messages).await?.refused().code(), Code::NotFound);
        assert!(messages.recv().await.is_none());

        // Follow-up is entrusted, and ends with the episode.
        let id = scene.case().await?;
        let association = scene.world.body(Kind::MedicalAssociation, 27).await?;
        scene.world.entrust(scene.osaka, association, ContractScope::Followup).await?;
        let mut messages = watched(&scene, &association.staff(Role::Nurse), id, "").await?;
        let released = RecordOutcomeRequest {
            request_id: request_id(),
            case_id: id.to_string(),
            outcome: 1,
            ..RecordOutcomeRequest::default()
        };
        scene.ask(&scene.nurse, released, course::record_outcome).await?;
        assert_eq!(next(&mut messages).await?.refused().code(), Code::NotFound);
        Ok(())
    }

    #[tokio::test]
    async fn a_watch_ends_when_its_token_is_no_longer_good() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let mut messages = watched(&scene, &scene.nurse, id, "").await?;
        // Identity has been silent for so long that only young tokens are good.
        scene.world.clock.advance(time::Duration::minutes(2));
        assert_eq!(next(&mut messages).await?.refused().code(), Code::Unavailable);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        scene.ask(&scene.nurse, GetCaseRequest { case_id: id.to_string() }, case::get).await?;
        for (who, case, cursor, code) in [
            (&scene.tokyo_nurse, id, "", Code::NotFound),
            (&scene.nurse, CaseId::new(), "", Code::NotFound),
            (&patient(CaseId::new()), id, "", Code::NotFound),
            (&scene.nurse, id, "x", Code::InvalidArgument),
        ] {
            let mut messages = watch(&scene.registry, request(who, case, cursor))?.into_inner().into_inner();
            assert_eq!(next(&mut messages).await?.refused().code(), code, "{cursor}");
        }
        let nobody = Request::new(WatchCaseRequest { case_id: id.to_string(), cursor: String::new() });
        assert_eq!(watch(&scene.registry, nobody).refused().code(), Code::Unauthenticated);
        assert!(scene.world.audited("WatchCase").await?.is_empty());
        Ok(())
    }
}
