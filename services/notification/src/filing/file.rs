//! `FileNotification`: a form is durably filed (届出がなされたもの), and the receipt proves it.

use access::{CaseId, OrganisationId, Relations};
use chassis::{Call, Error, Seen, behalf};
use data::outbox;
use prost::Message as _;
use proto::{
    notification::{FileNotificationRequest, NotificationFiled, Receipt},
    registry::Relation,
};
use sqlx::PgConnection;

use super::{
    centre,
    model::NotificationId,
    receipt::{self, Content, Filed},
    store::{self, FORM, New},
};
use crate::{
    draft::{self, DraftId},
    form, local_item,
    service::Notifications,
};

pub(crate) async fn file(
    notifications: Notifications,
    mut call: Call<FileNotificationRequest>,
) -> Result<Receipt, Error> {
    let (base, now) = (&notifications.base, call.now);
    let case_id = CaseId::optional(&call.request.case_id)
        .map_err(|_| Error::invalid("case_id", "UUID を指定してください", "must be a UUID"))?;
    let draft_id = DraftId::optional(&call.request.draft_id)
        .map_err(|_| Error::invalid("draft_id", "UUID を指定してください", "must be a UUID"))?;
    let form = call.request.form.take().unwrap_or_default();
    let whoever = form::Filer { today: call.today(), prefecture: call.caller.prefecture };
    let mut checked = form::check(form, whoever, &call.request.confirmed_warnings).map_err(Error::Invalid)?;
    let told = behalf::told(base, &call, call.request.entry.as_ref())?;
    // Whoever types it in: the reporter is who diagnosed.
    let reporter_id = told.by.unwrap_or(call.caller.organisation_id);

    let id = NotificationId::new();
    let centre = centre::receiving(&base.directory, &call.caller, &checked.form, now);
    if !checked.form.local_answers.is_empty() {
        let conn = &mut *base.pool.acquire().await?;
        local_item::check(conn, &base.directory, centre.id, &mut checked.form, None).await?;
    }
    let form = checked.form.encode_to_vec();
    let content = Content::of(&form)?;
    let filed = Filed {
        id,
        centre: &centre,
        at: now,
        content: &content,
        missing: &checked.missing,
        version: 1,
        number: None,
        caller: &call.caller,
    };
    let receipt = receipt::write(&base.signer, &filed)?;
    let form_sealed = base.vault.seal(FORM, id.uuid().as_bytes(), &form)?;
    let number = receipt.number.clone();
    let row = New {
        id,
        number: &number,
        form_sealed: &form_sealed,
        form_version: checked.version,
        missing: &checked.missing,
        reporter_id,
        receiving_centre: centre.id,
        prefecture: centre.prefecture,
        named_case_id: case_id,
        entered_by: told.by.map(|_| call.caller.organisation_id),
        channel: told.channel,
        told_at: told.at,
        salt: &content.salt,
        content_hash: &content.hash,
        received_at: now,
    };

    let reporter = Relations::new(vec![Relation::Reporter], &call.caller);
    let seen = |id: NotificationId| Seen::by(&reporter, [id]).on_behalf_of(told.by);
    let again = async |conn: &mut PgConnection, receipt: &Receipt| {
        let id = filed_by(conn, receipt, reporter_id).await?;
        Ok(seen(id))
    };
    let receipt = call
        .create_knowing(base, receipt, &seen(id), again, async |conn| {
            if let Some(draft) = draft_id {
                draft::take(conn, draft, call.caller.organisation_id, &call.request.draft_etag).await?;
            }
            store::insert(conn, &row).await?;
            outbox::add(conn, &announcement(&row)).await?;
            Ok(())
        })
        .await?;
    notifications.arrivals.came();
    Ok(receipt)
}

/// The notification that a receipt is about, where whoever asks for it again still stands to it as when it was filed.
async fn filed_by(
    conn: &mut PgConnection,
    receipt: &Receipt,
    reporter_id: OrganisationId,
) -> Result<NotificationId, Error> {
    let notification = store::find(conn, NotificationId::parse(&receipt.notification_id)?).await?;
    notification
        .filter(|notification| notification.reporter_id == reporter_id)
        .map(|notification| notification.id)
        .ok_or(Error::NotFound("notification"))
}

fn announcement(row: &New<'_>) -> NotificationFiled {
    NotificationFiled {
        notification_id: row.id.to_string(),
        reporter_id: row.reporter_id.to_string(),
        receiving_centre_id: row.receiving_centre.to_string(),
        case_id: data::text(row.named_case_id),
        missing_items: row.missing.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use aws_lc_rs::digest;
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use prost::Message as _;
    use proto::{
        identity::{OrganisationKind as Kind, Rights, Role},
        notification::{FileNotificationRequest, Form, GetReceiptKeysRequest, NotificationFiled, SignInStrength},
        options::Group,
    };
    use runtime::clock::to_proto;
    use testing::{NOW, Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use super::{Error, NotificationId, filed_by};
    use crate::{
        filing,
        fixture::{self, PREFECTURE, Scene, request_id},
    };

    #[tokio::test]
    async fn a_filing_reaches_the_centre_and_is_announced_and_audited() -> Outcome {
        let scene = Scene::new().await?;
        let case_id = request_id();
        let request = FileNotificationRequest { case_id: case_id.clone(), ..fixture::filing() };
        let receipt = scene.file_as(&scene.doctor, request).await?;
        assert!(receipt.number.starts_with("27-200601-"), "{}", receipt.number);
        assert_eq!(receipt.receiving_centre_id, scene.centre.id.to_string());
        assert_eq!(receipt.receive_time, Some(to_proto(NOW)));
        assert_eq!(receipt.missing_items, ["6", "7", "11", "13", "14", "15", "16", "18", "19"]);

        let announced: Vec<NotificationFiled> = scene.world.announced().await?;
        let filed = NotificationFiled {
            notification_id: receipt.notification_id.clone(),
            reporter_id: scene.clinic.id.to_string(),
            receiving_centre_id: scene.centre.id.to_string(),
            case_id: case_id.clone(),
            missing_items: receipt.missing_items.clone(),
        };
        assert!(announced == [filed]);
        assert_eq!(scene.get(&scene.nurse, &receipt).await?.case_id, case_id);

        let row = scene.world.audited("FileNotification").await?.remove(0);
        assert_eq!(row.user, Some(scene.doctor.user_id.uuid()));
        assert_eq!(row.record.to_string(), receipt.notification_id);
        assert!(row.groups.contains(&(Group::Identity as i16)) && !row.groups.contains(&(Group::Followup as i16)));
        Ok(())
    }

    #[tokio::test]
    async fn the_receipt_proves_the_form_as_it_is_stored() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let stored = scene.get(&scene.doctor, &receipt).await?;
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&URL_SAFE_NO_PAD.decode(&receipt.salt)?);
        context.update(&stored.form.unwrap().encode_to_vec());
        assert_eq!(URL_SAFE_NO_PAD.encode(context.finish()), receipt.content_hash);

        let request = GetReceiptKeysRequest {};
        let keys = scene.world.ask_public(&scene.notifications, request, filing::receipt_keys).await?;
        let proof = fixture::proved(&receipt, &keys)?;
        assert_eq!(proof["sub"], receipt.notification_id.as_str());
        assert_eq!(proof["number"], receipt.number.as_str());
        assert_eq!(proof["centre"], receipt.receiving_centre_id.as_str());
        assert_eq!(proof["received_at"], "2020-06-01T05:00:00Z");
        assert_eq!(proof["content_hash"], receipt.content_hash.as_str());
        assert_eq!(proof["sign_in"], "two_factors");
        assert_eq!(proof["authenticated_at"], "2020-06-01T05:00:00Z");

        let other = scene.file().await?;
        assert!(other.salt != receipt.salt && other.content_hash != receipt.content_hash);
        let mut forged = receipt.clone();
        let signature = other.signature.rsplit_once('.').unwrap().1;
        forged.signature = format!("{}.{signature}", receipt.signature.rsplit_once('.').unwrap().0);
        assert!(fixture::proved(&forged, &keys).is_err());
        Ok(())
    }

    #[tokio::test]
    async fn a_receipt_says_how_whoever_filed_had_signed_in() -> Outcome {
        let scene = Scene::new().await?;
        let scopes = Some(vec!["hersys.notification.v1.FilingService/FileNotification".to_owned()].into());
        let system = Caller { scopes, ..scene.clinic.staff(Role::System) };
        let earlier = Caller { authenticated_at: NOW - Duration::minutes(40), ..scene.doctor.clone() };
        let keys = scene.world.ask_public(&scene.notifications, GetReceiptKeysRequest {}, filing::receipt_keys).await?;
        for (caller, strength, told, at) in [
            (&scene.doctor, SignInStrength::TwoFactors, "two_factors", "2020-06-01T05:00:00Z"),
            (&earlier, SignInStrength::TwoFactors, "two_factors", "2020-06-01T04:20:00Z"),
            (&system, SignInStrength::SystemKey, "system_key", "2020-06-01T05:00:00Z"),
        ] {
            let receipt = scene.file_as(caller, fixture::filing()).await?;
            assert_eq!(
                (receipt.sign_in(), receipt.authenticate_time),
                (strength, Some(to_proto(caller.authenticated_at)))
            );
            let proof = fixture::proved(&receipt, &keys)?;
            assert_eq!((proof["sign_in"].as_str(), proof["authenticated_at"].as_str()), (Some(told), Some(at)));
        }
        Ok(())
    }

    #[tokio::test]
    async fn the_report_date_decides_the_version_of_the_form() -> Outcome {
        let scene = Scene::new().await?;
        let undiagnosed = |day: &str| {
            let mut form = Form { report_date: day.to_owned(), ..fixture::form() };
            form.findings = None;
            FileNotificationRequest { form: Some(form), ..fixture::filing() }
        };
        let receipt = scene.file_as(&scene.doctor, undiagnosed("R2.5.12")).await?;
        assert!(receipt.missing_items.contains(&"12".to_owned()));
        assert_eq!(scene.get(&scene.doctor, &receipt).await?.form.unwrap().form_version, "2020-02-01");
        let refused = scene.file_as(&scene.doctor, undiagnosed("R2.5.13")).await.refused();
        assert!(refused.message().starts_with("form.findings.diagnoses"), "{}", refused.message());
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_filing_gets_the_same_receipt_and_is_audited_again() -> Outcome {
        let scene = Scene::new().await?;
        let request = fixture::filing();
        let first = scene.file_as(&scene.doctor, request.clone()).await?;
        scene.world.clock.advance(Duration::hours(1));
        let again = scene.file_as(&scene.doctor, request.clone()).await?;
        assert!(first == again);
        assert_eq!(scene.world.announced::<NotificationFiled>().await?.len(), 1);
        let rows: Vec<String> = scene.trail(&first).await?.into_iter().map(|row| row.request_id).collect();
        assert_eq!(rows, [request.request_id.clone(), request.request_id.clone()]);

        let mut changed = request.clone();
        changed.form.as_mut().unwrap().subject.as_mut().unwrap().name_kanji = "別人".to_owned();
        let refused = scene.file_as(&scene.doctor, changed).await.refused();
        assert_eq!(refused.code(), Code::AlreadyExists);

        let assistant = scene.clinic.staff(Role::Clerk);
        let other = scene.file_as(&assistant, request).await?;
        assert_ne!(other.notification_id, first.notification_id, "another user's request is another request");
        Ok(())
    }

    #[tokio::test]
    async fn a_receipt_is_not_repeated_to_somebody_who_did_not_report() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let mut conn = scene.world.base.pool.acquire().await?;
        let reported = filed_by(&mut conn, &receipt, scene.clinic.id).await?;
        assert_eq!(reported, NotificationId::parse(&receipt.notification_id)?);
        let another = filed_by(&mut conn, &receipt, scene.neighbour.id).await;
        assert!(matches!(another, Err(Error::NotFound("notification"))));
        Ok(())
    }

    #[tokio::test]
    async fn a_centre_files_for_an_institution_until_that_may_file_itself() -> Outcome {
        let scene = Scene::new().await?;
        let opens = |clinic: &mut proto::identity::Organisation| clinic.opening_date = "2020-06-02".to_owned();
        let small = scene.world.organisation(Kind::Clinic, PREFECTURE, opens).await?;
        let request =
            FileNotificationRequest { entry: Some(fixture::entry(small.id.to_string())), ..fixture::filing() };
        let receipt = scene.file_as(&scene.colleague, request.clone()).await?;
        assert!(scene.file_as(&scene.colleague, request.clone()).await? == receipt);

        let announced: Vec<NotificationFiled> = scene.world.announced().await?;
        assert_eq!(announced[0].reporter_id, small.id.to_string());
        for row in scene.trail(&receipt).await? {
            assert_eq!(row.organisation_id, scene.neighbour.id.to_string());
            assert_eq!(row.on_behalf_of_id, small.id.to_string());
        }
        assert_eq!(scene.get(&scene.nurse, &receipt).await?.reporter_id, small.id.to_string());
        let refused = scene.get(&scene.colleague, &receipt).await.refused();
        assert_eq!(refused.code(), Code::NotFound, "who typed it in is no reporter");

        scene.world.clock.advance(Duration::days(1));
        let refused = scene.file_as(&scene.colleague, request).await.refused();
        assert!(refused.message().starts_with("entry.channel"), "{}", refused.message());
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let silent = |clinic: &mut proto::identity::Organisation| clinic.rights = Rights::View.into();
        let small = scene.world.organisation(Kind::Clinic, PREFECTURE, silent).await?;
        let far = scene.world.organisation(Kind::Clinic, 28, silent).await?;
        let good = fixture::filing;
        let with_form = |change: fn(&mut Form)| {
            let mut request = good();
            request.form.as_mut().into_iter().for_each(change);
            request
        };
        let with_id = |id: &str| FileNotificationRequest { request_id: id.to_owned(), ..good() };
        let with_case = |id: &str| FileNotificationRequest { case_id: id.to_owned(), ..good() };
        let for_institution = |id: String| FileNotificationRequest { entry: Some(fixture::entry(id)), ..good() };
        let breathless = with_form(|form| form.findings.as_mut().unwrap().spo2_percent = Some(49));
        let (reader, doctor, nurse) = (&small.staff(Role::Physician), &scene.doctor, &scene.nurse);
        let (denied, invalid) = (Code::PermissionDenied, Code::InvalidArgument);
        let rows: Vec<(&Caller, FileNotificationRequest, Code, &str)> = vec![
            (&scene.coordinator, good(), denied, ""),
            (reader, good(), denied, ""),
            (doctor, with_id("x"), invalid, "request_id"),
            (doctor, FileNotificationRequest { form: None, ..good() }, invalid, "form"),
            (doctor, with_case("x"), invalid, "case_id"),
            (doctor, with_form(|form| form.purpose = 0), invalid, "form.purpose"),
            (doctor, with_form(|form| form.subject = None), invalid, "form.subject"),
            (doctor, breathless, invalid, "form.findings.spo2_percent"),
            (doctor, with_form(|form| form.diagnosis_class = 0), invalid, "form.diagnosis_class"),
            (doctor, for_institution(small.id.to_string()), denied, ""),
            (nurse, for_institution(scene.clinic.id.to_string()), invalid, "entry.channel"),
            (nurse, for_institution(far.id.to_string()), invalid, "entry.on_behalf_of_id"),
            (nurse, for_institution(request_id()), invalid, "entry.on_behalf_of_id"),
            (nurse, for_institution("x".to_owned()), invalid, "entry.on_behalf_of_id"),
        ];
        for (caller, request, code, field) in rows {
            let refused = scene.file_as(caller, request).await.refused();
            assert_eq!((refused.code(), refused.message().starts_with(field)), (code, true), "{}", refused.message());
        }
        assert!(scene.world.audited("FileNotification").await?.is_empty());
        assert!(scene.world.announced::<NotificationFiled>().await?.is_empty());
        Ok(())
    }
}
