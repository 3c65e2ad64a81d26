//! `ListInbox`: what reached the caller's organisation, newest first.

use access::UserId;
use chassis::{Call, Error, page};
use proto::notification::{InboxAssignment as Assignment, ListInboxRequest, ListInboxResponse};
use runtime::clock;

use super::store::{self, Wanted};
use crate::{
    filing::{self, Notification},
    service::Notifications,
};

pub(crate) async fn list(
    notifications: Notifications,
    call: Call<ListInboxRequest>,
) -> Result<ListInboxResponse, Error> {
    let (base, centre) = (&notifications.base, call.caller.organisation_id);
    let wanted = wanted(&call)?;
    let size = page::size(call.request.page_size);

    let mut conn = base.pool.acquire().await?;
    let rows = store::page(&mut conn, centre, &wanted, size).await?;
    drop(conn);
    let token = |row: &Notification| page::After::row(row.arrived_at, row.id).token();
    let next_page_token = page::next(&rows, size, token);

    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    // While the registry is silent, what hangs on its word is left out.
    filing::learn_what_is_told(&notifications, &call.caller, &ids).await?;
    let mut tx = base.pool.begin().await?;
    let shown = filing::visible(&notifications, &mut tx, &call, rows).await?;
    tx.commit().await?;

    let shown = shown.iter().map(|(row, relations)| filing::shown(base, row, relations));
    Ok(ListInboxResponse { notifications: shown.collect::<Result<_, _>>()?, next_page_token })
}

/// What is asked for.
fn wanted(call: &Call<ListInboxRequest>) -> Result<Wanted, Error> {
    let request = &call.request;
    let user = UserId::optional(&request.assigned_user_id)
        .map_err(|_| Error::invalid("assigned_user_id", "UUID を指定してください", "must be a UUID"))?;
    let assigned_to = match (data::code(request.assignment), user) {
        (Assignment::Unspecified, None) => None,
        (Assignment::Mine, None) => Some(call.caller.user_id),
        (Assignment::Unassigned, None) => Some(UserId::NIL),
        (Assignment::User, Some(user)) => Some(user),
        (Assignment::User, None) => {
            return Err(Error::invalid(
                "assigned_user_id",
                "担当者を指定してください",
                "is required with INBOX_ASSIGNMENT_USER",
            ));
        }
        (_, Some(_)) => {
            return Err(Error::invalid(
                "assigned_user_id",
                "assignment が INBOX_ASSIGNMENT_USER のときに限り指定できます",
                "must be empty unless assignment is INBOX_ASSIGNMENT_USER",
            ));
        }
    };
    let arrived_before = request.arrived_before_time.as_ref().map(|time| {
        clock::from_proto(time).ok_or_else(|| {
            Error::invalid("arrived_before_time", "日時が正しくありません", "must be a moment of the calendar")
        })
    });
    Ok(Wanted {
        assigned_to,
        state: data::code(request.state),
        missing_only: request.missing_only,
        arrived_before: arrived_before.transpose()?,
        after: page::After::parse(&request.page_token)?,
    })
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::{
        identity::Role,
        notification::{
            InboxAssignment as Assignment, ListInboxRequest, ListInboxResponse, NotificationState as State, Receipt,
        },
        options::Group,
    };
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::{Code, Status};

    use crate::{
        filing,
        fixture::{Scene, acknowledging, assigning, fill_in, request_id, returning, withdrawing},
        inbox,
    };

    async fn list(scene: &Scene, caller: &Caller, request: ListInboxRequest) -> Result<ListInboxResponse, Status> {
        scene.world.ask(&scene.notifications, caller, request, inbox::list).await
    }

    fn ids(page: &ListInboxResponse) -> Vec<&str> {
        page.notifications.iter().map(|notification| notification.notification_id.as_str()).collect()
    }

    /// Every page, one after the other.
    async fn walk(scene: &Scene, caller: &Caller, request: ListInboxRequest) -> Result<Vec<String>, Status> {
        let (mut found, mut page_token) = (Vec::new(), String::new());
        loop {
            let page = list(scene, caller, ListInboxRequest { page_token, ..request.clone() }).await?;
            found.extend(page.notifications.into_iter().map(|one| one.notification_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(found);
            }
        }
    }

    #[tokio::test]
    async fn the_newest_comes_first_page_by_page_each_on_record() -> Outcome {
        let scene = Scene::new().await?;
        let old = scene.file().await?;
        scene.world.clock.advance(Duration::minutes(1));
        let (middle, new) = (scene.file().await?, scene.file().await?);
        let first = list(&scene, &scene.nurse, ListInboxRequest { page_size: 2, ..Default::default() }).await?;
        assert_eq!(ids(&first), [&new.notification_id, &middle.notification_id]);
        let request = ListInboxRequest { page_size: 2, page_token: first.next_page_token, ..Default::default() };
        let second = list(&scene, &scene.nurse, request).await?;
        assert_eq!((ids(&second), second.next_page_token.as_str()), (vec![old.notification_id.as_str()], ""));
        assert_eq!(scene.world.audited("ListInbox").await?.len(), 3);

        let elsewhere = list(&scene, &scene.colleague, ListInboxRequest::default()).await?;
        assert!(elsewhere.notifications.is_empty(), "another centre's inbox is another");
        Ok(())
    }

    #[tokio::test]
    async fn a_state_is_listed_alone() -> Outcome {
        let scene = Scene::new().await?;
        let (accepted, open) = (scene.file().await?, scene.file().await?);
        scene.acknowledge(&scene.nurse, acknowledging(&accepted)).await?;
        for (state, expected) in [
            (State::Filed, vec![&open.notification_id]),
            (State::Acknowledged, vec![&accepted.notification_id]),
            (State::Unspecified, vec![&open.notification_id, &accepted.notification_id]),
        ] {
            let request = ListInboxRequest { state: state.into(), ..Default::default() };
            assert_eq!(ids(&list(&scene, &scene.nurse, request).await?), expected, "{state:?}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn each_state_is_listed_page_by_page() -> Outcome {
        let scene = Scene::new().await?;
        let mut filed = Vec::new();
        for _ in 0..8 {
            scene.world.clock.advance(Duration::minutes(1));
            filed.push(scene.file().await?);
        }
        let ask = |receipt: &Receipt| {
            scene.world.ask(&scene.notifications, &scene.nurse, returning(receipt), inbox::send_back)
        };
        scene.acknowledge(&scene.nurse, acknowledging(&filed[2])).await?;
        scene.acknowledge(&scene.nurse, acknowledging(&filed[5])).await?;
        ask(&filed[1]).await?;
        ask(&filed[6]).await?;
        for receipt in [&filed[0], &filed[7]] {
            scene.world.ask(&scene.notifications, &scene.doctor, withdrawing(receipt), filing::withdraw).await?;
        }
        for (state, expected) in [
            (State::Filed, vec![4, 3]),
            (State::Acknowledged, vec![5, 2]),
            (State::Returned, vec![6, 1]),
            (State::Withdrawn, vec![7, 0]),
            (State::Unspecified, vec![7, 6, 5, 4, 3, 2, 1, 0]),
        ] {
            let request = ListInboxRequest { state: state.into(), page_size: 1, ..Default::default() };
            let expected: Vec<String> =
                expected.into_iter().map(|at: usize| filed[at].notification_id.clone()).collect();
            assert_eq!(walk(&scene, &scene.nurse, request).await?, expected, "{state:?}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_desk_finds_its_own_work_what_is_nobodys_what_lacks_something_and_what_is_old() -> Outcome {
        let scene = Scene::new().await?;
        let clerk = scene.centre.staff(Role::Clerk);
        let mut filed = Vec::new();
        for _ in 0..6 {
            scene.world.clock.advance(Duration::minutes(1));
            filed.push(scene.file().await?);
        }
        list(&scene, &clerk, ListInboxRequest::default()).await?;
        for (at, user) in [(0, scene.nurse.user_id), (1, clerk.user_id), (4, scene.nurse.user_id)] {
            let request = assigning(&filed[at], Some(user));
            scene.world.ask(&scene.notifications, &scene.nurse, request, inbox::assign).await?;
        }
        scene.acknowledge(&scene.nurse, acknowledging(&filed[4])).await?;
        // Two lack nothing, one of them assigned.
        for at in [1, 3] {
            fill_in(&scene, &filed[at]).await?;
        }
        scene.world.ask(&scene.notifications, &scene.doctor, withdrawing(&filed[5]), filing::withdraw).await?;

        let before = scene.get(&scene.nurse, &filed[2]).await?.arrive_time;
        let with = |assignment: Assignment| ListInboxRequest { assignment: assignment.into(), ..Default::default() };
        let users = ListInboxRequest { assigned_user_id: clerk.user_id.to_string(), ..with(Assignment::User) };
        let open = ListInboxRequest { state: State::Filed.into(), ..with(Assignment::Mine) };
        let lacking = ListInboxRequest { missing_only: true, ..with(Assignment::Unassigned) };
        let withdrawn =
            ListInboxRequest { state: State::Withdrawn.into(), missing_only: true, ..ListInboxRequest::default() };
        for (request, expected, what) in [
            (with(Assignment::Mine), vec![4, 0], "the caller's own"),
            (open, vec![0], "of that, what is still to be accepted"),
            (users, vec![1], "a colleague's"),
            (with(Assignment::Unassigned), vec![5, 3, 2], "nobody's"),
            (ListInboxRequest { missing_only: true, ..Default::default() }, vec![4, 2, 0], "what lacks something"),
            (lacking, vec![2], "what lacks something and is nobody's"),
            (withdrawn, vec![5], "what was withdrawn, asked for by name"),
            (
                ListInboxRequest { arrived_before_time: before, ..Default::default() },
                vec![1, 0],
                "older than the third",
            ),
        ] {
            let expected: Vec<String> =
                expected.into_iter().map(|at: usize| filed[at].notification_id.clone()).collect();
            let paged = ListInboxRequest { page_size: 1, ..request.clone() };
            assert_eq!(walk(&scene, &scene.nurse, request).await?, expected, "{what}");
            assert_eq!(walk(&scene, &scene.nurse, paged).await?, expected, "{what}, one by one");
        }
        Ok(())
    }

    #[tokio::test]
    async fn an_id_does_not_see_what_is_hidden_from_it() -> Outcome {
        let scene = Scene::new().await?;
        scene.file().await?;
        let clerk = scene.centre.narrowed(Role::Clerk, [Group::Identity, Group::Administrative]);
        let page = list(&scene, &clerk, ListInboxRequest::default()).await?;
        let shown = page.notifications.first().unwrap();
        assert_eq!((shown.number.as_str(), shown.reporter_name.as_str()), ("", ""));
        assert_eq!(shown.form.as_ref().unwrap().subject.as_ref().unwrap().name_kanji, "");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let administrator = scene.centre.staff(Role::Administrator);
        let of_user = |assignment: Assignment, user: &str| ListInboxRequest {
            assignment: assignment.into(),
            assigned_user_id: user.to_owned(),
            ..Default::default()
        };
        for (caller, request, code, field) in [
            (&administrator, ListInboxRequest::default(), Code::PermissionDenied, ""),
            (
                &scene.nurse,
                ListInboxRequest { page_token: "x".to_owned(), ..Default::default() },
                Code::InvalidArgument,
                "page_token",
            ),
            (
                &scene.nurse,
                ListInboxRequest { page_size: 201, ..Default::default() },
                Code::InvalidArgument,
                "page_size",
            ),
            (&scene.nurse, ListInboxRequest { state: 9, ..Default::default() }, Code::InvalidArgument, "state"),
            (&scene.nurse, of_user(Assignment::User, ""), Code::InvalidArgument, "assigned_user_id"),
            (&scene.nurse, of_user(Assignment::User, "x"), Code::InvalidArgument, "assigned_user_id"),
            (&scene.nurse, of_user(Assignment::Mine, &request_id()), Code::InvalidArgument, "assigned_user_id"),
            (&scene.nurse, of_user(Assignment::Unspecified, &request_id()), Code::InvalidArgument, "assigned_user_id"),
        ] {
            let refused = list(&scene, caller, request).await.refused();
            assert_eq!((refused.code(), refused.message().starts_with(field)), (code, true), "{field}");
        }
        Ok(())
    }
}
