//! `OfferTransfer`: the responsible centre offers the case to another one, which sees it from then on. Responsible stays who is.

use chassis::{Call, Error};
use proto::{
    identity::OrganisationKind as Kind,
    registry::{Case as View, OfferTransferRequest, Relation},
};
use runtime::{clock::day_in_japan, problem::why};

use super::{
    model::{Transfer, works_on_it},
    store::{self, REASON},
};
use crate::{
    case::{self, Grant},
    service::Registry,
};

pub(crate) async fn offer(registry: Registry, call: Call<OfferTransferRequest>) -> Result<View, Error> {
    let (request, from) = (&call.request, call.caller.organisation_id);
    case::change(&registry, &call, &request.case_id, works_on_it, async |change| {
        let held = &mut change.held;
        let directory = &registry.base.directory;
        let to =
            case::organisation(directory, "to_centre_id", &request.to_centre_id, takes_over, day_in_japan(change.now))?;
        if to == from {
            return Err(Error::invalid("to_centre_id", "自らの保健所です", "must be another centre"));
        }
        if held.case.responsible_centre != Some(from) {
            return Err(Error::Denied(why(
                "NOT_RESPONSIBLE",
                "移管できるのは、現在の担当保健所に限ります。",
                "Only the centre that is responsible now can hand the case over.",
            )));
        }
        let last = store::latest_of(&mut change.tx, &[held.case.id]).await?.pop();
        if last.as_ref().is_some_and(Transfer::is_open) {
            return Err(Error::Precondition(why(
                "TRANSFER_PENDING",
                "移管の申し出が回答待ちです。",
                "Another hand-over of this case is waiting for its answer.",
            )));
        }

        let reason = registry.base.vault.seal(REASON, held.case.id.uuid().as_bytes(), request.reason.as_bytes())?;
        let number = last.map_or(1, |last| last.number + 1);
        let transfer = Transfer::offered(&held.case, number, (from, to), reason);
        store::save(&mut change.tx, &transfer).await?;
        held.grants.push(Grant::begun(&held.case, to, Relation::IncomingCentre));
        Ok(())
    })
    .await
}

fn takes_over(kind: Kind) -> bool {
    matches!(kind, Kind::HealthCentre | Kind::City)
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::registry::{CaseChanged, OfferTransferRequest, Relation, TransferState};
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use crate::{
        fixture::{Scene, accept, decline, form, holders, offer, request_id},
        transfer,
    };

    #[tokio::test]
    async fn both_centres_see_an_offered_case_and_the_old_one_is_responsible() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        assert_eq!(scene.get(&scene.tokyo_nurse, id).await.refused().code(), Code::NotFound);
        let case = scene.offer(id).await?;
        let transfer = case.transfer.clone().unwrap();
        assert_eq!((transfer.state, transfer.reason.as_str()), (i32::from(TransferState::Offered), "転居"));
        assert_eq!(transfer.offer_time, case.update_time);

        let seen = scene.get(&scene.tokyo_nurse, id).await?;
        assert_eq!(seen.responsible_centre_id, scene.osaka.id.to_string());
        assert_eq!(holders(&seen, Relation::ResponsibleCentre), [scene.osaka.id.to_string()]);
        assert_eq!(holders(&seen, Relation::IncomingCentre), [scene.tokyo.id.to_string()]);
        Ok(())
    }

    #[tokio::test]
    async fn a_case_born_of_a_filing_is_handed_over_like_any_other() -> Outcome {
        let scene = Scene::new().await?;
        scene.file(scene.clinic, scene.osaka, None, form()).await?;
        let announced: Vec<CaseChanged> = scene.world.announced().await?;
        let id = CaseId::parse(&announced.last().unwrap().case_id)?;

        scene.offer(id).await?;
        scene.ask(&scene.nurse, decline(id), transfer::decline).await?;
        assert_eq!(scene.get(&scene.tokyo_nurse, id).await.refused().code(), Code::NotFound, "the offer was withdrawn");
        scene.offer(id).await?;
        let case = scene.accept(id).await?;
        let (osaka, tokyo) = (scene.osaka.id.to_string(), scene.tokyo.id.to_string());
        assert_eq!(
            (&case.responsible_centre_id, holders(&case, Relation::ResponsibleCentre)),
            (&tokyo, vec![tokyo.clone()])
        );
        assert_eq!(holders(&case, Relation::FormerCentre), [osaka]);
        assert!(holders(&case, Relation::ReceivingCentre).is_empty());

        // The former centre neither offers it again nor declines what others offer.
        let again = scene.ask(&scene.nurse, offer(id, scene.tokyo), transfer::offer).await;
        assert_eq!(again.refused().code(), Code::PermissionDenied);
        let back = OfferTransferRequest { to_centre_id: scene.osaka.id.to_string(), ..offer(id, scene.osaka) };
        scene.ask(&scene.tokyo_nurse, back, transfer::offer).await?;
        assert_eq!(
            scene.ask(&scene.nurse, accept(id), transfer::accept).await?.responsible_centre_id,
            scene.osaka.id.to_string()
        );
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let (id, offered) = (scene.case().await?, scene.case().await?);
        scene.offer(offered).await?;
        let request = |case, etag: &str| OfferTransferRequest { etag: etag.to_owned(), ..offer(case, scene.tokyo) };
        scene.refuses_as_every_change((&scene.nurse, id), request, transfer::offer).await?;

        // Registered by Tokyo, in Osaka: both hold the relation, one is responsible.
        let registered = scene.register(&scene.tokyo_nurse).await?;
        let theirs = OfferTransferRequest { case_id: registered.case_id, ..offer(id, scene.osaka) };
        let nowhere = OfferTransferRequest { to_centre_id: request_id(), ..offer(id, scene.tokyo) };
        for (caller, refused, code, field) in [
            (&scene.nurse, offer(id, scene.clinic), Code::InvalidArgument, "to_centre_id"),
            (&scene.nurse, nowhere, Code::InvalidArgument, "to_centre_id"),
            (&scene.nurse, offer(id, scene.osaka), Code::InvalidArgument, "to_centre_id"),
            (&scene.nurse, offer(offered, scene.tokyo), Code::FailedPrecondition, ""),
            (&scene.tokyo_nurse, theirs, Code::PermissionDenied, ""),
            (&scene.physician, offer(id, scene.tokyo), Code::PermissionDenied, ""),
        ] {
            let status = scene.ask(caller, refused, transfer::offer).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (code, true), "{field}");
        }
        // The one that is asked reads along; it offers nothing on.
        let on = offer(offered, scene.osaka);
        assert_eq!(scene.ask(&scene.tokyo_nurse, on, transfer::offer).await.refused().code(), Code::PermissionDenied);
        Ok(())
    }
}
