//! Hears the registry: which case a notification belongs to, and who may see that case. The form follows it.

use access::cases;
use async_trait::async_trait;
use chassis::Base;
use data::{Event, Failure, Projection};
use proto::registry::CaseChanged;
use sqlx::PgConnection;

use super::standing;

/// Hears the registry.
pub(crate) struct Hears(pub Base);

#[async_trait]
impl Projection for Hears {
    type Fetched = ();

    fn source(&self) -> &'static str {
        "registry"
    }

    async fn fetch(&self, _: &[Event]) -> Result<(), Failure> {
        Ok(())
    }

    async fn apply(&self, tx: &mut PgConnection, events: &[Event], (): &()) -> Result<(), Failure> {
        let versions: Vec<CaseChanged> = Event::read_all(events)?;
        standing::take(&self.0, tx, &versions).await?;
        Ok(())
    }

    /// The copies of cases come again; where notifications belong, and in whose inbox they are, stays as it is until then.
    async fn reset(&self, conn: &mut PgConnection) -> sqlx::Result<bool> {
        cases::forget_all(conn).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::{identity::Role, registry::Relation};
    use testing::{Body, Outcome, Refused as _};
    use tonic::Code;

    use crate::fixture::{Scene, amending, by_telephone, form};

    #[tokio::test]
    async fn the_form_follows_the_case_to_whoever_looks_after_the_person_now() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let case = CaseId::new();
        let hospital = scene.world.body(proto::identity::OrganisationKind::Hospital, 27).await?;
        let ward = hospital.staff(Role::Physician);
        assert_eq!(scene.get(&ward, &receipt).await.refused().code(), Code::NotFound);
        assert_eq!(scene.get(&scene.nurse, &receipt).await?.case_id, "");

        let (centre, neighbour) = (scene.centre, scene.neighbour);
        let held = [
            (centre, Relation::ResponsibleCentre),
            (scene.clinic, Relation::Reporter),
            (scene.prefecture, Relation::Prefecture),
            (hospital, Relation::TreatingInstitution),
        ];
        scene.belongs(&receipt, case, &held, 1).await?;
        assert_eq!(scene.get(&scene.nurse, &receipt).await?.case_id, case.to_string());
        let seen = scene.get(&ward, &receipt).await?.form.unwrap();
        assert!(seen.subject.as_ref().is_some_and(|subject| subject.name_kanji == "髙﨑 𠮷男"));
        assert!(seen.infection.is_none(), "what a hospital sees of a case, it sees of the form");

        // Handed over to another prefecture: the new centre works on it, the old one reads on, the old prefecture does not.
        let handed_over: [(Body, Relation); 4] = [
            (neighbour, Relation::ResponsibleCentre),
            (centre, Relation::FormerCentre),
            (scene.clinic, Relation::Reporter),
            (hospital, Relation::TreatingInstitution),
        ];
        scene.belongs(&receipt, case, &handed_over, 2).await?;
        scene.get(&scene.colleague, &receipt).await?;
        scene.get(&scene.nurse, &receipt).await?;
        scene.get(&scene.doctor, &receipt).await?;
        assert_eq!(scene.get(&scene.coordinator, &receipt).await.refused().code(), Code::NotFound);
        let told = |request| proto::notification::AmendNotificationRequest {
            entry: Some(by_telephone(scene.clinic)),
            ..request
        };
        let old = scene.amend_as(&scene.nurse, told(amending(&receipt, form()))).await;
        assert_eq!(old.refused().code(), Code::PermissionDenied);
        scene.amend_as(&scene.colleague, told(amending(&receipt, form()))).await?;
        Ok(())
    }

    #[tokio::test]
    async fn naming_a_case_gives_nobody_of_it_the_form_and_reporting_a_case_not_the_forms_of_others() -> Outcome {
        let scene = Scene::new().await?;
        let case = CaseId::new();
        let other = scene.world.body(proto::identity::OrganisationKind::Clinic, 27).await?;
        let named =
            proto::notification::FileNotificationRequest { case_id: case.to_string(), ..crate::fixture::filing() };
        let receipt = scene.file_as(&scene.doctor, named).await?;
        let doctor = other.staff(Role::Physician);
        // The case is known, and the registry did not say that the notification belongs to it.
        let elsewhere = scene.file().await?;
        scene.belongs(&elsewhere, case, &[(other, Relation::TreatingInstitution)], 1).await?;
        assert_eq!(scene.get(&doctor, &receipt).await.refused().code(), Code::NotFound);
        scene.get(&doctor, &elsewhere).await?;

        scene.belongs(&receipt, case, &[(other, Relation::Reporter)], 2).await?;
        assert_eq!(scene.get(&doctor, &receipt).await.refused().code(), Code::NotFound);
        Ok(())
    }

    #[tokio::test]
    async fn an_older_version_of_a_case_takes_nothing_back() -> Outcome {
        let scene = Scene::new().await?;
        let (receipt, case) = (scene.file().await?, CaseId::new());
        let hospital = scene.world.body(proto::identity::OrganisationKind::Hospital, 27).await?;
        let ward = hospital.staff(Role::Physician);
        scene.belongs(&receipt, case, &[(hospital, Relation::TreatingInstitution)], 2).await?;
        scene.belongs(&receipt, case, &[], 1).await?;
        scene.get(&ward, &receipt).await?;
        scene.belongs(&receipt, case, &[], 3).await?;
        assert_eq!(scene.get(&ward, &receipt).await.refused().code(), Code::NotFound);
        Ok(())
    }
}
