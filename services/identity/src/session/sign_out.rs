//! `SignOut`: the caller's session ends everywhere.

use chassis::{Call, Error};
use proto::identity::{SignOutRequest, SignOutResponse};

use super::end;
use crate::service::Identity;

pub(crate) async fn sign_out(identity: Identity, call: Call<SignOutRequest>) -> Result<SignOutResponse, Error> {
    let mut tx = identity.base.pool.begin().await?;
    end::end_one(&identity, &mut tx, call.caller.session_id).await?;
    tx.commit().await?;
    Ok(SignOutResponse {})
}

#[cfg(test)]
mod tests {
    use proto::identity::{Role, SignOutRequest, access_revoked::Subject};
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use crate::{fixture::Scene, session};

    #[tokio::test]
    async fn the_session_ends_everywhere_and_no_other() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let (elsewhere, _) = scene.session(&nurse).await?;
        scene.world.ask(&scene.identity, &nurse.caller, SignOutRequest {}, session::sign_out).await?;
        assert_eq!(scene.revoked().await?, [Subject::SessionId(nurse.caller.session_id.to_string())]);
        assert_eq!(scene.refresh(&nurse.tokens).await.refused().code(), Code::Unauthenticated);
        scene.refresh(&elsewhere).await?;
        Ok(())
    }
}
