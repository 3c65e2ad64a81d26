//! `DefineLocalItem`: a centre, a city or a prefecture asks something more from a day on, or asks it otherwise.

use access::OrganisationId;
use chassis::{Call, Error, Held, Seen};
use proto::notification::{DefineLocalItemRequest, LocalItem as View};
use runtime::problem::why;
use sqlx::PgConnection;

use super::{
    model::{LocalItem, LocalItemId},
    store,
};
use crate::service::Notifications;

/// As many items of one organisation may be in force at once: a form answers those of a centre, a city and a prefecture.
const MOST: i64 = 10;

pub(crate) async fn define(
    notifications: Notifications,
    mut call: Call<DefineLocalItemRequest>,
) -> Result<View, Error> {
    let base = &notifications.base;
    let (own, by, today) = (call.caller.organisation_id, call.caller.user_id, call.today());
    let given = call.request.item.take().unwrap_or_default();
    let item = LocalItem::read(&given, own, today).map_err(Error::Invalid)?;
    let known = LocalItemId::optional(&given.item_id)?;

    let Some(id) = known else {
        let again = async |_: &mut PgConnection, view: &View| Ok(Seen::records([LocalItemId::parse(&view.item_id)?]));
        return call
            .create(base, again, async |conn| {
                store::lock_items_of(conn, own).await?;
                leaves_room(conn, &item).await?;
                store::put(conn, &item, by, call.now).await?;
                Ok((item.view(), Seen::records([item.id])))
            })
            .await;
    };
    let lock = async |conn: &mut PgConnection| lock(conn, id, own).await;
    call.change(base, lock, async |change| {
        let before = &change.held;
        if before.r#type != item.r#type {
            return Err(stays());
        }
        if item.from < before.from {
            let ja = format!("{} からの定義があります。それ以降の日付を指定してください", before.from);
            return Err(Error::invalid("item.from_date", ja, format!("must not be before {}", before.from)));
        }
        let next = LocalItem { id, revision: before.revision + 1, ..item };
        leaves_room(&mut change.tx, &next).await?;
        store::put(&mut change.tx, &next, by, change.now).await?;
        Ok(next.view())
    })
    .await
}

/// Whether an item, as it is to be, is one of at most [`MOST`] on each of its days. Whoever asks holds the lock on the items.
async fn leaves_room(conn: &mut PgConnection, item: &LocalItem) -> Result<(), Error> {
    if store::most_beside(conn, item).await? >= MOST { Err(too_many()) } else { Ok(()) }
}

/// An item of the caller's organisation, locked with all of them. Those of others are not there.
async fn lock(conn: &mut PgConnection, id: LocalItemId, own: OrganisationId) -> Result<Held<LocalItem, View>, Error> {
    store::lock_items_of(conn, own).await?;
    let item = store::lock(conn, id, own).await?.ok_or(Error::NotFound("local item"))?;
    let revision = item.revision;
    Ok(Held::new(item, Seen::records([id])).version(revision))
}

fn stays() -> Error {
    Error::Precondition(why(
        "LOCAL_ITEM_TYPE",
        "任意入力項目の種類は変更できません。終了日を設定し、新しい項目を定義してください。",
        "The type of a local item stays what it is. End it and define another one.",
    ))
}

fn too_many() -> Error {
    Error::Precondition(why(
        "TOO_MANY_LOCAL_ITEMS",
        "同時に有効にできる任意入力項目は10件までです。",
        "At most 10 local items may be in force at once.",
    ))
}

#[cfg(test)]
mod tests {
    use proto::{
        identity::Role,
        notification::{DefineLocalItemRequest, GetFormDefinitionRequest, ListLocalItemsRequest, LocalItem as View},
        registry::ItemType,
    };
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use super::define;
    use crate::{
        fixture::{Scene, request_id},
        form,
        local_item::{
            self,
            fixture::{item, put},
        },
    };

    #[tokio::test]
    async fn an_item_is_asked_from_its_day_on_without_a_release_and_in_its_area_only() -> Outcome {
        let scene = Scene::new().await?;
        let administrator = scene.centre.staff(Role::Administrator);
        let tomorrow = View { from_date: "R2.6.2".to_owned(), ..item(ItemType::Choice) };
        let defined = put(&scene, &administrator, tomorrow).await?;
        assert_eq!((defined.etag.as_str(), defined.from_date.as_str()), ("1", "2020-06-02"));
        assert_eq!(defined.organisation_id, scene.centre.id.to_string());
        let asked = async |day: &str, code: &str| {
            let request = GetFormDefinitionRequest {
                as_of_date: day.to_owned(),
                municipality_code: code.to_owned(),
                ..GetFormDefinitionRequest::default()
            };
            let form = scene.world.ask(&scene.notifications, &scene.doctor, request, form::definition).await;
            form.map(|form| form.local_items)
        };
        assert!(asked("2020-06-02", "271004").await? == [defined.clone()]);
        assert!(asked("2020-06-01", "271004").await?.is_empty() && asked("2020-06-02", "271403").await?.is_empty());

        // Asked otherwise from the week after on; what was asked until then is kept.
        scene.world.clock.advance(Duration::days(1));
        let renamed = View { ja: "利用した店".to_owned(), from_date: "2020-06-09".to_owned(), ..defined.clone() };
        let renamed = put(&scene, &administrator, renamed).await?;
        assert_eq!((renamed.etag.as_str(), &renamed.item_id), ("2", &defined.item_id));
        assert!(
            asked("2020-06-08", "271004").await? == [defined]
                && asked("2020-06-09", "271004").await? == [renamed.clone()]
        );
        let ended = View { until_date: "2020-06-30".to_owned(), ..renamed };
        put(&scene, &administrator, ended).await?;
        assert_eq!((asked("2020-06-30", "271004").await?.len(), asked("2020-07-01", "271004").await?.len()), (1, 0));

        let request = ListLocalItemsRequest { own_history: true, ..ListLocalItemsRequest::default() };
        let history = scene.world.ask(&scene.notifications, &administrator, request, local_item::list).await?.items;
        assert_eq!(history.iter().map(|item| item.etag.as_str()).collect::<Vec<_>>(), ["3", "1"]);
        assert_eq!(scene.world.audited("DefineLocalItem").await?.len(), 3);
        Ok(())
    }

    #[tokio::test]
    async fn at_most_ten_are_in_force_on_any_day_whenever_they_begin_and_however_they_change() -> Outcome {
        let scene = Scene::new().await?;
        let administrator = scene.centre.staff(Role::Administrator);
        let during = |from: &str, until: &str| View {
            from_date: from.to_owned(),
            until_date: until.to_owned(),
            ..item(ItemType::Text)
        };
        let mut july = Vec::new();
        for _ in 0..super::MOST {
            july.push(put(&scene, &administrator, during("2020-07-01", "2020-07-31")).await?);
        }
        let early = put(&scene, &administrator, during("2020-06-10", "2020-06-30")).await?;
        let full = async |item: View| {
            let refused = put(&scene, &administrator, item).await.refused();
            assert_eq!(refused.code(), Code::FailedPrecondition, "{}", refused.message());
        };
        // One that begins before and is still asked then, one that begins with the last day of them.
        full(during("2020-06-10", "")).await;
        full(during("2020-06-10", "2020-07-01")).await;
        full(during("2020-07-31", "")).await;
        let after = put(&scene, &administrator, during("2020-08-01", "")).await?;
        // A change is a definition too: asked longer, or asked again.
        full(View { until_date: "2020-07-01".to_owned(), ..early.clone() }).await;
        full(View { from_date: "2020-07-20".to_owned(), until_date: String::new(), ..early.clone() }).await;
        put(&scene, &administrator, View { until_date: "2020-06-20".to_owned(), ..early }).await?;
        put(&scene, &administrator, View { until_date: "2020-08-31".to_owned(), ..after }).await?;

        // One of the ten may be asked otherwise, and where it ends there is room.
        let renamed = View { ja: "利用した店".to_owned(), from_date: "2020-07-10".to_owned(), ..july[0].clone() };
        let renamed = put(&scene, &administrator, renamed).await?;
        full(during("2020-07-15", "2020-07-20")).await;
        put(&scene, &administrator, View { until_date: "2020-07-14".to_owned(), ..renamed }).await?;
        put(&scene, &administrator, during("2020-07-15", "2020-07-20")).await?;
        // Two that follow each other are one at a time.
        put(&scene, &administrator, during("2020-07-21", "2020-07-31")).await?;
        let neighbour = scene.neighbour.staff(Role::Administrator);
        put(&scene, &neighbour, during("2020-07-15", "")).await?;
        Ok(())
    }

    #[tokio::test]
    async fn of_two_that_are_defined_at_once_one_is_the_eleventh() -> Outcome {
        let scene = Scene::new().await?;
        let administrator = scene.centre.staff(Role::Administrator);
        for _ in 1..super::MOST {
            put(&scene, &administrator, item(ItemType::Text)).await?;
        }
        let one = || put(&scene, &administrator, item(ItemType::Text));
        let both = tokio::join!(one(), one());
        let refused: Vec<Code> = [both.0, both.1].into_iter().filter_map(|one| Some(one.err()?.code())).collect();
        assert_eq!(refused, [Code::FailedPrecondition]);
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_definition_is_one() -> Outcome {
        let scene = Scene::new().await?;
        let administrator = scene.centre.staff(Role::Administrator);
        let request =
            DefineLocalItemRequest { request_id: request_id(), item: Some(item(ItemType::Text)), etag: String::new() };
        let once = scene.world.ask(&scene.notifications, &administrator, request.clone(), define).await?;
        assert!(scene.world.ask(&scene.notifications, &administrator, request, define).await? == once);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let administrator = scene.centre.staff(Role::Administrator);
        let good = || item(ItemType::Text);
        let later = View { from_date: "2020-06-09".to_owned(), ..good() };
        let own = put(&scene, &administrator, later).await?;
        let foreign = put(&scene, &scene.neighbour.staff(Role::Administrator), good()).await?;
        let named = |id: &str| View { item_id: id.to_owned(), ..good() };
        let clinic = scene.clinic.staff(Role::Administrator);
        let (denied, invalid) = (Code::PermissionDenied, Code::InvalidArgument);
        for (caller, item, code, field) in [
            (&scene.nurse, good(), denied, ""),
            (&clinic, good(), denied, ""),
            (&scene.doctor, good(), denied, ""),
            (&administrator, View { ja: String::new(), ..good() }, invalid, "item.ja"),
            (&administrator, View { r#type: ItemType::Phone.into(), ..good() }, invalid, "item.type"),
            (&administrator, View { until_date: "2020-05-01".to_owned(), ..good() }, invalid, "item.until_date"),
            (&administrator, named(&foreign.item_id), Code::NotFound, ""),
            (&administrator, named(&request_id()), Code::NotFound, ""),
            (&administrator, named(&own.item_id), invalid, "item.from_date"),
            (&administrator, View { r#type: ItemType::Date.into(), ..own.clone() }, Code::FailedPrecondition, ""),
        ] {
            let refused = put(&scene, caller, item).await.refused();
            assert_eq!((refused.code(), refused.message().starts_with(field)), (code, true), "{}", refused.message());
        }
        let stale = DefineLocalItemRequest { request_id: request_id(), item: Some(own), etag: "7".to_owned() };
        let stale = scene.world.ask(&scene.notifications, &administrator, stale, define).await.refused();
        assert_eq!(stale.code(), Code::Aborted);
        // The one that begins on 9 June is among them from then on.
        for _ in 1..super::MOST {
            put(&scene, &administrator, good()).await?;
        }
        assert_eq!(put(&scene, &administrator, good()).await.refused().code(), Code::FailedPrecondition);
        Ok(())
    }
}
