//! `RecordCareVisit`: the person was seen by a physician (受診) during care at home or in lodging.

use chassis::{Call, Error};
use japan::date;
use prost::Message as _;
use proto::{
    followup::{CareVisit, RecordCareVisitRequest, RecordCareVisitResponse},
    registry::Relation,
};
use sqlx::PgConnection;
use time::Date;

use super::{
    VISIT,
    model::{Visit, VisitId},
    store,
};
use crate::{
    case::{self, may_report},
    service::Followup,
};

pub(crate) async fn visit(
    followup: Followup,
    call: Call<RecordCareVisitRequest>,
) -> Result<RecordCareVisitResponse, Error> {
    let given = call.request.visit.clone().unwrap_or_default();
    let day = visit_date(&given.visit_date, call.today())?;
    let known = case::known(&followup, &call, &call.request.case_id).await?;
    known.must(|relation| {
        may_report(relation) || matches!(relation, Relation::TreatingInstitution | Relation::AttendingInstitution)
    })?;
    known.may_write(&call.request)?;

    let seen = known.seen();
    let again = async |_: &mut PgConnection, _: &RecordCareVisitResponse| Ok(seen.clone());
    call.create_knowing(&followup.base, RecordCareVisitResponse {}, &seen, again, async |conn| {
        let id = VisitId::new();
        let visit = CareVisit { visit_date: day.to_string(), ..given };
        let sealed = followup.base.vault.seal(VISIT, id.uuid().as_bytes(), &visit.encode_to_vec())?;
        Ok(store::insert_visit(conn, &Visit { id, case_id: known.id, at: call.now, sealed }).await?)
    })
    .await
}

fn visit_date(text: &str, today: Date) -> Result<Date, Error> {
    match date::parse(text) {
        Ok(day) if day > today => {
            Err(Error::invalid("visit.visit_date", "未来の日付です", "must not be in the future"))
        }
        Ok(day) => Ok(day),
        Err(why) => Err(Error::invalid("visit.visit_date", "日付が正しくありません（例: 2020-06-12）", why)),
    }
}

#[cfg(test)]
mod tests {
    use access::{Caller, CaseId};
    use proto::{
        followup::{CareVisit, RecordCareVisitRequest, RecordCareVisitResponse},
        identity::Role,
        options::Group,
        registry::Relation,
    };
    use testing::{Outcome, patient};
    use tonic::{Code, Status};

    use crate::{
        contact,
        fixture::{Scene, assert_refused, grant, request_id},
    };

    fn seen_on(case: CaseId, day: &str) -> RecordCareVisitRequest {
        let visit = CareVisit {
            visit_date: day.to_owned(),
            institution: "なにわ診療所".to_owned(),
            note: "処方のみ".to_owned(),
            ..CareVisit::default()
        };
        RecordCareVisitRequest { request_id: request_id(), case_id: case.to_string(), visit: Some(visit) }
    }

    async fn visit(
        scene: &Scene,
        who: &Caller,
        request: RecordCareVisitRequest,
    ) -> Result<RecordCareVisitResponse, Status> {
        scene.world.ask(&scene.followup, who, request, contact::visit).await
    }

    #[tokio::test]
    async fn a_visit_is_kept_once_however_often_it_is_sent() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let request = seen_on(case, "R2.5.31");
        visit(&scene, &patient(case), request.clone()).await?;
        visit(&scene, &patient(case), request.clone()).await?;
        let visits = scene.overview(&scene.nurse, case).await?.care_visits;
        let visits: Vec<_> =
            visits.iter().map(|visit| (visit.visit_date.as_str(), visit.institution.as_str())).collect();
        assert_eq!(visits, [("2020-05-31", "なにわ診療所")]);
        assert_eq!(scene.world.audited("RecordCareVisit").await?.len(), 2);

        let other = seen_on(case, "2020-05-30");
        let other = RecordCareVisitRequest { request_id: request.request_id.clone(), ..other };
        assert_refused(visit(&scene, &patient(case), other).await, Code::AlreadyExists, "request_id");

        let treated = seen_on(case, "2020-05-30");
        visit(&scene, &scene.nurse, treated.clone()).await?;
        scene.hand_over(case).await?;
        assert_refused(visit(&scene, &scene.nurse, treated).await, Code::NotFound, "");
        Ok(())
    }

    #[tokio::test]
    async fn whoever_treats_a_person_records_it_too() -> Outcome {
        let scene = Scene::new().await?;
        let mut known = scene.known();
        known.grants.push(grant(scene.clinic, Relation::TreatingInstitution));
        let case = scene.hear(&known).await?;
        visit(&scene, &scene.physician, seen_on(case, "2020-06-01")).await?;
        assert_eq!(scene.overview(&scene.nurse, case).await?.care_visits.len(), 1);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let good = || seen_on(case, "2020-05-31");
        let blind = scene.centre.narrowed(Role::Nurse, [Group::Followup]);
        for (who, request, code, field) in [
            (&scene.physician, good(), Code::PermissionDenied, "健康観察"),
            (&scene.centre.staff(Role::Analyst), good(), Code::PermissionDenied, ""),
            (&scene.stranger, good(), Code::NotFound, ""),
            (&scene.nurse, seen_on(CaseId::new(), "2020-05-31"), Code::NotFound, ""),
            (&scene.nurse, seen_on(case, "2020-06-02"), Code::InvalidArgument, "visit.visit_date"),
            (&scene.nurse, seen_on(case, "soon"), Code::InvalidArgument, "visit.visit_date"),
            (&scene.nurse, RecordCareVisitRequest { visit: None, ..good() }, Code::InvalidArgument, "visit"),
            (&blind, good(), Code::InvalidArgument, "visit.visit_date"),
        ] {
            assert_refused(visit(&scene, who, request).await, code, field);
        }
        assert!(scene.overview(&scene.nurse, case).await?.care_visits.is_empty());
        Ok(())
    }
}
