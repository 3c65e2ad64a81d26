//! `ReportCapacity`: a facility declares how many beds of a capability it has.

use access::OrganisationId;
use chassis::{Call, Error, Held, Seen};
use data::outbox;
use proto::beds::{Capability, Capacity, CapacityReported, ReportCapacityRequest};

use super::{model::Declared, shown, store};
use crate::service::Beds;

pub(crate) async fn report(beds: Beds, call: Call<ReportCapacityRequest>) -> Result<Capacity, Error> {
    let (request, caller) = (&call.request, &call.caller);
    let facility_id = OrganisationId::parse(&request.facility_id)?;
    let capability: Capability = data::code(request.capability);
    if facility_id != caller.organisation_id {
        return Err(Error::NotFound("organisation"));
    }
    if !super::has(caller.kind, capability) {
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
        let version = store::lock_version(conn, facility_id, capability).await?;
        Ok(Held::new((), Seen::default()).version(version.unwrap_or(0)))
    };
    call.change(&beds.base, lock, async |change| {
        let declared = Declared {
            facility_id,
            capability,
            prefecture: caller.prefecture,
            secured: request.secured,
            ready: request.ready,
            at: change.now,
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

#[cfg(test)]
mod tests {
    use proto::beds::{Capability, CapacityReported, ReportCapacityRequest};
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use crate::{
        capacity,
        fixture::{Scene, request_id},
    };

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
        scene.world.ask(&scene.beds, &scene.ward, good(), capacity::report).await?;
        Ok(())
    }
}
