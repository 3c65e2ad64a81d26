//! `SaveDraft`: what was typed so far is kept on the server, complete or not.

use access::CaseId;
use chassis::{Call, Error, Held, Seen};
use prost::Message;
use proto::notification::{Draft as View, SaveDraftRequest};
use sqlx::PgConnection;

use super::{
    model::{Draft, DraftId},
    store::{self, FORM},
    view,
};
use crate::service::Notifications;

pub(crate) async fn save(notifications: Notifications, call: Call<SaveDraftRequest>) -> Result<View, Error> {
    let (base, request, caller) = (&notifications.base, &call.request, &call.caller);
    let (own, user, today) = (caller.organisation_id, caller.user_id, call.today());
    let case_id = CaseId::optional(&request.case_id)
        .map_err(|_| Error::invalid("case_id", "UUID を指定してください", "must be a UUID"))?;
    let form = request.form.as_ref().map(Message::encode_to_vec).unwrap_or_default();
    let sealed = |id: DraftId| base.vault.seal(FORM, id.uuid().as_bytes(), &form);
    let relations = view::relations(caller);

    let Some(id) = DraftId::optional(&request.draft_id)? else {
        let again = async |conn: &mut PgConnection, view: &View| {
            let id = DraftId::parse(&view.draft_id)?;
            store::find(conn, id, own).await?.ok_or(Error::NotFound("draft"))?;
            Ok(Seen::by(&relations, [id]))
        };
        return call
            .create(base, again, async |conn| {
                let (id, now) = (DraftId::new(), call.now);
                let form = sealed(id)?;
                let draft =
                    Draft { id, organisation: own, user, form, case_id, revision: 1, created_at: now, updated_at: now };
                store::insert(conn, &draft).await?;
                Ok((view::shown(base, &draft, caller, today)?, Seen::by(&relations, [id])))
            })
            .await;
    };
    let lock = async |conn: &mut PgConnection| {
        let draft = store::lock(conn, id, own).await?.ok_or(Error::NotFound("draft"))?;
        let revision = draft.revision;
        Ok(Held::new(draft, Seen::by(&relations, [id])).version(revision))
    };
    call.change(base, lock, async |change| {
        let draft = &mut change.held;
        draft.form = sealed(id)?;
        (draft.user, draft.case_id, draft.updated_at) = (user, case_id, change.now);
        draft.revision += 1;
        store::update(&mut change.tx, draft).await?;
        view::shown(base, draft, caller, today)
    })
    .await
}

#[cfg(test)]
mod tests {
    use proto::{
        identity::{OrganisationKind as Kind, Role},
        notification::{FileNotificationRequest, Form, Purpose, SaveDraftRequest, Subject},
        options::Group,
    };
    use runtime::clock::to_proto;
    use testing::{NOW, Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use crate::{
        draft::fixture::{get, save, saving},
        fixture::{PREFECTURE, Scene, filing, form, request_id},
    };

    #[tokio::test]
    async fn what_was_typed_so_far_is_kept_and_told_what_it_lacks() -> Outcome {
        let scene = Scene::new().await?;
        let subject = Subject { name_kanji: "髙﨑".to_owned(), birth_date: "S55.1".to_owned(), ..Subject::default() };
        let begun = Form { purpose: Purpose::Notification.into(), subject: Some(subject), ..Form::default() };
        let draft = save(&scene, &scene.doctor, saving(begun.clone())).await?;
        assert!(draft.form == Some(begun), "as it was typed");
        assert_eq!((draft.etag.as_str(), draft.user_id), ("1", scene.doctor.user_id.to_string()));
        assert_eq!(draft.expire_time, Some(to_proto(NOW + Duration::days(30))));
        let fields: Vec<&str> = draft.faults.iter().map(|fault| fault.field.as_str()).collect();
        for field in ["form.report_date", "form.subject.birth_date", "form.diagnosis_class", "form.findings.diagnoses"]
        {
            assert!(fields.contains(&field), "{field}: {fields:?}");
        }
        assert!(draft.missing_items.contains(&"1".to_owned()) && draft.missing_items.contains(&"7".to_owned()));
        assert!(draft.faults.iter().all(|fault| !fault.ja.is_empty() && !fault.en.is_empty()));

        // A colleague goes on with it at another desk.
        let colleague = scene.clinic.staff(Role::Clerk);
        scene.world.clock.advance(Duration::hours(1));
        let whole = SaveDraftRequest { draft_id: draft.draft_id.clone(), etag: draft.etag, ..saving(form()) };
        let whole = save(&scene, &colleague, whole).await?;
        assert_eq!((whole.etag.as_str(), whole.faults.len()), ("2", 0));
        assert_eq!(whole.missing_items, ["6", "7", "11", "13", "14", "15", "16", "18", "19"]);
        assert!(get(&scene, &scene.doctor, &draft.draft_id).await? == whole);
        let rows = scene.world.audited("SaveDraft").await?;
        assert_eq!((rows.len(), rows[0].record.to_string()), (2, draft.draft_id));
        assert!(rows[0].groups.contains(&(Group::Identity as i16)), "who reads it reads a name");
        Ok(())
    }

    #[tokio::test]
    async fn a_draft_is_gone_once_it_is_filed_and_is_not_filed_twice() -> Outcome {
        let scene = Scene::new().await?;
        let draft = save(&scene, &scene.doctor, saving(form())).await?;
        let filed = |id: &str| FileNotificationRequest { draft_id: id.to_owned(), ..filing() };
        let request = filed(&draft.draft_id);
        let nameless = {
            let mut form = form();
            form.subject.as_mut().unwrap().name_kanji.clear();
            FileNotificationRequest { form: Some(form), ..filed(&draft.draft_id) }
        };
        assert_eq!(scene.file_as(&scene.doctor, nameless).await.refused().code(), Code::InvalidArgument);
        assert!(get(&scene, &scene.doctor, &draft.draft_id).await.is_ok(), "what is refused keeps its draft");

        let receipt = scene.file_as(&scene.doctor, request.clone()).await?;
        assert_eq!(get(&scene, &scene.doctor, &draft.draft_id).await.refused().code(), Code::NotFound);
        assert!(scene.file_as(&scene.doctor, request).await? == receipt, "sent again, it is the same filing");
        let twice = scene.file_as(&scene.clinic.staff(Role::Nurse), filed(&draft.draft_id)).await.refused();
        assert_eq!(twice.code(), Code::FailedPrecondition);

        let theirs = save(&scene, &scene.nurse, saving(form())).await?;
        let strange = scene.file_as(&scene.doctor, filed(&theirs.draft_id)).await.refused();
        assert_eq!(strange.code(), Code::FailedPrecondition, "nobody files away what is another's");
        assert!(get(&scene, &scene.nurse, &theirs.draft_id).await.is_ok());
        let malformed = scene.file_as(&scene.doctor, filed("x")).await.refused();
        assert!(malformed.message().starts_with("draft_id"), "{}", malformed.message());
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_save_is_one_draft() -> Outcome {
        let scene = Scene::new().await?;
        let request = saving(form());
        let once = save(&scene, &scene.doctor, request.clone()).await?;
        assert!(save(&scene, &scene.doctor, request.clone()).await? == once);
        let narrowed = scene.clinic.narrowed(Role::Physician, [Group::Identity]).hidden;
        let narrowed = access::Caller { hidden: narrowed, ..scene.doctor.clone() };
        let again = save(&scene, &narrowed, request).await?;
        assert_eq!(again.form.unwrap().subject.unwrap().name_kanji, "");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let draft = save(&scene, &scene.doctor, saving(form())).await?;
        let known =
            |etag: &str| SaveDraftRequest { draft_id: draft.draft_id.clone(), etag: etag.to_owned(), ..saving(form()) };
        let with = |change: fn(&mut SaveDraftRequest)| {
            let mut request = saving(form());
            change(&mut request);
            request
        };
        let stranger = scene.world.body(Kind::Clinic, PREFECTURE).await?.staff(Role::Physician);
        let (denied, invalid) = (Code::PermissionDenied, Code::InvalidArgument);
        for (caller, request, code, field) in [
            (&scene.coordinator, saving(form()), denied, ""),
            (&stranger, known(""), Code::NotFound, ""),
            (&scene.nurse, known(""), Code::NotFound, ""),
            (&scene.doctor, known("7"), Code::Aborted, ""),
            (&scene.doctor, SaveDraftRequest { draft_id: request_id(), ..saving(form()) }, Code::NotFound, ""),
            (&scene.doctor, with(|request| request.form = None), invalid, "form"),
            (&scene.doctor, with(|request| request.form.as_mut().unwrap().purpose = 0), invalid, "form.purpose"),
            (&scene.doctor, with(|request| request.case_id = "x".to_owned()), invalid, "case_id"),
            (
                &scene.doctor,
                with(|request| {
                    request.form.as_mut().unwrap().subject.as_mut().unwrap().name_kanji = "字".repeat(101);
                }),
                invalid,
                "form.subject.name_kanji",
            ),
        ] {
            let refused = save(&scene, caller, request).await.refused();
            assert_eq!((refused.code(), refused.message().starts_with(field)), (code, true), "{}", refused.message());
        }
        Ok(())
    }
}
