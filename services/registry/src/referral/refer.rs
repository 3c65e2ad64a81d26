//! `ReferCase`: refers a person to an institution that tests, which gets the relation of a test site.

use chassis::{Call, Error};
use proto::{
    identity::OrganisationKind as Kind,
    registry::{Case as View, ReferCaseRequest, Relation},
};

use runtime::clock::day_in_japan;

use crate::{
    case::{self, Grant},
    service::Registry,
};

pub(crate) async fn refer(registry: Registry, call: Call<ReferCaseRequest>) -> Result<View, Error> {
    let request = &call.request;
    case::change(&registry, &call, &request.case_id, may_refer, async |change| {
        let (directory, today) = (&registry.base.directory, day_in_japan(change.now));
        let institution = case::organisation(directory, "institution_id", &request.institution_id, tests, today)?;
        let held = &mut change.held;
        held.case.referred_to = Some(institution);
        held.grants.push(Grant::begun(&held.case, institution, Relation::Reporter));
        Ok(())
    })
    .await
}

fn tests(kind: Kind) -> bool {
    matches!(kind, Kind::Clinic | Kind::Hospital | Kind::Laboratory | Kind::QuarantineStation)
}

fn may_refer(relation: Relation) -> bool {
    matches!(relation, Relation::ConsultationCentre | Relation::ResponsibleCentre | Relation::ReceivingCentre)
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::{
        identity::{OrganisationKind as Kind, Role},
        registry::{ReferCaseRequest, Relation},
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use super::refer;
    use crate::fixture::{Scene, holders, request_id};

    fn referred(case: CaseId, institution_id: String) -> ReferCaseRequest {
        ReferCaseRequest { request_id: request_id(), case_id: case.to_string(), etag: String::new(), institution_id }
    }

    #[tokio::test]
    async fn a_consultation_centre_refers_and_the_institution_sees_the_case() -> Outcome {
        let scene = Scene::new().await?;
        let consultation = scene.world.body(Kind::ConsultationCentre, 27).await?;
        let operator = consultation.staff(Role::ConsultationOperator);
        let id = CaseId::parse(&scene.register(&operator).await?.case_id)?;
        let physician = scene.hospital.staff(Role::Physician);
        assert_eq!(scene.get(&physician, id).await.refused().code(), Code::NotFound);

        let case = scene.ask(&operator, referred(id, scene.hospital.id.to_string()), refer).await?;
        assert_eq!(case.referred_to_id, scene.hospital.id.to_string());
        let seen = scene.get(&physician, id).await?;
        assert_eq!(holders(&seen, Relation::Reporter), [scene.hospital.id.to_string()]);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let hospital = scene.hospital.id.to_string();
        let request = |case, etag: &str| ReferCaseRequest { etag: etag.to_owned(), ..referred(case, hospital.clone()) };
        scene.refuses_as_every_change((&scene.nurse, id), request, refer).await?;
        for (caller, refused, code, field) in [
            (&scene.nurse, referred(id, scene.lodging.id.to_string()), Code::InvalidArgument, "institution_id"),
            (&scene.nurse, referred(id, request_id()), Code::InvalidArgument, "institution_id"),
            (&scene.physician, referred(id, hospital.clone()), Code::PermissionDenied, ""),
        ] {
            let status = scene.ask(caller, refused, refer).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (code, true), "{field}");
        }
        Ok(())
    }
}
