//! `BatchGetForms`: the registry hears of filings and asks for their forms.

use chassis::{Call, Error, Seen, Service};
use proto::{
    notification::{BatchGetFormsRequest, BatchGetFormsResponse, FiledForm},
    registry::Relation,
};
use runtime::clock::to_proto;
use vault::Vault;

use super::{
    model::{Notification, NotificationId},
    store, view,
};
use crate::service::Notifications;

pub(crate) async fn batch_get_forms(
    notifications: Notifications,
    call: Call<BatchGetFormsRequest, Service>,
) -> Result<BatchGetFormsResponse, Error> {
    let asked = &call.request.notification_ids;
    let ids: Vec<NotificationId> = asked.iter().filter_map(|id| NotificationId::parse(id).ok()).collect();

    let mut tx = notifications.base.pool.begin().await?;
    let found = store::find_all(&mut tx, &ids).await?;
    // What a centre may see is what the registry takes in.
    let relations = vec![Relation::ReceivingCentre].into();
    call.record(&mut tx, &Seen::by(&relations, found.iter().map(|notification| notification.id))).await?;
    tx.commit().await?;

    let forms = found.iter().filter_map(|notification| filed(&notifications.base.vault, notification)).collect();
    Ok(BatchGetFormsResponse { forms })
}

/// One form that cannot be read must not keep the others back: it is left out, and the registry sets its event aside.
fn filed(vault: &Vault, notification: &Notification) -> Option<FiledForm> {
    let Ok(form) = view::form(vault, notification) else {
        tracing::error!(notification.id = %notification.id, "A stored form cannot be read");
        return None;
    };
    Some(FiledForm {
        notification_id: notification.id.to_string(),
        form: Some(form),
        version: notification.version,
        receive_time: Some(to_proto(notification.filed_at)),
        // Where it lies now is no concern of the counts.
        receiving_centre_id: notification.counted_by.to_string(),
        withdraw_time: notification.withdrawn_at.map(to_proto),
        reporter_id: notification.reporter_id.to_string(),
        number: notification.number.clone(),
    })
}

#[cfg(test)]
mod tests {
    use proto::{notification::BatchGetFormsRequest, registry::Channel};
    use testing::{Outcome, Refused as _};
    use time::macros::date;
    use tonic::Code;

    use super::NotificationId;
    use crate::{
        filing::{self, store},
        fixture::{Scene, request_id},
    };

    #[tokio::test]
    async fn forms_that_can_be_read_are_handed_out_and_audited() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let unreadable = NotificationId::new();
        let new = store::New {
            id: unreadable,
            number: "x",
            form_sealed: b"nobody sealed this",
            form_version: date!(2020 - 05 - 13),
            missing: &[],
            reporter_id: scene.clinic.id,
            receiving_centre: scene.centre.id,
            prefecture: 27,
            named_case_id: None,
            entered_by: None,
            channel: Channel::Unspecified,
            told_at: None,
            salt: &[],
            content_hash: &[],
            received_at: scene.world.clock.now(),
        };
        store::insert(&mut *scene.world.base.pool.acquire().await?, &new).await?;

        let asked = [receipt.notification_id.clone(), unreadable.to_string(), request_id(), "x".to_owned()];
        let request = BatchGetFormsRequest { notification_ids: asked.to_vec() };
        let ask = scene.world.ask_as_service(&scene.notifications, "registry", request, filing::batch_get_forms);
        let forms = ask.await?.forms;
        assert_eq!(forms.len(), 1);
        assert_eq!((&forms[0].notification_id, &forms[0].number), (&receipt.notification_id, &receipt.number));
        assert_eq!(forms[0].form.as_ref().unwrap().subject.as_ref().unwrap().birth_date, "1980-01-31");

        let trail = scene.trail(&receipt).await?;
        let read = trail.last().unwrap();
        assert_eq!((read.rpc.as_str(), read.service.as_str()), ("BatchGetForms", "registry"));
        assert_eq!(read.user_id, "");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let request = BatchGetFormsRequest { notification_ids: vec![request_id(); 201] };
        let ask = scene.world.ask_as_service(&scene.notifications, "registry", request, filing::batch_get_forms);
        let refused = ask.await.refused();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().starts_with("notification_ids"), "{}", refused.message());
        Ok(())
    }
}
