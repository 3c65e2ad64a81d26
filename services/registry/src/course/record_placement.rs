//! `RecordPlacement`: where the person is cared for from a day on.

use chassis::{Call, Error};
use proto::{
    identity::OrganisationKind as Kind,
    registry::{Case as View, RecordPlacementRequest},
};

use super::{model::Stay, store};
use crate::{case, service::Registry};

pub(crate) async fn record_placement(registry: Registry, call: Call<RecordPlacementRequest>) -> Result<View, Error> {
    let request = &call.request;
    let since = case::required_date("since_date", &request.since_date, call.today())?;

    case::change(&registry, &call, &request.case_id, case::may_record, async |change| {
        // A stay in a hospital that has closed since is a fact: it must have been open on the day.
        let facility = |id| case::organisation(&registry.base.directory, "facility_id", id, takes_patients_in, since);
        let stay = Stay {
            placement: data::code(request.placement),
            since,
            facility_id: Some(request.facility_id.as_str()).filter(|id| !id.is_empty()).map(facility).transpose()?,
        };
        change.held.case.place(&stay);
        store::add_stay(&mut change.tx, change.held.case.id, &stay).await?;
        Ok(())
    })
    .await
}

fn takes_patients_in(kind: Kind) -> bool {
    matches!(kind, Kind::Hospital | Kind::LodgingFacility)
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::registry::{CaseChanged, Placement, RecordPlacementRequest};
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use super::record_placement;
    use crate::fixture::{Scene, request_id};

    fn placed(case: CaseId, placement: Placement, facility_id: String) -> RecordPlacementRequest {
        RecordPlacementRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            etag: String::new(),
            placement: placement.into(),
            since_date: "2020-06-01".to_owned(),
            facility_id,
        }
    }

    #[tokio::test]
    async fn the_person_is_cared_for_somewhere_else_and_the_past_is_kept() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        scene.ask(&scene.nurse, placed(id, Placement::Home, String::new()), record_placement).await?;
        let hospital = scene.hospital.id.to_string();
        let case = scene.ask(&scene.nurse, placed(id, Placement::Hospital, hospital.clone()), record_placement).await?;
        assert_eq!((case.placement, case.stays.len()), (i32::from(Placement::Hospital), 2));
        assert_eq!(case.stays[1].facility_id, hospital);
        let announced = scene.world.announced::<CaseChanged>().await?.pop().unwrap();
        assert_eq!((announced.placement_since_date.as_str(), announced.facility_id), ("2020-06-01", hospital));
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let home = |case| placed(case, Placement::Home, String::new());
        let request = |case, etag: &str| RecordPlacementRequest { etag: etag.to_owned(), ..home(case) };
        scene.refuses_as_every_change((&scene.nurse, id), request, record_placement).await?;
        let since = |day: &str| RecordPlacementRequest { since_date: day.to_owned(), ..home(id) };
        let at = |facility: String| placed(id, Placement::Hospital, facility);
        for (refused, field) in [
            (since("2020-06-02"), "since_date"),
            (since("x"), "since_date"),
            (at(scene.clinic.id.to_string()), "facility_id"),
            (at(request_id()), "facility_id"),
            (at("x".to_owned()), "facility_id"),
        ] {
            let status = scene.ask(&scene.nurse, refused, record_placement).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (Code::InvalidArgument, true), "{field}");
        }
        Ok(())
    }
}
