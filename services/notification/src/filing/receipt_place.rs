//! `GetReceiptPlace`: where the filing of a version stands in the sealed audit trail.

mod store;

use chassis::{Call, Error, Seen};
use proto::notification::{GetReceiptPlaceRequest, ReceiptPlace};

use super::{model::NotificationId, standing, store::find};
use crate::service::Notifications;

pub(crate) async fn receipt_place(
    notifications: Notifications,
    call: Call<GetReceiptPlaceRequest>,
) -> Result<ReceiptPlace, Error> {
    let id = NotificationId::parse(&call.request.notification_id)?;

    standing::learn(&notifications, &call.caller, &[id]).await?;
    let mut tx = notifications.base.pool.begin().await?;
    let mut notification = find(&mut tx, id).await?.ok_or(Error::NotFound("notification"))?;
    let relations = standing::relations(&notifications, &mut tx, &call.caller, &mut notification).await?;
    let version = if call.request.version == 0 { notification.version } else { call.request.version };
    let filed = store::filed(&mut tx, id, version).await?.ok_or(Error::NotFound("version"))?;
    let row = audit::store::row(&mut tx, filed).await?;
    let sealed = audit::store::place_of(&mut tx, filed).await?;
    let checkpoint = match &sealed {
        Some(sealed) => audit::store::checkpoint_over(&mut tx, sealed.place).await?,
        None => None,
    };
    call.record(&mut tx, &Seen::by(&relations, [id])).await?;
    tx.commit().await?;

    // Who typed it in is named to those they work with.
    let own = call.caller.organisation_id.to_string();
    let (place, seal_before, seal) =
        sealed.map(|sealed| (sealed.place, sealed.before, sealed.seal)).unwrap_or_default();
    Ok(ReceiptPlace {
        notification_id: id.to_string(),
        version,
        audit_row_id: filed,
        row: row.filter(|row| row.organisation_id == own),
        place,
        seal_before,
        seal,
        checkpoint,
    })
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use audit::{seal, sealer};
    use proto::{
        identity::{OrganisationKind as Kind, Role},
        notification::{GetReceiptPlaceRequest, Receipt, ReceiptPlace},
    };
    use testing::{Outcome, Refused as _};
    use tonic::{Code, Status};

    use crate::{
        filing,
        fixture::{PREFECTURE, Scene, acknowledging, amending, request_id, with_address},
    };

    async fn place(scene: &Scene, caller: &Caller, receipt: &Receipt, version: i32) -> Result<ReceiptPlace, Status> {
        let notification_id = receipt.notification_id.clone();
        let request = GetReceiptPlaceRequest { notification_id, version };
        scene.world.ask(&scene.notifications, caller, request, filing::receipt_place).await
    }

    async fn seal_all(scene: &Scene) -> anyhow::Result<()> {
        let base = &scene.world.base;
        sealer::once("notification", &base.pool, &base.signer, &scene.world.clock).await
    }

    #[tokio::test]
    async fn a_filing_has_its_place_in_the_trail_once_it_is_sealed() -> Outcome {
        let scene = Scene::new().await?;
        scene.file().await?;
        let receipt = scene.file().await?;
        let open = place(&scene, &scene.doctor, &receipt, 0).await?;
        assert_eq!((open.place, open.seal.len(), open.checkpoint.is_none()), (0, 0, true), "it is not sealed yet");
        let row = open.row.unwrap();
        assert_eq!((row.id, &row.record_id), (open.audit_row_id, &receipt.notification_id));
        assert_eq!((row.rpc.as_str(), row.user_id.as_str()), ("FileNotification", &*scene.doctor.user_id.to_string()));

        seal_all(&scene).await?;
        let sealed = place(&scene, &scene.doctor, &receipt, 1).await?;
        assert_eq!((sealed.place, sealed.audit_row_id), (2, open.audit_row_id));
        let computed = seal::seal(&sealed.seal_before, sealed.place, &row);
        assert_eq!(sealed.seal, computed, "row, place and the seal before give the seal");
        let checkpoint = sealed.checkpoint.unwrap();
        assert!(checkpoint.place >= sealed.place && !checkpoint.signature.is_empty());

        // What was sealed and signed afterwards leaves it where it is.
        scene.acknowledge(&scene.nurse, acknowledging(&receipt)).await?;
        scene.world.clock.advance(time::Duration::minutes(1));
        seal_all(&scene).await?;
        let later = place(&scene, &scene.doctor, &receipt, 1).await?;
        assert_eq!((later.place, later.checkpoint.map(|one| one.place)), (2, Some(checkpoint.place)));
        assert_eq!(scene.world.audited("GetReceiptPlace").await?.len(), 3);
        Ok(())
    }

    #[tokio::test]
    async fn each_version_has_its_own_place_and_a_repeated_request_is_no_filing() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let request = amending(&receipt, with_address());
        scene.amend_as(&scene.doctor, request.clone()).await?;
        scene.amend_as(&scene.doctor, request).await?;
        scene.amend(&receipt, with_address()).await?;
        seal_all(&scene).await?;
        let mut found = Vec::new();
        for version in [1, 2, 3] {
            let place = place(&scene, &scene.doctor, &receipt, version).await?;
            found.push((place.place, place.row.unwrap().rpc));
        }
        let told: Vec<(i64, &str)> = found.iter().map(|(place, rpc)| (*place, rpc.as_str())).collect();
        assert_eq!(told, [(1, "FileNotification"), (2, "AmendNotification"), (4, "AmendNotification")]);
        assert_eq!(place(&scene, &scene.doctor, &receipt, 0).await?.version, 3);
        Ok(())
    }

    #[tokio::test]
    async fn who_typed_it_in_is_named_to_their_own_organisation_only() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        seal_all(&scene).await?;
        let seen = place(&scene, &scene.nurse, &receipt, 1).await?;
        assert!(seen.row.is_none() && seen.place == 1 && seen.seal.len() == 32);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let nobody = Receipt { notification_id: request_id(), ..receipt.clone() };
        let stranger = scene.world.body(Kind::Clinic, PREFECTURE).await?.staff(Role::Physician);
        for (caller, receipt, version, code) in [
            (&scene.doctor, &nobody, 1, Code::NotFound),
            (&scene.doctor, &receipt, 2, Code::NotFound),
            (&scene.doctor, &receipt, -1, Code::InvalidArgument),
            (&stranger, &receipt, 1, Code::NotFound),
            (&scene.colleague, &receipt, 1, Code::NotFound),
        ] {
            assert_eq!(place(&scene, caller, receipt, version).await.refused().code(), code, "version {version}");
        }
        assert!(scene.world.audited("GetReceiptPlace").await?.is_empty());
        Ok(())
    }
}
