//! Forgets the answers that hold a secret: who lost one asks for a new one.

use std::time::Duration;

use sqlx::error::DatabaseError;

use super::store;
use crate::service::Identity;

/// Enough to ask again after a lost response.
const KEPT: time::Duration = time::Duration::minutes(10);

pub(crate) fn start_forgetting(identity: &Identity) {
    let (identity, stop) = (identity.clone(), identity.base.shutdown.clone());
    identity.base.shutdown.clone().spawn("forgetting", async move {
        loop {
            if let Err(error) = round(&identity).await {
                let code = error.as_database_error().and_then(DatabaseError::code);
                tracing::warn!(error = ?code, "Could not forget answers");
            }
            tokio::select! {
                () = stop.requested() => return,
                () = tokio::time::sleep(Duration::from_mins(1)) => {}
            }
        }
    });
}

/// Returns how many were forgotten.
async fn round(identity: &Identity) -> sqlx::Result<u64> {
    let mut conn = identity.base.pool.acquire().await?;
    store::forget_secret_answers(&mut conn, identity.base.clock.now() - KEPT).await
}

#[cfg(test)]
mod tests {
    use proto::identity::{IssueUserRequest, Role};
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use super::round;
    use crate::{
        fixture::{Scene, request_id},
        user,
    };

    #[tokio::test]
    async fn a_secret_is_not_shown_again_once_it_was_forgotten() -> Outcome {
        let scene = Scene::new().await?;
        let request = IssueUserRequest {
            request_id: request_id(),
            organisation_id: scene.hospital.id.to_string(),
            login: "nurse.sato".to_owned(),
            role: Role::Nurse.into(),
            ..IssueUserRequest::default()
        };
        scene.world.ask(&scene.identity, &scene.minister, request.clone(), user::issue).await?;
        assert_eq!(round(&scene.identity).await?, 0, "not yet");
        scene.world.ask(&scene.identity, &scene.minister, request.clone(), user::issue).await?;

        // When a request came stands by the database's clock, which is years ahead of the world's.
        scene.world.clock.advance(Duration::days(365 * 100));
        assert_eq!(round(&scene.identity).await?, 1);
        assert_eq!(round(&scene.identity).await?, 0);
        let again = scene.identity.base.answer(&scene.identity, request_of(&scene, request), user::issue).await;
        assert_eq!(again.refused().code(), Code::AlreadyExists);
        Ok(())
    }

    fn request_of(scene: &Scene, message: IssueUserRequest) -> tonic::Request<IssueUserRequest> {
        let mut request = tonic::Request::new(message);
        request.extensions_mut().insert(scene.minister.clone());
        request
    }
}
