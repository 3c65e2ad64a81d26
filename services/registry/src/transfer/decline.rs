//! `DeclineTransfer`: the new centre declines, or the old one withdraws its offer. Everything is as before.

use chassis::{Call, Error};
use proto::registry::{Case as View, DeclineTransferRequest, Relation, TransferState};
use runtime::problem::why;

use super::{
    model::works_on_it,
    store::{self, ANSWER_REASON},
};
use crate::{
    case::{self, Grant},
    service::Registry,
};

pub(crate) async fn decline(registry: Registry, call: Call<DeclineTransferRequest>) -> Result<View, Error> {
    let request = &call.request;
    case::change(&registry, &call, &request.case_id, may_decline, async |change| {
        let held = &mut change.held;
        let mut transfer = super::open(&mut change.tx, held.case.id).await?;
        let caller = call.caller.organisation_id;
        if ![transfer.from_centre, transfer.to_centre].contains(&caller) {
            return Err(Error::Denied(why(
                "NOT_A_PARTY",
                "移管の申し出を取り下げ、又は断ることができるのは、その当事者の保健所に限ります。",
                "Only the two centres of a hand-over can withdraw or decline it.",
            )));
        }

        let case_id = held.case.id.uuid();
        let reason = registry.base.vault.seal(ANSWER_REASON, case_id.as_bytes(), request.reason.as_bytes())?;
        transfer.answer(&held.case, TransferState::Declined, Some(reason));
        store::save(&mut change.tx, &transfer).await?;
        held.grants.push(Grant::ended(&held.case, transfer.to_centre, Relation::IncomingCentre));
        Ok(())
    })
    .await
}

fn may_decline(relation: Relation) -> bool {
    relation == Relation::IncomingCentre || works_on_it(relation)
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::{
        identity::OrganisationKind as Kind,
        registry::{DeclineTransferRequest, Relation, TransferState},
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use crate::{
        fixture::{Scene, decline, holders, offer},
        transfer,
    };

    #[tokio::test]
    async fn declined_or_withdrawn_everything_is_as_before() -> Outcome {
        let scene = Scene::new().await?;
        for caller in [&scene.tokyo_nurse, &scene.nurse] {
            let id = scene.case().await?;
            scene.offer(id).await?;
            let case = scene.ask(caller, decline(id), transfer::decline).await?;
            let transfer = case.transfer.clone().unwrap();
            let declined = i32::from(TransferState::Declined);
            assert_eq!((transfer.state, transfer.answer_reason.as_str()), (declined, "管轄外"));
            assert!(holders(&case, Relation::IncomingCentre).is_empty());

            let case = scene.get(&scene.nurse, id).await?;
            assert_eq!(holders(&case, Relation::ResponsibleCentre), [scene.osaka.id.to_string()]);
            assert_eq!(scene.get(&scene.tokyo_nurse, id).await.refused().code(), Code::NotFound);
            // Another offer is another hand-over.
            scene.offer(id).await?;
            assert_eq!(scene.accept(id).await?.responsible_centre_id, scene.tokyo.id.to_string());
        }
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let (id, quiet) = (scene.case().await?, scene.case().await?);
        scene.offer(id).await?;
        let request = |case, etag: &str| DeclineTransferRequest { etag: etag.to_owned(), ..decline(case) };
        scene.refuses_as_every_change((&scene.tokyo_nurse, id), request, transfer::decline).await?;
        let coordinator = scene.prefecture.staff(proto::identity::Role::Coordinator);
        // Registered by Tokyo, in Osaka, offered by Osaka to a third: Tokyo works on it and is no party.
        let others = CaseId::parse(&scene.register(&scene.tokyo_nurse).await?.case_id)?;
        let third = scene.world.body(Kind::HealthCentre, 28).await?;
        scene.ask(&scene.nurse, offer(others, third), transfer::offer).await?;
        for (caller, refused, code) in [
            (&scene.tokyo_nurse, decline(others), Code::PermissionDenied),
            (&scene.nurse, decline(quiet), Code::FailedPrecondition),
            (&coordinator, decline(id), Code::PermissionDenied),
        ] {
            assert_eq!(scene.ask(caller, refused, transfer::decline).await.refused().code(), code);
        }
        Ok(())
    }
}
