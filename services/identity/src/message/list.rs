//! `ListMessages`: the local outbox of a development set-up, newest first. It holds codes and secrets.

use chassis::{
    Call, Error, Seen,
    page::{self, After},
};
use proto::identity::{ListMessagesRequest, ListMessagesResponse, Message};
use runtime::{clock::to_proto, problem::why};

use super::{opened, store};
use crate::service::Identity;

pub(crate) async fn list(identity: Identity, call: Call<ListMessagesRequest>) -> Result<ListMessagesResponse, Error> {
    if !identity.post.show_messages || identity.post.smtp.is_some() {
        // What waits for a provider is between the system and the person.
        return Err(Error::Precondition(why(
            "MESSAGES_NOT_SHOWN",
            "開発環境以外では、メッセージの内容を表示できません。",
            "Messages are shown in a development set-up only.",
        )));
    }
    let after = After::parse(&call.request.page_token)?;
    let size = page::size(call.request.page_size);

    let mut tx = identity.base.pool.begin().await?;
    let rows = store::page(&mut tx, after, size, call.now).await?;
    call.record(&mut tx, &Seen::records(rows.iter().map(|row| row.message_id))).await?;
    tx.commit().await?;

    let mut messages = Vec::with_capacity(rows.len());
    for row in &rows {
        let message = opened(identity.vault(), row.message_id, &row.sealed)?;
        messages.push(Message { create_time: Some(to_proto(row.created_at)), ..message });
    }
    let next_page_token = page::next(&rows, size, |last| After::row(last.created_at, last.message_id).token());
    Ok(ListMessagesResponse { messages, next_page_token })
}

#[cfg(test)]
mod tests {
    use proto::identity::{ListMessagesRequest, Role};
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use crate::{
        fixture::{Scene, post},
        message,
        settings::Post,
    };

    #[tokio::test]
    async fn pages_follow_each_other_newest_first_and_every_row_is_audited() -> Outcome {
        let scene = Scene::new().await?;
        let mut conn = scene.world.base.pool.acquire().await?;
        for number in ["one", "two", "three"] {
            message::one_time_code(&scene.identity, &mut conn, number.to_owned(), "123456").await?;
            scene.world.clock.advance(Duration::minutes(1));
        }
        let operator = scene.ministry.staff(Role::Operator);
        let request = ListMessagesRequest { page_size: 2, page_token: String::new() };
        let first = scene.world.ask(&scene.identity, &operator, request.clone(), message::list).await?;
        let request = ListMessagesRequest { page_token: first.next_page_token, ..request };
        let second = scene.world.ask(&scene.identity, &operator, request, message::list).await?;
        assert!(second.next_page_token.is_empty());
        let listed = first.messages.iter().chain(&second.messages);
        let destinations: Vec<&str> = listed.map(|message| message.destination.as_str()).collect();
        assert_eq!(destinations, ["three", "two", "one"]);
        assert!(first.messages[0].text.contains("123456") && first.messages[0].create_time.is_some());
        let audited = scene.world.audited("ListMessages").await?;
        assert_eq!((audited.len(), audited[0].groups.as_slice()), (3, &[3][..]));
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        for (caller, page_token, code) in [
            (scene.minister.clone(), "", Code::PermissionDenied),
            (scene.ministry.staff(Role::Operator), "x", Code::InvalidArgument),
        ] {
            let request = ListMessagesRequest { page_size: 0, page_token: page_token.to_owned() };
            let status = scene.world.ask(&scene.identity, &caller, request, message::list).await.refused();
            assert_eq!(status.code(), code);
        }
        let scene = Scene::with_post(Post { smtp: Some("127.0.0.1:1".to_owned()), ..post() }).await?;
        let operator = scene.ministry.staff(Role::Operator);
        let request = ListMessagesRequest::default();
        let status = scene.world.ask(&scene.identity, &operator, request, message::list).await.refused();
        assert_eq!(status.code(), Code::FailedPrecondition, "a provider delivers");
        Ok(())
    }
}
