//! `ListEmergencyOpenings`: who opened a case in an emergency, when and why; newest first.

use access::{CaseId, Relations, classes};
use chassis::{Call, Error, Seen, page};
use proto::registry::{EmergencyOpening, ListEmergencyOpeningsRequest, ListEmergencyOpeningsResponse};
use runtime::clock::to_proto;
use vault::Vault;

use super::store::{self, Opening, REASON};
use crate::{case, service::Registry};

pub(crate) async fn list(
    registry: Registry,
    call: Call<ListEmergencyOpeningsRequest>,
) -> Result<ListEmergencyOpeningsResponse, Error> {
    let request = &call.request;
    let id = CaseId::parse(&request.case_id)?;
    let after = page::After::parse(&request.page_token)?;
    let size = page::size(request.page_size);

    let mut tx = registry.base.pool.begin().await?;
    let case = case::find(&mut tx, id).await?;
    let relations = case::relations(&registry, &mut tx, &case, &call.caller, registry.base.clock.now()).await?;
    let rows = store::of_case(&mut tx, id, after, size).await?;
    call.record(&mut tx, &Seen::by(&relations, [id])).await?;
    tx.commit().await?;

    let shown = |row| shown(&registry.base.vault, row, &relations);
    let openings = rows.iter().map(shown).collect::<Result<_, Error>>()?;
    let next_page_token = page::next(&rows, size, |row| page::After::row(row.at, row.id).token());
    Ok(ListEmergencyOpeningsResponse { openings, next_page_token })
}

fn shown(vault: &Vault, row: &Opening, relations: &Relations) -> Result<EmergencyOpening, Error> {
    let reason = vault.open(REASON, row.id.uuid().as_bytes(), &row.reason)?;
    let opening = EmergencyOpening {
        user_id: row.user_id.to_string(),
        organisation_id: row.organisation_id.to_string(),
        open_time: Some(to_proto(row.at)),
        expire_time: Some(to_proto(row.until)),
        reason: String::from_utf8_lossy(&reason).into_owned(),
    };
    classes::mask(&opening, relations).map_err(Error::Internal)
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::{
        identity::Role,
        registry::{ListEmergencyOpeningsRequest, OpenInEmergencyRequest, open_in_emergency_request::Case as Named},
    };
    use testing::{Outcome, Refused as _, patient};
    use time::Duration;
    use tonic::Code;

    use super::list;
    use crate::{
        emergency::open,
        fixture::{Scene, request_id},
    };

    fn of(case: CaseId) -> ListEmergencyOpeningsRequest {
        ListEmergencyOpeningsRequest { case_id: case.to_string(), ..ListEmergencyOpeningsRequest::default() }
    }

    #[tokio::test]
    async fn the_centre_reads_who_opened_when_and_why_page_by_page() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let doctor = scene.hospital.staff(Role::Physician);
        for number in 1..=3 {
            let request = OpenInEmergencyRequest {
                request_id: request_id(),
                case: Some(Named::CaseId(id.to_string())),
                reason: format!("意識不明で救急搬送された {number}"),
            };
            scene.ask(&doctor, request, open).await?;
            scene.world.clock.advance(Duration::hours(1));
        }
        let first = scene.ask(&scene.nurse, ListEmergencyOpeningsRequest { page_size: 2, ..of(id) }, list).await?;
        let rest = ListEmergencyOpeningsRequest { page_token: first.next_page_token, ..of(id) };
        let rest = scene.ask(&scene.nurse, rest, list).await?;
        assert!(rest.next_page_token.is_empty());
        let all: Vec<_> = first.openings.iter().chain(&rest.openings).collect();
        let numbers: Vec<_> = all.iter().map(|opening| opening.reason.chars().last().unwrap()).collect();
        assert_eq!(numbers, ['3', '2', '1']);
        assert_eq!(all[0].user_id, doctor.user_id.to_string());
        let (from, until) = (all[0].open_time.unwrap(), all[0].expire_time.unwrap());
        assert_eq!(until.seconds - from.seconds, 3 * 60 * 60);
        assert_eq!(scene.world.audited("ListEmergencyOpenings").await?.len(), 2);
        Ok(())
    }

    #[tokio::test]
    async fn a_patient_does_not_read_who_opened_the_case() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let request = OpenInEmergencyRequest {
            request_id: request_id(),
            case: Some(Named::CaseId(id.to_string())),
            reason: "意識不明で救急搬送されたため".to_owned(),
        };
        scene.ask(&scene.hospital.staff(Role::Physician), request, open).await?;
        let seen = scene.ask(&patient(id), of(id), list).await?;
        assert!(seen.openings.iter().all(|opening| opening.user_id.is_empty() && opening.reason.is_empty()));
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let token = ListEmergencyOpeningsRequest { page_token: "x".to_owned(), ..of(id) };
        for (caller, refused, code, field) in [
            (&scene.nurse, token, Code::InvalidArgument, "page_token"),
            (&scene.nurse, of(CaseId::new()), Code::NotFound, ""),
            (&scene.tokyo_nurse, of(id), Code::NotFound, ""),
            (&scene.osaka.staff(Role::Administrator), of(id), Code::PermissionDenied, ""),
        ] {
            let status = scene.ask(caller, refused, list).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (code, true), "{field}");
        }
        Ok(())
    }
}
