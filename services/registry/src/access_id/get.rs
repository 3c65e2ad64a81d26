//! `GetAccessId`: the access ID as it is now, to be told again (ID管理).

use access::CaseId;
use chassis::{Call, Error, Seen};
use japan::access_id::AccessId;
use proto::registry::{GetAccessIdRequest, GetAccessIdResponse, Relation};
use runtime::problem::why;

use super::mint;
use crate::{case, service::Registry};

pub(crate) async fn get(registry: Registry, call: Call<GetAccessIdRequest>) -> Result<GetAccessIdResponse, Error> {
    let id = CaseId::parse(&call.request.case_id)?;
    let mut tx = registry.base.pool.begin().await?;
    let case = case::find(&mut tx, id).await?;
    let relations = case::relations(&registry, &mut tx, &case, &call.caller, call.now).await?;
    // For those who could ask for a new one.
    let may = |relation| case::may_record(relation) || relation == Relation::ConsultationCentre;
    if !relations.iter().copied().any(may) {
        return Err(Error::Denied(why(
            "RELATION_DOES_NOT_ALLOW",
            "この症例の患者IDを表示する権限がありません。",
            "Your relation to this case does not show the access ID.",
        )));
    }
    call.record(&mut tx, &Seen::by(&relations, [id])).await?;
    tx.commit().await?;

    let access_id = mint::open(&registry.base.vault, &case)?;
    let printed = AccessId::parse(&access_id).map_or(access_id, |id| id.printed());
    Ok(GetAccessIdResponse { access_id: printed })
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::{
        identity::{OrganisationKind as Kind, Role},
        registry::{GetAccessIdRequest, Relation},
    };
    use testing::{Outcome, Refused as _, patient};
    use tonic::Code;

    use super::get;
    use crate::{case::Grant, fixture::Scene};

    #[tokio::test]
    async fn the_centre_and_who_registered_the_person_see_the_id_again_and_nobody_else_does() -> Outcome {
        let scene = Scene::new().await?;
        let registered = scene.register(&scene.physician).await?;
        let id = CaseId::parse(&registered.case_id)?;
        let ask = |caller, id: CaseId| scene.ask(caller, GetAccessIdRequest { case_id: id.to_string() }, get);
        for caller in [&scene.nurse, &scene.physician] {
            assert_eq!(ask(caller, id).await?.access_id, registered.access_id);
        }
        assert_eq!(scene.world.audited("GetAccessId").await?.len(), 2);

        scene.regrant(id, |case| Grant::begun(case, scene.tokyo.id, Relation::ResidenceCentre)).await?;
        let coordinator = scene.prefecture.staff(Role::Coordinator);
        let stranger = scene.world.body(Kind::HealthCentre, 14).await?.staff(Role::Nurse);
        for (caller, id, code) in [
            (&scene.tokyo_nurse, id, Code::PermissionDenied),
            (&coordinator, id, Code::PermissionDenied),
            (&patient(id), id, Code::PermissionDenied),
            (&stranger, id, Code::NotFound),
            (&scene.nurse, CaseId::new(), Code::NotFound),
        ] {
            assert_eq!(ask(caller, id).await.refused().code(), code);
        }
        Ok(())
    }
}
