//! `RecordPlacement`: where the person is cared for from a day on. The hospital or lodging that is named sees the case.

use chassis::{Call, Error, behalf};
use proto::registry::{Case as View, RecordPlacementRequest, Stay as StayView};
use runtime::clock::{JAPAN, day_in_japan};

use super::{model::Stay, read::read_stay};
use crate::{
    case,
    fact::{Content, Recorder},
    service::Registry,
};

pub(crate) async fn record_placement(registry: Registry, call: Call<RecordPlacementRequest>) -> Result<View, Error> {
    let request = &call.request;
    let told = behalf::told(&registry.base, &call, request.entry.as_ref())?;
    let given = StayView {
        placement: request.placement,
        since_date: request.since_date.clone(),
        facility_id: request.facility_id.clone(),
        since_time_of_day: request.since_time_of_day.clone(),
        ..StayView::default()
    };

    case::change_as(&registry, &call, (&request.case_id, told), case::may_enter, async |change| {
        let stay = read_stay(&registry.base.directory, "", &given, call.today())?;
        // What is said today of today begins now, after what beds told of the same day.
        let said_at = told.at.unwrap_or(change.now);
        let now = Some(said_at.to_offset(JAPAN).time()).filter(|_| day_in_japan(said_at) == stay.since);
        let stay = Stay { since_time: stay.since_time.or(now), ..stay };
        let recorder = Recorder::of(&call.caller, &change.held.case, &change.relations, change.now);
        let recorder = recorder.told(&mut change.tx, &change.held.case, told).await?;
        change.held.record(recorder.fact(&change.held.case, Content::Stay(stay)));
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::{
        identity::Role,
        registry::{CaseChanged, Placement, RecordPlacementRequest, Relation, WithdrawFactRequest},
    };
    use testing::{Body, Outcome, Refused as _};
    use tonic::Code;

    use super::record_placement;
    use crate::{
        fact,
        fixture::{Scene, holders, request_id},
    };

    fn placed(case: CaseId, placement: Placement, facility_id: String) -> RecordPlacementRequest {
        RecordPlacementRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            etag: String::new(),
            placement: placement.into(),
            since_date: "2020-06-01".to_owned(),
            facility_id,
            ..RecordPlacementRequest::default()
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
    async fn a_stay_entered_late_is_history_and_the_latest_day_is_where_the_person_is() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let since = |placement, day: &str, facility: String| RecordPlacementRequest {
            since_date: day.to_owned(),
            ..placed(id, placement, facility)
        };
        let hospital = scene.hospital.id.to_string();
        scene.ask(&scene.nurse, since(Placement::Hospital, "2020-05-24", hospital), record_placement).await?;
        let late = since(Placement::Home, "2020-05-21", String::new());
        let case = scene.ask(&scene.nurse, late, record_placement).await?;
        assert_eq!((case.placement, case.stays.len()), (i32::from(Placement::Hospital), 2));
        let told: Vec<(&str, &str)> =
            case.stays.iter().map(|stay| (stay.since_date.as_str(), stay.until_date.as_str())).collect();
        assert_eq!(told, [("2020-05-21", "2020-05-24"), ("2020-05-24", "")], "one after the other, and none at once");

        // Of two moves of one day, the hour decides, in whatever order they are told.
        let at = |placement, hour: &str| RecordPlacementRequest {
            since_time_of_day: hour.to_owned(),
            ..since(placement, "2020-05-30", String::new())
        };
        scene.ask(&scene.nurse, at(Placement::Home, "18:30"), record_placement).await?;
        let case = scene.ask(&scene.nurse, at(Placement::Waiting, "09:00"), record_placement).await?;
        assert_eq!(case.placement, i32::from(Placement::Home));
        Ok(())
    }

    #[tokio::test]
    async fn who_is_named_as_carer_sees_the_case_and_no_more_once_the_stay_was_none() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let (ward, officer) = (scene.hospital.staff(Role::Physician), scene.lodging.staff(Role::LodgingOfficer));
        assert_eq!(scene.get(&ward, id).await.refused().code(), Code::NotFound);
        let placed_in = |placement, facility: Body| placed(id, placement, facility.id.to_string());
        let case = scene.ask(&scene.nurse, placed_in(Placement::Hospital, scene.hospital), record_placement).await?;
        assert_eq!(holders(&case, Relation::TreatingInstitution), [scene.hospital.id.to_string()]);
        scene.get(&ward, id).await?;

        // A lodging sees its residents only; the hospital goes on writing about the stay it had.
        scene.ask(&scene.nurse, placed_in(Placement::Lodging, scene.lodging), record_placement).await?;
        scene.get(&officer, id).await?;
        let case = scene.ask(&scene.nurse, placed(id, Placement::Home, String::new()), record_placement).await?;
        assert_eq!(scene.get(&officer, id).await.refused().code(), Code::NotFound);
        scene.get(&ward, id).await?;

        let withdrawn = WithdrawFactRequest {
            request_id: request_id(),
            case_id: id.to_string(),
            etag: String::new(),
            fact_id: case.stays[0].fact_id.clone(),
            reason: "別の患者".to_owned(),
        };
        let case = scene.ask(&scene.nurse, withdrawn, fact::withdraw).await?;
        assert_eq!((case.stays.len(), holders(&case, Relation::TreatingInstitution).len()), (2, 0));
        assert_eq!(scene.get(&ward, id).await.refused().code(), Code::NotFound);
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
            (placed(id, Placement::Home, scene.hospital.id.to_string()), "facility_id"),
            (RecordPlacementRequest { since_time_of_day: "24:00".to_owned(), ..home(id) }, "since_time_of_day"),
        ] {
            let status = scene.ask(&scene.nurse, refused, record_placement).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (Code::InvalidArgument, true), "{field}");
        }
        Ok(())
    }
}
