//! `ListVersions`: every version of a notification, oldest first, with what each one changed.

use access::classes;
use anyhow::Context as _;
use chassis::{Call, Error, Seen};
use prost::Message as _;
use proto::notification::{Form, ListVersionsRequest, ListVersionsResponse, NotificationVersion};
use runtime::clock::to_proto;

use super::{
    get::relations,
    model::NotificationId,
    store::{self, FORM_BEFORE},
    view,
};
use crate::{form, service::Notifications};

/// As many as are shown at once where nobody asks for a number.
const PAGE: i64 = 20;

pub(crate) async fn versions(
    notifications: Notifications,
    call: Call<ListVersionsRequest>,
) -> Result<ListVersionsResponse, Error> {
    let (base, request) = (&notifications.base, &call.request);
    let id = NotificationId::parse(&request.notification_id)?;
    // A page goes on after a version.
    let after = match request.page_token.as_str() {
        "" => 0,
        token => token.parse().ok().filter(|after| *after > 0).ok_or_else(Error::page_token)?,
    };
    let size = if request.page_size > 0 { i64::from(request.page_size) } else { PAGE };

    let mut tx = base.pool.begin().await?;
    let notification = store::find(&mut tx, id).await?.ok_or(Error::NotFound("notification"))?;
    let relations = relations(&notifications, &mut tx, &call.caller, &notification).await?;
    // The one before the page, to tell what the first of the page changed.
    let rows = store::versions(&mut tx, id, (after - 1).max(0), size + 1).await?;
    call.record(&mut tx, &Seen::by(&relations, [id])).await?;
    tx.commit().await?;

    let mut read = Vec::new();
    for row in &rows {
        let plain = base.vault.open(FORM_BEFORE, id.uuid().as_bytes(), &row.form_sealed)?;
        let form = Form::decode(plain.as_slice()).context("read a stored form").map_err(Error::Internal)?;
        read.push((row.version, form, row.filed_at, row.entered_by));
    }
    let form = view::form(&base.vault, &notification)?;
    read.push((notification.version, form, notification.filed_at, notification.entered_by));

    let mut versions = Vec::new();
    for (place, (version, form, filed_at, entered_by)) in read.iter().enumerate() {
        let before = place.checked_sub(1).and_then(|before| read.get(before)).map(|(_, form, ..)| form);
        if *version <= after || i64::try_from(versions.len()).is_ok_and(|shown| shown >= size) {
            continue;
        }
        let view = NotificationVersion {
            version: *version,
            form: Some(form.clone()),
            receive_time: Some(to_proto(*filed_at)),
            entered_by_id: data::text(*entered_by),
            changed_fields: before.map(|before| form::changed(before, form)).unwrap_or_default(),
        };
        versions.push(classes::mask(&view, &relations).map_err(Error::Internal)?);
    }
    let last = versions.last().map(|version| version.version);
    let next_page_token =
        last.filter(|last| *last < notification.version).map(|last| last.to_string()).unwrap_or_default();
    Ok(ListVersionsResponse { versions, next_page_token })
}

#[cfg(test)]
mod tests {
    use proto::notification::ListVersionsRequest;
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use crate::{
        filing,
        fixture::{Scene, request_id, with_address},
    };

    #[tokio::test]
    async fn every_version_is_kept_with_what_it_changed() -> Outcome {
        let scene = Scene::new().await?;
        let first = scene.file().await?;
        for hour in 1..4 {
            scene.world.clock.advance(Duration::hours(1));
            let mut form = with_address();
            form.subject.as_mut().unwrap().occupation = format!("{hour}");
            scene.amend(&first, form).await?;
        }
        let ask = |page_token: String| {
            let notification_id = first.notification_id.clone();
            let request = ListVersionsRequest { notification_id, page_size: 2, page_token };
            scene.world.ask(&scene.notifications, &scene.nurse, request, filing::versions)
        };
        let (mut seen, mut page_token) = (Vec::new(), String::new());
        loop {
            let page = ask(page_token).await?;
            assert!(page.versions.len() <= 2);
            seen.extend(page.versions.into_iter().map(|version| {
                let occupation = version.form.unwrap().subject.unwrap().occupation;
                (version.version, occupation, version.changed_fields.join(" "))
            }));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        let occupation = "form.subject.occupation";
        let told: Vec<(i32, &str, &str)> =
            seen.iter().map(|(version, text, changed)| (*version, text.as_str(), changed.as_str())).collect();
        assert_eq!(
            told,
            [
                (1, "", ""),
                (2, "1", "form.subject.occupation form.subject.address"),
                (3, "2", occupation),
                (4, "3", occupation)
            ]
        );
        assert_eq!(ask("x".to_owned()).await.refused().code(), Code::InvalidArgument);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        for (caller, notification_id) in [(&scene.nurse, request_id()), (&scene.colleague, receipt.notification_id)] {
            let request = ListVersionsRequest { notification_id, ..ListVersionsRequest::default() };
            let refused = scene.world.ask(&scene.notifications, caller, request, filing::versions).await.refused();
            assert_eq!(refused.code(), Code::NotFound);
        }
        Ok(())
    }
}
