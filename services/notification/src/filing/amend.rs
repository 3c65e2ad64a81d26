//! `AmendNotification`: what was missing is supplied, what was wrong is put right. The version until now is kept.

use access::{Caller, OrganisationId};
use anyhow::{Context as _, anyhow};
use chassis::{Call, Error, Held, Seen, behalf};
use data::outbox;
use prost::Message as _;
use proto::{
    notification::{AmendNotificationRequest, Form, NotificationAmended, NotificationState as State, Receipt},
    registry::Relation,
};
use runtime::problem::why;
use sqlx::PgConnection;

use super::{
    centre::Centre,
    model::{Notification, NotificationId},
    receipt::{self, Content, Filed},
    standing,
    store::{self, Amended, FORM, FORM_BEFORE},
};
use crate::{form, local_item, service::Notifications};

pub(crate) async fn amend(
    notifications: Notifications,
    mut call: Call<AmendNotificationRequest>,
) -> Result<Receipt, Error> {
    let base = &notifications.base;
    let id = NotificationId::parse(&call.request.notification_id)?;
    let given = call.request.form.take().unwrap_or_default();
    let filer = form::Filer { today: call.today(), prefecture: call.caller.prefecture };
    let mut checked = form::check(given, filer, &call.request.confirmed_warnings).map_err(Error::Invalid)?;
    let told = behalf::told_by_whoever_made_it(base, &call, call.request.entry.as_ref())?;

    standing::learn(&notifications, &call.caller, &[id]).await?;
    let lock = async |conn: &mut PgConnection| lock(&notifications, conn, &call, id, told).await;
    let receipt = call
        .change(base, lock, async |change| {
            let notification = &mut change.held;
            let before = base.vault.open(FORM, id.uuid().as_bytes(), &notification.form)?;
            let kept = Form::decode(before.as_slice()).context("read a stored form").map_err(Error::Internal)?;
            let (centre, amended) = (notification.receiving_centre, &mut checked.form);
            local_item::check(&mut change.tx, &base.directory, centre, amended, Some(&kept)).await?;
            let before = base.vault.seal(FORM_BEFORE, id.uuid().as_bytes(), &before)?;
            let form = checked.form.encode_to_vec();
            let content = Content::of(&form)?;
            notification.amended(change.now);

            let centre = centre_of(&notifications, notification)?;
            let receipt = receipt::write(
                &base.signer,
                &Filed {
                    id,
                    centre: &centre,
                    at: change.now,
                    content: &content,
                    missing: &checked.missing,
                    version: notification.version,
                    number: Some(notification.number.clone()),
                    caller: &call.caller,
                },
            )?;
            let new = Amended {
                form_sealed: &base.vault.seal(FORM, id.uuid().as_bytes(), &form)?,
                form_version: checked.version,
                missing: &checked.missing,
                salt: &content.salt,
                content_hash: &content.hash,
                form_before: &before,
                entered_by: told.by.map(|_| call.caller.organisation_id),
                channel: told.channel,
                told_at: told.at,
            };
            store::amend(&mut change.tx, notification, &new).await?;
            store::save(&mut change.tx, notification).await?;
            let event = NotificationAmended {
                notification_id: id.to_string(),
                version: notification.version,
                reporter_id: notification.reporter_id.to_string(),
                centre_id: notification.receiving_centre.to_string(),
                missing_items: checked.missing.clone(),
            };
            outbox::add(&mut change.tx, &event).await?;
            Ok(receipt)
        })
        .await?;
    notifications.arrivals.came();
    Ok(receipt)
}

fn centre_of(notifications: &Notifications, notification: &Notification) -> Result<Centre, Error> {
    let entry = notifications
        .base
        .directory
        .get(notification.receiving_centre)
        .ok_or_else(|| Error::Internal(anyhow!("nobody knows the receiving centre")))?;
    Ok(Centre { id: entry.id, name: entry.name.clone(), prefecture: entry.prefecture })
}

/// A notification, locked for whoever filed it, or for the centre that has it and enters what the reporter tells.
pub(super) async fn lock<M, R>(
    notifications: &Notifications,
    conn: &mut PgConnection,
    call: &Call<M>,
    id: NotificationId,
    told: behalf::Told,
) -> Result<Held<Notification, R>, Error> {
    let mut notification = store::lock(conn, id).await?.ok_or(Error::NotFound("notification"))?;
    let relations = standing::relations(notifications, conn, &call.caller, &mut notification).await?;

    let speaks = speaks_for(&notification, &call.caller, &relations, told.by);
    let (revision, state) = (notification.revision, notification.state);
    let held = Held::new(notification, Seen::by(&relations, [id]).on_behalf_of(told.by)).version(revision);
    if !speaks {
        return Ok(held.only_repeats(Error::Denied(why(
            "NOT_YOUR_NOTIFICATION",
            "届出の訂正・取下げができるのは届出者です。保健所は、届出者の連絡を受けて代行入力できます。",
            "Only who filed it amends or withdraws it; a centre does so with what the reporter told (`entry`).",
        ))));
    }
    if state == State::Withdrawn {
        return Ok(held.only_repeats(withdrawn()));
    }
    Ok(held)
}

fn speaks_for(
    notification: &Notification,
    caller: &Caller,
    relations: &[Relation],
    told_by: Option<OrganisationId>,
) -> bool {
    match told_by {
        None => notification.reporter_id == caller.organisation_id,
        Some(reporter) => notification.reporter_id == reporter && notification.is_work_of(caller, relations),
    }
}

/// Nothing more happens to what was withdrawn.
pub(crate) fn withdrawn() -> Error {
    Error::Precondition(why(
        "NOTIFICATION_WITHDRAWN",
        "この届出は取り下げられています。",
        "This notification was withdrawn.",
    ))
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use aws_lc_rs::digest;
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use prost::Message as _;
    use proto::{
        identity::OrganisationKind as Kind,
        notification::{
            AmendNotificationRequest, GetReceiptKeysRequest, NotificationAmended, NotificationState as State,
        },
        registry::Relation,
    };
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use crate::{
        filing,
        fixture::{
            self, PREFECTURE, Scene, acknowledging, amending, by_telephone, request_id, with_address, withdrawing,
        },
    };

    #[tokio::test]
    async fn what_was_missing_is_supplied_and_the_receipt_proves_the_new_version() -> Outcome {
        let scene = Scene::new().await?;
        let first = scene.file().await?;
        scene.acknowledge(&scene.nurse, acknowledging(&first)).await?;
        scene.world.clock.advance(Duration::hours(1));
        let receipt = scene.amend(&first, with_address()).await?;
        assert_eq!((&receipt.number, receipt.version, first.version), (&first.number, 2, 1));
        assert!(first.missing_items.contains(&"7".to_owned()) && !receipt.missing_items.contains(&"7".to_owned()));

        let stored = scene.get(&scene.doctor, &first).await?;
        assert_eq!((stored.version, stored.state()), (2, State::Acknowledged), "accepted, and amended since");
        assert_eq!(stored.missing_items, receipt.missing_items);
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&URL_SAFE_NO_PAD.decode(&receipt.salt)?);
        context.update(&stored.form.unwrap().encode_to_vec());
        assert_eq!(URL_SAFE_NO_PAD.encode(context.finish()), receipt.content_hash);
        let keys = scene.world.ask_public(&scene.notifications, GetReceiptKeysRequest {}, filing::receipt_keys).await?;
        assert_eq!(fixture::proved(&receipt, &keys)?["version"], 2);

        let announced: Vec<NotificationAmended> = scene.world.announced().await?;
        let amended = NotificationAmended {
            notification_id: first.notification_id.clone(),
            version: 2,
            reporter_id: scene.clinic.id.to_string(),
            centre_id: scene.centre.id.to_string(),
            missing_items: receipt.missing_items.clone(),
        };
        assert!(announced == [amended]);
        assert_eq!(scene.world.audited("AmendNotification").await?.len(), 1);
        Ok(())
    }

    #[tokio::test]
    async fn a_centre_amends_what_the_reporter_tells_and_both_names_are_on_record() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let own = scene.amend_as(&scene.nurse, amending(&receipt, with_address())).await.refused();
        assert_eq!(own.code(), Code::PermissionDenied, "it is not the centre's word");
        let told =
            AmendNotificationRequest { entry: Some(by_telephone(scene.clinic)), ..amending(&receipt, with_address()) };
        scene.amend_as(&scene.nurse, told.clone()).await?;
        let seen = scene.get(&scene.nurse, &receipt).await?;
        assert_eq!((seen.entered_by_id, seen.reporter_id), (scene.centre.id.to_string(), scene.clinic.id.to_string()));
        assert_eq!(seen.channel, 1);
        let row = scene.world.audited("AmendNotification").await?.pop().unwrap();
        assert_eq!((row.user, row.on_behalf_of), (Some(scene.nurse.user_id.uuid()), Some(scene.clinic.id.uuid())));
        let announced: Vec<NotificationAmended> = scene.world.announced().await?;
        assert_eq!(announced[0].reporter_id, scene.clinic.id.to_string(), "whoever typed it in");
        let stranger = scene.amend_as(&scene.colleague, told).await.refused();
        assert_eq!(stranger.code(), Code::NotFound, "a centre that does not have it");
        Ok(())
    }

    #[tokio::test]
    async fn a_centre_of_another_prefecture_enters_what_the_reporter_tells_it() -> Outcome {
        let scene = Scene::new().await?;
        let (receipt, gone) = (scene.file().await?, scene.file().await?);
        let kobe = scene.world.body(Kind::HealthCentre, 28).await?;
        let there = kobe.staff(proto::identity::Role::Nurse);
        for receipt in [&receipt, &gone] {
            scene.belongs(receipt, CaseId::new(), &[(kobe, Relation::ResponsibleCentre)], 1).await?;
        }
        let told_by = |institution| AmendNotificationRequest {
            entry: Some(by_telephone(institution)),
            ..amending(&receipt, with_address())
        };
        scene.amend_as(&there, told_by(scene.clinic)).await?;
        let withdrawn = proto::notification::WithdrawNotificationRequest {
            entry: Some(by_telephone(scene.clinic)),
            ..withdrawing(&gone)
        };
        scene.world.ask(&scene.notifications, &there, withdrawn, filing::withdraw).await?;

        let other = scene.world.body(Kind::Clinic, PREFECTURE).await?;
        for (institution, code) in [(other, Code::PermissionDenied), (scene.prefecture, Code::InvalidArgument)] {
            assert_eq!(scene.amend_as(&there, told_by(institution)).await.refused().code(), code);
        }
        // What is filed anew is filed near the institution.
        let filed = proto::notification::FileNotificationRequest {
            entry: Some(by_telephone(scene.clinic)),
            ..fixture::filing()
        };
        assert_eq!(scene.file_as(&there, filed).await.refused().code(), Code::InvalidArgument);
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_amendment_is_one() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let request = amending(&receipt, with_address());
        let once = scene.amend_as(&scene.doctor, request.clone()).await?;
        assert!(scene.amend_as(&scene.doctor, request).await? == once);
        assert_eq!(scene.get(&scene.doctor, &receipt).await?.version, 2);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let (receipt, gone) = (scene.file().await?, scene.file().await?);
        scene.world.ask(&scene.notifications, &scene.doctor, withdrawing(&gone), filing::withdraw).await?;
        let other = scene.world.body(Kind::Clinic, PREFECTURE).await?;
        let good = || amending(&receipt, with_address());
        let nameless = {
            let mut form = with_address();
            form.subject.as_mut().unwrap().name_kanji.clear();
            amending(&receipt, form)
        };
        let nobody = AmendNotificationRequest { notification_id: request_id(), ..good() };
        let stale = AmendNotificationRequest { etag: "7".to_owned(), ..good() };
        let for_another = AmendNotificationRequest { entry: Some(by_telephone(other)), ..good() };
        let stranger = other.staff(proto::identity::Role::Physician);
        for (caller, request, code, field) in [
            (&scene.doctor, nameless, Code::InvalidArgument, "form.subject.name_kanji"),
            (&scene.doctor, AmendNotificationRequest { form: None, ..good() }, Code::InvalidArgument, "form"),
            (&scene.doctor, nobody, Code::NotFound, ""),
            (&scene.doctor, stale, Code::Aborted, ""),
            (&scene.doctor, amending(&gone, with_address()), Code::FailedPrecondition, ""),
            (&scene.nurse, for_another, Code::PermissionDenied, ""),
            (&stranger, good(), Code::NotFound, ""),
            (&scene.coordinator, good(), Code::PermissionDenied, ""),
        ] {
            let refused = scene.amend_as(caller, request).await.refused();
            assert_eq!((refused.code(), refused.message().starts_with(field)), (code, true), "{}", refused.message());
        }
        Ok(())
    }
}
