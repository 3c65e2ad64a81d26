//! `GetFollowup`: the plan of a case with its latest reports, alerts, attempts and visits, as the caller may see them.

use access::{CaseId, classes};
use chassis::{Call, Error};
use proto::followup::{Followup as View, GetFollowupRequest};
use sqlx::PgConnection;

use crate::{alert, case, contact, plan, report, service::Followup};

/// How many of each are shown.
const LATEST: i64 = 100;

pub(crate) async fn get(followup: Followup, call: Call<GetFollowupRequest>) -> Result<View, Error> {
    let known = case::known(&followup, &call, &call.request.case_id).await?;

    let mut tx = followup.base.pool.begin().await?;
    let view = view(&followup, &mut tx, known.id).await?;
    call.record(&mut tx, &known.seen()).await?;
    tx.commit().await?;
    classes::mask(&view, &known.relations).map_err(Error::Internal)
}

async fn view(followup: &Followup, conn: &mut PgConnection, case: CaseId) -> Result<View, Error> {
    let vault = &followup.base.vault;
    let plan = plan::find(conn, &[case]).await?.pop();
    let reports = report::latest(conn, case, LATEST).await?;
    let alerts = alert::latest(conn, case, LATEST).await?;
    let attempts = contact::attempts(conn, case, LATEST).await?;
    let visits = contact::visits(conn, case, LATEST).await?;
    Ok(View {
        plan: plan.as_ref().map(plan::shown),
        reports: reports.iter().map(|report| report::shown(vault, report)).collect::<Result<_, _>>()?,
        alerts: alerts.iter().map(alert::shown).collect(),
        attempts: attempts.iter().map(|attempt| contact::shown_attempt(vault, attempt)).collect::<Result<_, _>>()?,
        care_visits: visits.iter().map(|visit| contact::shown_visit(vault, visit)).collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::{
        followup::HealthReport,
        identity::{OrganisationKind as Kind, Role},
        options::Group,
        registry::Relation,
    };
    use testing::{Outcome, patient};
    use tonic::Code;

    use crate::fixture::{PREFECTURE, Scene, assert_refused, grant, purple_lips, reporting};

    #[tokio::test]
    async fn everybody_sees_what_the_own_relation_shows() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let report = HealthReport { message: "不安です".to_owned(), ..purple_lips() };
        scene.submit(&patient(case), reporting(case, report)).await?;
        let whole = scene.overview(&scene.nurse, case).await?;
        assert_eq!(whole.reports[0].report.as_ref().map(|report| report.message.as_str()), Some("不安です"));

        // Who reported the case follows its course in codes; what the person wrote is not for it.
        let coded = scene.overview(&scene.physician, case).await?;
        let answers = coded.reports[0].report.clone().unwrap_or_default();
        assert_eq!((answers.message.as_str(), answers.temperature_decicelsius), ("", Some(364)));
        assert!(coded.plan == whole.plan && coded.alerts == whole.alerts);

        let own = scene.overview(&patient(case), case).await?;
        assert!(own == whole);
        let rows = scene.world.audited("GetFollowup").await?;
        assert_eq!(rows.iter().map(|row| row.record).collect::<Vec<_>>(), [case.uuid(); 3]);
        assert!(rows.iter().all(|row| row.groups == [Group::Followup as i16]));
        Ok(())
    }

    #[tokio::test]
    async fn what_is_hidden_from_an_id_is_not_shown_and_not_on_record() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let blind = scene.centre.narrowed(Role::Nurse, [Group::Followup]);
        let plan = scene.overview(&blind, case).await?.plan.unwrap_or_default();
        assert_eq!((plan.state, plan.next_due_time, plan.case_id), (0, None, case.to_string()));
        assert_eq!(scene.world.audited("GetFollowup").await?[0].groups, [] as [i16; 0]);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let consultation = scene.world.body(Kind::HealthCentre, PREFECTURE).await?;
        let mut known = scene.known();
        known.grants.push(grant(consultation, Relation::ConsultationCentre));
        let case = scene.hear(&known).await?;
        for (who, case, code) in [
            (&scene.centre.staff(Role::Analyst), case, Code::PermissionDenied),
            (&scene.stranger, case, Code::NotFound),
            (&patient(CaseId::new()), case, Code::NotFound),
            (&scene.nurse, CaseId::new(), Code::NotFound),
            // A relation that shows nothing of the follow-up.
            (&consultation.staff(Role::Nurse), case, Code::NotFound),
        ] {
            assert_refused(scene.overview(who, case).await, code, "");
        }
        assert!(scene.world.audited("GetFollowup").await?.is_empty());
        Ok(())
    }
}
