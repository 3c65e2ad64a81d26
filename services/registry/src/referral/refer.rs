//! `ReferCase`: refers a person to an institution that tests, which gets the relation of a test site.

use chassis::{Call, Error};
use proto::{
    identity::OrganisationKind as Kind,
    registry::{Case as View, ReferCaseRequest, Relation},
};

use runtime::{clock::day_in_japan, problem::why};

use crate::{
    case::{self, Grant},
    service::Registry,
    transfer,
};

pub(crate) async fn refer(registry: Registry, call: Call<ReferCaseRequest>) -> Result<View, Error> {
    let request = &call.request;
    case::change(&registry, &call, &request.case_id, may_refer, async |change| {
        let (directory, today) = (&registry.base.directory, day_in_japan(change.now));
        let institution = case::organisation(directory, "institution_id", &request.institution_id, tests, today)?;
        let reported = |relation: &Relation| *relation == Relation::Reporter;
        if change.relations.iter().filter(|relation| may_refer(**relation)).all(reported)
            && transfer::was_handed_over(&mut change.tx, change.held.case.id).await?
        {
            return Err(Error::Denied(why(
                "HANDED_OVER",
                "この症例は移管されています。紹介は担当保健所が行います。",
                "The case was handed over. The responsible centre refers the person.",
            )));
        }
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

/// Consultation centres and whoever consults for them (委託), clinics that cannot test (診療所 → 外来), and the centres.
fn may_refer(relation: Relation) -> bool {
    matches!(
        relation,
        Relation::ConsultationCentre | Relation::ResponsibleCentre | Relation::ReceivingCentre | Relation::Reporter
    )
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::{
        identity::{ContractScope, OrganisationKind as Kind, Role},
        registry::{ReferCaseRequest, RegisterCaseRequest, Relation},
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use super::refer;
    use crate::{
        case,
        fixture::{Scene, another_person, holders, registration, request_id},
    };

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
    async fn a_clinic_that_cannot_test_refers_and_so_does_an_association_that_consults() -> Outcome {
        let scene = Scene::new().await?;
        let hospital = scene.hospital.id.to_string();
        let id = scene.case().await?;
        scene.ask(&scene.physician, referred(id, hospital.clone()), refer).await?;
        scene.get(&scene.hospital.staff(Role::Physician), id).await?;

        let association = scene.world.body(Kind::MedicalAssociation, 27).await?;
        scene.world.entrust(scene.osaka, association, ContractScope::Consultation).await?;
        let operator = association.staff(Role::ConsultationOperator);
        let request = RegisterCaseRequest { person: Some(another_person()), ..registration() };
        let id = CaseId::parse(&scene.ask(&operator, request, case::register).await?.case_id)?;
        let case = scene.ask(&operator, referred(id, hospital.clone()), refer).await?;
        assert_eq!(case.referred_to_id, hospital);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let (id, handed_over) = (scene.case().await?, scene.handed_over().await?);
        let hospital = scene.hospital.id.to_string();
        let request = |case, etag: &str| ReferCaseRequest { etag: etag.to_owned(), ..referred(case, hospital.clone()) };
        scene.refuses_as_every_change((&scene.nurse, id), request, refer).await?;
        for (caller, refused, code, field) in [
            (&scene.nurse, referred(id, scene.lodging.id.to_string()), Code::InvalidArgument, "institution_id"),
            (&scene.nurse, referred(id, request_id()), Code::InvalidArgument, "institution_id"),
            (&scene.physician, referred(handed_over, hospital.clone()), Code::PermissionDenied, ""),
            (&scene.prefecture.staff(Role::Coordinator), referred(id, hospital.clone()), Code::PermissionDenied, ""),
        ] {
            let status = scene.ask(caller, refused, refer).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (code, true), "{field}");
        }
        Ok(())
    }
}
