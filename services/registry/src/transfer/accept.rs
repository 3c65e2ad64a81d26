//! `AcceptTransfer`: from this commit on the new centre is responsible, and nobody else.

use access::Relations;
use chassis::{Call, Error};
use proto::registry::{AcceptTransferRequest, Case as View, Relation, TransferState};

use super::{model::handed_over, store};
use crate::{case, service::Registry};

pub(crate) async fn accept(registry: Registry, call: Call<AcceptTransferRequest>) -> Result<View, Error> {
    let directory = &registry.base.directory;
    case::change(&registry, &call, &call.request.case_id, is_asked, async |change| {
        let held = &mut change.held;
        let mut transfer = super::open(&mut change.tx, held.case.id).await?;
        let to = transfer.to_centre;

        transfer.answer(&held.case, TransferState::Accepted, None);
        store::save(&mut change.tx, &transfer).await?;
        held.case.responsible_centre = Some(to);
        let until_now = case::grants_of(&mut change.tx, &[held.case.id]).await?;
        let prefecture = directory.get(to).and_then(|centre| directory.prefecture(centre.prefecture));
        held.grants = handed_over(&held.case, &until_now, to, prefecture);

        change.relations = Relations::new(vec![Relation::ResponsibleCentre], &call.caller);
        Ok(())
    })
    .await
}

fn is_asked(relation: Relation) -> bool {
    relation == Relation::IncomingCentre
}

#[cfg(test)]
mod tests {
    use proto::registry::{AcceptTransferRequest, CaseChanged, JudgeAdmissionRequest, Relation, TransferState};
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use crate::{
        case::Grant,
        course,
        fixture::{Scene, accept, decline, holders, request_id},
        transfer,
    };

    #[tokio::test]
    async fn at_every_moment_exactly_one_centre_is_responsible() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        scene.offer(id).await?;
        scene.ask(&scene.tokyo_nurse, decline(id), transfer::decline).await?;
        scene.offer(id).await?;
        scene.accept(id).await?;

        let announced: Vec<CaseChanged> = scene.world.announced().await?;
        assert_eq!(announced.len(), 5);
        for changed in &announced {
            let responsible: Vec<&str> = changed
                .grants
                .iter()
                .filter(|grant| grant.relation == i32::from(Relation::ResponsibleCentre) && grant.until_time.is_none())
                .map(|grant| grant.organisation_id.as_str())
                .collect();
            assert_eq!(responsible, [changed.responsible_centre_id.as_str()], "version {}", changed.version);
        }
        assert_eq!(announced[3].responsible_centre_id, scene.osaka.id.to_string());
        assert_eq!(announced[4].responsible_centre_id, scene.tokyo.id.to_string());
        Ok(())
    }

    #[tokio::test]
    async fn the_new_centre_works_on_the_case_and_the_old_one_reads_on() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        scene.offer(id).await?;
        let case = scene.accept(id).await?;
        let transfer = case.transfer.clone().unwrap();
        assert_eq!((transfer.state, transfer.answer_time), (i32::from(TransferState::Accepted), case.update_time));
        assert_eq!(holders(&case, Relation::FormerCentre), [scene.osaka.id.to_string()]);
        assert!(holders(&case, Relation::IncomingCentre).is_empty());
        assert!(
            case.person.is_some_and(|person| person.name_kanji == "山田 太郎"),
            "as the responsible centre sees it"
        );

        let judged = || JudgeAdmissionRequest {
            request_id: request_id(),
            case_id: id.to_string(),
            etag: String::new(),
            necessity: 1,
            ..JudgeAdmissionRequest::default()
        };
        scene.get(&scene.nurse, id).await?;
        let refused = scene.ask(&scene.nurse, judged(), course::judge_admission).await.refused();
        assert_eq!(refused.code(), Code::PermissionDenied);
        scene.ask(&scene.tokyo_nurse, judged(), course::judge_admission).await?;
        Ok(())
    }

    #[tokio::test]
    async fn accepting_twice_is_accepting_once() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        scene.offer(id).await?;
        let request = accept(id);
        let again = || scene.ask(&scene.tokyo_nurse, request.clone(), transfer::accept);
        let answer = again().await?;
        assert!(again().await? == answer, "though the relation it was accepted by has ended");
        assert_eq!(scene.world.announced::<CaseChanged>().await?.len(), 3);
        assert_eq!(scene.world.audited("AcceptTransfer").await?.len(), 2);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let (id, withdrawn) = (scene.case().await?, scene.case().await?);
        scene.offer(id).await?;
        let request = |case, etag: &str| AcceptTransferRequest { etag: etag.to_owned(), ..accept(case) };
        scene.refuses_as_every_change((&scene.tokyo_nurse, id), request, transfer::accept).await?;
        scene.offer(withdrawn).await?;
        scene.ask(&scene.nurse, decline(withdrawn), transfer::decline).await?;
        for (caller, refused, code) in [
            // The own offer is not the old centre's to accept.
            (&scene.nurse, accept(id), Code::PermissionDenied),
            // What was withdrawn is not there any more for whom it was offered to.
            (&scene.tokyo_nurse, accept(withdrawn), Code::NotFound),
        ] {
            assert_eq!(scene.ask(caller, refused, transfer::accept).await.refused().code(), code);
        }
        // The relation alone accepts nothing.
        scene.regrant(withdrawn, |case| Grant::begun(case, scene.tokyo.id, Relation::IncomingCentre)).await?;
        let refused = scene.ask(&scene.tokyo_nurse, accept(withdrawn), transfer::accept).await.refused();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        Ok(())
    }
}
