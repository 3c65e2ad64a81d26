//! `ListLocalItems`: what is asked in an area, or everything that an organisation ever asked.

use chassis::{Call, Error};
use japan::date;
use proto::notification::{ListLocalItemsRequest, ListLocalItemsResponse};

use super::{area::area, model::LocalItem, store};
use crate::service::Notifications;

/// The most versions of an organisation's items that are listed, the newest items first.
const HISTORY: i64 = 500;

pub(crate) async fn list(
    notifications: Notifications,
    call: Call<ListLocalItemsRequest>,
) -> Result<ListLocalItemsResponse, Error> {
    let (base, request) = (&notifications.base, &call.request);
    let on = match request.as_of_date.as_str() {
        "" => call.today(),
        text => date::parse(text).map_err(|_| {
            let (ja, en) = ("日付が正しくありません（例: 2020-05-13）", "must be a date such as 2020-05-13");
            Error::invalid("as_of_date", ja, en)
        })?,
    };
    let area = area(&base.directory, &call.caller, &request.municipality_code, call.now)?;
    let mut conn = base.pool.acquire().await?;
    let items = if request.own_history {
        store::history(&mut conn, call.caller.organisation_id, HISTORY).await?
    } else {
        store::in_force(&mut conn, &area, on).await?
    };
    Ok(ListLocalItemsResponse { items: items.iter().map(LocalItem::view).collect() })
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::{
        identity::Role,
        notification::{ListLocalItemsRequest, LocalItem as View},
        registry::ItemType,
    };
    use testing::{Outcome, Refused as _};
    use tonic::{Code, Status};

    use super::list;
    use crate::{
        fixture::Scene,
        local_item::fixture::{item, put},
    };

    async fn asked(scene: &Scene, caller: &Caller, request: ListLocalItemsRequest) -> Result<Vec<View>, Status> {
        scene.world.ask(&scene.notifications, caller, request, list).await.map(|answer| answer.items)
    }

    #[tokio::test]
    async fn whoever_is_signed_in_lists_what_an_area_asks_of_centre_and_prefecture() -> Outcome {
        let scene = Scene::new().await?;
        let good = ListLocalItemsRequest::default;
        let of_centre = put(&scene, &scene.centre.staff(Role::Administrator), item(ItemType::Text)).await?;
        let of_prefecture = put(&scene, &scene.prefecture.staff(Role::Administrator), item(ItemType::Date)).await?;
        let both = [of_centre.clone(), of_prefecture.clone()];
        assert!(asked(&scene, &scene.nurse, good()).await? == both);
        assert!(asked(&scene, &scene.colleague, good()).await? == [of_prefecture.clone()], "another centre's area");
        let there = ListLocalItemsRequest { municipality_code: "271004".to_owned(), ..good() };
        assert!(asked(&scene, &scene.doctor, there).await? == both);
        let own = ListLocalItemsRequest { own_history: true, ..good() };
        assert!(asked(&scene, &scene.nurse, own).await? == [of_centre]);
        let before = ListLocalItemsRequest { as_of_date: "2020-05-31".to_owned(), ..good() };
        assert!(asked(&scene, &scene.nurse, before).await?.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let good = ListLocalItemsRequest::default;
        for request in [
            ListLocalItemsRequest { as_of_date: "x".to_owned(), ..good() },
            ListLocalItemsRequest { municipality_code: "271005".to_owned(), ..good() },
        ] {
            assert_eq!(asked(&scene, &scene.nurse, request).await.refused().code(), Code::InvalidArgument);
        }
        Ok(())
    }
}
