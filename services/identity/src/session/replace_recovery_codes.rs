//! `ReplaceRecoveryCodes`: ten new codes; the old ones no longer work.

use chassis::{Call, Error};
use proto::identity::{ReplaceRecoveryCodesRequest, ReplaceRecoveryCodesResponse};

use super::model::must_be_at_work;
use crate::{
    factor::{self, RecoveryCodes},
    service::Identity,
};

pub(crate) async fn replace_recovery_codes(
    identity: Identity,
    call: Call<ReplaceRecoveryCodesRequest>,
) -> Result<ReplaceRecoveryCodesResponse, Error> {
    must_be_at_work(&call.caller).map_err(Error::Denied)?;

    let user = call.caller.user_id;
    let codes = RecoveryCodes::drawn(&identity, user)?;
    let mut tx = identity.base.pool.begin().await?;
    factor::replace_recovery_codes(&mut tx, user, &codes.hashes).await?;
    tx.commit().await?;
    Ok(ReplaceRecoveryCodesResponse { recovery_codes: codes.shown })
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::identity::{ReplaceRecoveryCodesRequest, Role, VerifyRecoveryCodeRequest};
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use crate::{
        fixture::{PASSWORD, Scene},
        session, sign_in,
    };

    #[tokio::test]
    async fn the_old_codes_no_longer_work() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let request = ReplaceRecoveryCodesRequest {};
        let new = scene.world.ask(&scene.identity, &nurse.caller, request, session::replace_recovery_codes).await?;
        assert_eq!(new.recovery_codes.len(), 10);
        let challenge = scene.sign_in(&nurse.login, PASSWORD).await?.challenge;
        let recover = async |code: &String| {
            let request = VerifyRecoveryCodeRequest { challenge: challenge.clone(), recovery_code: code.clone() };
            scene.world.ask_public(&scene.identity, request, sign_in::verify_recovery_code).await
        };
        assert_eq!(recover(&nurse.recovery_codes[0]).await.refused().code(), Code::Unauthenticated);
        recover(&new.recovery_codes[0]).await?;
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let case = CaseId::new();
        for caller in [testing::patient(case), testing::proxy(case)] {
            let request = ReplaceRecoveryCodesRequest {};
            let refused = scene.world.ask(&scene.identity, &caller, request, session::replace_recovery_codes).await;
            assert_eq!(refused.refused().code(), Code::PermissionDenied);
        }
        Ok(())
    }
}
