//! `ListVersions`: every version of a notification, oldest first, with what each one changed.

mod store;

use access::{OrganisationId, classes};
use anyhow::Context as _;
use chassis::{Call, Error, Seen};
use prost::Message as _;
use proto::{
    notification::{Form, ListVersionsRequest, ListVersionsResponse, NotificationVersion},
    registry::Channel,
};
use runtime::clock::to_proto;
use time::{Date, OffsetDateTime};

use super::{
    model::NotificationId,
    standing,
    store::{FORM_BEFORE, find},
    view,
};
use crate::{form, service::Notifications};

/// A version, with its form.
struct Version {
    number: i32,
    form: Form,
    filed_at: OffsetDateTime,
    entered_by: Option<OrganisationId>,
    channel: Channel,
    told_at: Option<OffsetDateTime>,
    by_form_of: Date,
}

impl Version {
    fn shown(&self, before: Option<&Self>) -> NotificationVersion {
        NotificationVersion {
            version: self.number,
            form: Some(self.form.clone()),
            receive_time: Some(to_proto(self.filed_at)),
            entered_by_id: data::text(self.entered_by),
            changed_fields: before.map(|before| form::changed(&before.form, &self.form)).unwrap_or_default(),
            channel: self.channel.into(),
            told_time: self.told_at.map(to_proto),
            form_version: self.by_form_of.to_string(),
        }
    }
}

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

    standing::learn(&notifications, &call.caller, &[id]).await?;
    let mut tx = base.pool.begin().await?;
    let mut notification = find(&mut tx, id).await?.ok_or(Error::NotFound("notification"))?;
    let relations = standing::relations(&notifications, &mut tx, &call.caller, &mut notification).await?;
    // The one before the page, to tell what the first of the page changed.
    let rows = store::versions(&mut tx, id, (after - 1).max(0), size + 1).await?;
    call.record(&mut tx, &Seen::by(&relations, [id])).await?;
    tx.commit().await?;

    let mut read = Vec::new();
    for row in rows {
        let plain = base.vault.open(FORM_BEFORE, id.uuid().as_bytes(), &row.form_sealed)?;
        let form = Form::decode(plain.as_slice()).context("read a stored form").map_err(Error::Internal)?;
        read.push(Version {
            number: row.version,
            form,
            filed_at: row.filed_at,
            entered_by: row.entered_by,
            channel: row.channel.0,
            told_at: row.told_at,
            by_form_of: row.form_version,
        });
    }
    read.push(Version {
        number: notification.version,
        form: view::form(&base.vault, &notification)?,
        filed_at: notification.filed_at,
        entered_by: notification.entered_by,
        channel: notification.channel,
        told_at: notification.told_at,
        by_form_of: notification.form_version,
    });

    let mut versions = Vec::new();
    for (place, version) in read.iter().enumerate() {
        let before = place.checked_sub(1).and_then(|before| read.get(before));
        if version.number <= after || i64::try_from(versions.len()).is_ok_and(|shown| shown >= size) {
            continue;
        }
        versions.push(classes::mask(&version.shown(before), &relations).map_err(Error::Internal)?);
    }
    let last = versions.last().map(|version| version.version);
    let next_page_token =
        last.filter(|last| *last < notification.version).map(|last| last.to_string()).unwrap_or_default();
    Ok(ListVersionsResponse { versions, next_page_token })
}

#[cfg(test)]
mod tests {
    use proto::{
        notification::{FileNotificationRequest, ListVersionsRequest},
        registry::{Channel, Entry},
    };
    use runtime::clock::to_proto;
    use testing::{NOW, Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use crate::{
        filing,
        fixture::{Scene, by_telephone, filing, request_id, with_address},
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
    async fn each_version_says_who_told_it_how_and_when_and_by_which_form() -> Outcome {
        let scene = Scene::new().await?;
        let told_at = Some(to_proto(NOW - Duration::hours(2)));
        let entry = Entry { told_time: told_at, ..by_telephone(scene.clinic) };
        let request = FileNotificationRequest { entry: Some(entry), ..filing() };
        let receipt = scene.file_as(&scene.nurse, request).await?;
        let mut earlier = with_address();
        earlier.report_date = "2020-05-12".to_owned();
        earlier.findings = None;
        scene.amend(&receipt, earlier).await?;

        let notification_id = receipt.notification_id;
        let request = ListVersionsRequest { notification_id, ..ListVersionsRequest::default() };
        let page = scene.world.ask(&scene.notifications, &scene.nurse, request, filing::versions).await?;
        let told: Vec<_> = page
            .versions
            .iter()
            .map(|one| (one.channel(), one.told_time, one.entered_by_id.clone(), one.form_version.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (Channel::Telephone, told_at, scene.centre.id.to_string(), "2020-05-13"),
                (Channel::Unspecified, None, String::new(), "2020-02-01"),
            ]
        );
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
