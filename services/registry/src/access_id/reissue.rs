//! `ReissueAccessId`: a new access ID for a lost or leaked one. Identity hears of it and ends what the old one opened. The case
//! itself gets no new version.

use access::CaseId;
use chassis::{Call, Error};
use data::outbox;
use proto::registry::{PersonCorrected, ReissueAccessIdRequest, ReissueAccessIdResponse};
use sqlx::PgConnection;

use super::{mint::mint, store};
use crate::{case, service::Registry};

pub(crate) async fn reissue(
    registry: Registry,
    call: Call<ReissueAccessIdRequest>,
) -> Result<ReissueAccessIdResponse, Error> {
    let id = CaseId::parse(&call.request.case_id)?;
    let lock = async |conn: &mut PgConnection| case::lock(&registry, &call, conn, id, case::may_record).await;
    call.change(&registry.base, lock, async |change| {
        let (access_id, access) = mint(&registry.base.vault, id)?;
        store::replace(&mut change.tx, id, &access).await?;
        outbox::add(&mut change.tx, &PersonCorrected { case_id: id.to_string() }).await?;

        Ok(ReissueAccessIdResponse { access_id: access_id.printed() })
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::{
        identity::Role,
        registry::{PersonCorrected, ReissueAccessIdRequest},
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use super::reissue;
    use crate::fixture::{Scene, request_id};

    fn lost(case: CaseId) -> ReissueAccessIdRequest {
        ReissueAccessIdRequest { request_id: request_id(), case_id: case.to_string() }
    }

    #[tokio::test]
    async fn the_new_id_is_another_one_and_identity_hears_of_it() -> Outcome {
        let scene = Scene::new().await?;
        let registered = scene.register(&scene.physician).await?;
        let id = CaseId::parse(&registered.case_id)?;
        let request = lost(id);
        let answer = scene.ask(&scene.nurse, request.clone(), reissue).await?;
        assert!(answer.access_id != registered.access_id);
        assert_eq!(scene.get(&scene.nurse, id).await?.etag, "1", "no new version of the case");
        assert_eq!(scene.world.announced::<PersonCorrected>().await?.len(), 1);

        assert!(scene.ask(&scene.nurse, request, reissue).await? == answer);
        assert_eq!(scene.world.announced::<PersonCorrected>().await?.len(), 1);
        assert_eq!(scene.world.audited("ReissueAccessId").await?.len(), 2);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let (id, former) = (scene.case().await?, scene.handed_over().await?);
        let offered = scene.case().await?;
        scene.offer(offered).await?;
        let used = lost(id);
        scene.ask(&scene.nurse, used.clone(), reissue).await?;
        for (caller, refused, code) in [
            (&scene.nurse, lost(CaseId::new()), Code::NotFound),
            (&scene.tokyo_nurse, lost(id), Code::NotFound),
            (&scene.nurse, lost(former), Code::PermissionDenied),
            (&scene.tokyo_nurse, lost(offered), Code::PermissionDenied),
            (&scene.osaka.staff(Role::Administrator), lost(id), Code::PermissionDenied),
            (&scene.nurse, ReissueAccessIdRequest { case_id: offered.to_string(), ..used }, Code::AlreadyExists),
        ] {
            assert_eq!(scene.ask(caller, refused, reissue).await.refused().code(), code);
        }
        Ok(())
    }
}
