//! `ReportCapacity`: a facility declares how many beds of a capability it has, or tells it a centre or prefecture (代行入力).

use access::OrganisationId;
use chassis::{
    Call, Error, Held, Seen,
    behalf::{self, Told},
};
use data::outbox;
use proto::{
    beds::{Capability, Capacity, CapacityReported, ReportCapacityRequest},
    identity::OrganisationKind as Kind,
};
use runtime::problem::why;

use super::{model::Declared, shown, store};
use crate::service::Beds;

pub(crate) async fn report(beds: Beds, call: Call<ReportCapacityRequest>) -> Result<Capacity, Error> {
    let (request, caller) = (&call.request, &call.caller);
    let facility_id = OrganisationId::parse(&request.facility_id)?;
    let capability: Capability = data::code(request.capability);
    let told = told(&beds, &call, facility_id)?;
    let kind = beds.base.directory.get(facility_id).map_or(caller.kind, |facility| facility.kind);
    if !super::has(kind, capability) {
        return Err(Error::invalid(
            "capability",
            "この機関の種別にはありません",
            "must be a bed type that this kind of facility can have",
        ));
    }
    if request.ready > request.secured {
        return Err(Error::invalid(
            "ready",
            "即応病床数は確保病床数以下です",
            "must be at most the number of secured beds",
        ));
    }

    let lock = async |conn: &mut sqlx::PgConnection| {
        let last = store::lock_last(conn, facility_id, capability).await?;
        let (version, reported_at) = last.unzip();
        let seen = Seen::records([facility_id]).on_behalf_of(told.by);
        Ok(Held::new(reported_at, seen).version(version.unwrap_or(0)))
    };
    call.change(&beds.base, lock, async |change| {
        if told.at.is_some_and(|at| change.held.is_some_and(|last| at < last)) {
            return Err(Error::invalid(
                "entry.told_time",
                "これより新しい報告があります",
                "must not be before the last report of these beds",
            ));
        }
        // A facility told of is in the caller's prefecture.
        let declared = Declared {
            facility_id,
            capability,
            prefecture: caller.prefecture,
            secured: request.secured,
            ready: request.ready,
            at: told.at.unwrap_or(change.now),
            entered_at: change.now,
            entered_by: caller.organisation_id,
            channel: told.channel,
        };
        let version = store::declare(&mut change.tx, &declared).await?;
        let reported = CapacityReported {
            facility_id: facility_id.to_string(),
            prefecture: i32::from(caller.prefecture),
            capability: capability.into(),
            secured: request.secured,
            ready: request.ready,
            version,
        };
        outbox::add(&mut change.tx, &reported).await?;

        let room = store::room(&mut change.tx, facility_id, capability, change.now).await?;
        room.map(|room| shown(&beds.base.directory, &room)).ok_or(Error::NotFound("organisation"))
    })
    .await
}

/// Who declares: the facility for itself, or a centre or prefecture for the facility that told it.
fn told(beds: &Beds, call: &Call<ReportCapacityRequest>, facility: OrganisationId) -> Result<Told, Error> {
    let told = behalf::told_while_coordinating(&beds.base, call, call.request.entry.as_ref())?;
    match told.by {
        Some(told_by) if told_by == facility => Ok(told),
        Some(_) => Err(Error::invalid(
            "entry.on_behalf_of_id",
            "病床を報告する機関と同じ機関を指定してください",
            "must be the facility whose beds are reported",
        )),
        None if facility == call.caller.organisation_id => Ok(told),
        None if matches!(call.caller.kind, Kind::Hospital | Kind::LodgingFacility) => {
            Err(Error::NotFound("organisation"))
        }
        None => Err(Error::Denied(why(
            "FACILITY_ONLY",
            "受入機関から連絡を受けた病床数は、その機関名を付けて代行入力してください。",
            "Only the facility reports its beds. What it told you is entered with its name.",
        ))),
    }
}

#[cfg(test)]
mod tests {
    use proto::{
        beds::{Capability, CapacityReported, ListAvailabilityRequest, ReportCapacityRequest},
        identity::{OrganisationKind as Kind, Rights, Role},
        registry::{Channel, Entry},
    };
    use runtime::clock::to_proto;
    use testing::{Body, NOW, Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use crate::{
        capacity,
        fixture::{PREFECTURE, Scene, by_telephone, request_id, wrong_entries},
    };

    fn told(facility: Body, ready: i32, entry: Option<Entry>) -> ReportCapacityRequest {
        ReportCapacityRequest {
            request_id: request_id(),
            facility_id: facility.id.to_string(),
            capability: Capability::General.into(),
            secured: ready,
            ready,
            etag: String::new(),
            entry,
        }
    }

    #[tokio::test]
    async fn a_declaration_replaces_the_one_before_and_is_announced() -> Outcome {
        let scene = Scene::new().await?;
        let first = scene.declare(&scene.ward, Capability::Icu, 2).await?;
        let second = scene.declare(&scene.ward, Capability::Icu, 3).await?;
        assert_eq!((first.free, second.free, second.etag.as_str()), (2, 3, "2"));
        let announced: Vec<CapacityReported> = scene.world.announced().await?;
        assert_eq!(
            announced.iter().map(|reported| (reported.version, reported.ready)).collect::<Vec<_>>(),
            [(1, 2), (2, 3)]
        );
        Ok(())
    }

    #[tokio::test]
    async fn fewer_ready_beds_take_nobody_in_before_enough_have_left() -> Outcome {
        let scene = Scene::new().await?;
        scene.declare(&scene.ward, Capability::General, 2).await?;
        for _ in 0..2 {
            let admission = scene.request(scene.case().await?, Capability::General).await?;
            scene.offer(&admission, scene.hospital).await?;
            scene.accept(&admission).await?;
            scene.arrive(&admission).await?;
        }
        let fewer = scene.declare(&scene.ward, Capability::General, 1).await?;
        assert_eq!((fewer.occupied, fewer.free), (2, 0));
        let next = scene.request(scene.case().await?, Capability::General).await?;
        assert_eq!(scene.offer(&next, scene.hospital).await.refused().code(), Code::FailedPrecondition);
        scene.declare(&scene.ward, Capability::General, 3).await?;
        scene.offer(&next, scene.hospital).await?;
        Ok(())
    }

    #[tokio::test]
    async fn a_centre_enters_the_beds_a_hospital_tells_by_telephone_and_both_names_are_kept() -> Outcome {
        let scene = Scene::new().await?;
        let own = scene.declare(&scene.ward, Capability::General, 2).await?;
        assert_eq!((own.entered_by_id, own.report_time), (scene.hospital.id.to_string(), Some(to_proto(NOW))));
        scene.world.clock.advance(Duration::hours(3));
        let said = NOW + Duration::hours(1);
        let request = told(scene.hospital, 5, Some(by_telephone(scene.hospital, said)));
        let kept = scene.world.ask(&scene.beds, &scene.nurse, request, capacity::report).await?;
        assert_eq!((kept.free, kept.etag.as_str(), kept.channel()), (5, "2", Channel::Telephone));
        assert_eq!(
            (&kept.facility_id, &kept.entered_by_id),
            (&scene.hospital.id.to_string(), &scene.centre.id.to_string())
        );
        let entered = NOW + Duration::hours(3);
        assert_eq!((kept.report_time, kept.entry_time), (Some(to_proto(said)), Some(to_proto(entered))));

        // As everybody sees it, and in the trail.
        let list =
            ListAvailabilityRequest { capability: Capability::General.into(), ..ListAvailabilityRequest::default() };
        let shown = scene.world.ask(&scene.beds, &scene.ward, list, capacity::rank).await?.facilities;
        assert!(shown == [kept], "as it was answered");
        let audited = scene.world.audited("ReportCapacity").await?;
        let names: Vec<_> = audited.iter().map(|row| (row.record, row.user, row.on_behalf_of)).collect();
        let hospital = scene.hospital.id.uuid();
        let users = [scene.ward.user_id.uuid(), scene.nurse.user_id.uuid()].map(Some);
        assert_eq!(names, [(hospital, users[0], None), (hospital, users[1], Some(hospital))]);

        // What was told before the last report is known better already.
        let older = told(scene.hospital, 9, Some(by_telephone(scene.hospital, NOW + Duration::minutes(30))));
        let older = scene.world.ask(&scene.beds, &scene.nurse, older, capacity::report).await.refused();
        assert!(older.code() == Code::InvalidArgument && older.message().starts_with("entry.told_time"));
        Ok(())
    }

    #[tokio::test]
    async fn a_prefecture_enters_too_and_a_house_without_rights_needs_no_channel() -> Outcome {
        let scene = Scene::new().await?;
        let coordinator = scene.world.body(Kind::Prefecture, PREFECTURE).await?.staff(Role::Coordinator);
        let offline = |tell: &mut proto::identity::Organisation| tell.rights = Rights::None.into();
        let hospital = scene.world.organisation(Kind::Hospital, PREFECTURE, offline).await?;
        let entry = Entry { on_behalf_of_id: hospital.id.to_string(), ..Entry::default() };
        let kept = scene.world.ask(&scene.beds, &coordinator, told(hospital, 3, Some(entry)), capacity::report).await?;
        assert_eq!((kept.free, kept.entered_by_id), (3, coordinator.organisation_id.to_string()));
        assert_eq!(scene.world.announced::<CapacityReported>().await?[0].prefecture, i32::from(PREFECTURE));
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        scene.declare(&scene.ward, Capability::General, 2).await?;
        let good = || ReportCapacityRequest {
            request_id: request_id(),
            facility_id: scene.hospital.id.to_string(),
            capability: Capability::General.into(),
            secured: 5,
            ready: 5,
            etag: "1".to_owned(),
            entry: None,
        };
        let stale = ReportCapacityRequest { etag: "7".to_owned(), ..good() };
        let another = ReportCapacityRequest { facility_id: scene.lodging.id.to_string(), ..good() };
        let room = ReportCapacityRequest { capability: Capability::LodgingRoom.into(), ..good() };
        let more = ReportCapacityRequest { ready: 6, ..good() };
        for (refused, code, field) in [
            (stale, Code::Aborted, ""),
            (another, Code::NotFound, ""),
            (room, Code::InvalidArgument, "capability"),
            (more, Code::InvalidArgument, "ready"),
        ] {
            let status = scene.world.ask(&scene.beds, &scene.ward, refused, capacity::report).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (code, true), "{field}");
        }
        for (what, caller, entry, code, field) in wrong_entries(&scene).await? {
            let request = ReportCapacityRequest { entry, ..good() };
            let refused = scene.world.ask(&scene.beds, &caller, request, capacity::report).await.refused();
            assert_eq!((refused.code(), refused.message().starts_with(field)), (code, true), "{what}");
        }
        let no_rooms = ReportCapacityRequest {
            capability: Capability::LodgingRoom.into(),
            entry: Some(by_telephone(scene.hospital, NOW)),
            ..good()
        };
        let no_rooms = scene.world.ask(&scene.beds, &scene.nurse, no_rooms, capacity::report).await.refused();
        assert!(no_rooms.code() == Code::InvalidArgument && no_rooms.message().starts_with("capability"));
        scene.world.ask(&scene.beds, &scene.ward, good(), capacity::report).await?;
        Ok(())
    }
}
