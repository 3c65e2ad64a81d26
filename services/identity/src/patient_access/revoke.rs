//! `RevokePatientAccess`: bars the access ID and ends its sessions, until a new ID is issued.

use access::UserId;
use chassis::{Call, Error, Held, Seen};
use proto::identity::{RevokePatientAccessRequest, RevokePatientAccessResponse};
use sqlx::PgConnection;

use super::{case_of, store};
use crate::{proxy, service::Identity, session};

pub(crate) async fn revoke(
    identity: Identity,
    call: Call<RevokePatientAccessRequest>,
) -> Result<RevokePatientAccessResponse, Error> {
    let (case_id, relations) = case_of(&identity, &call.caller, &call.request.case_id, call.now).await?;

    let lock = async |_: &mut PgConnection| Ok(Held::new((), Seen::by(&relations, [case_id])));
    call.change(&identity.base, lock, async |change| {
        if !store::revoke(&mut change.tx, case_id, change.now).await? {
            return Err(Error::Unavailable);
        }
        session::end_all(&identity, &mut change.tx, UserId::from(case_id.uuid())).await?;
        // Whoever had the ID may have named somebody in the patient's place; the others go unless they are to stay.
        let all = !call.request.keep_proxies;
        for proxy in proxy::dismiss_with_the_patient(&mut change.tx, case_id, all, change.now).await? {
            session::end_all(&identity, &mut change.tx, proxy.into()).await?;
        }
        Ok(RevokePatientAccessResponse {})
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::{Caller, CaseId};
    use proto::{
        identity::{
            AccessRevoked, NameProxyRequest, NameProxyResponse, RevokePatientAccessRequest,
            RevokePatientAccessResponse, Role, access_revoked::Subject, name_proxy_request::Contact,
        },
        registry::Relation,
    };
    use testing::{Outcome, Refused as _};
    use tonic::{Code, Status};

    use crate::{
        fixture::request_id,
        patient_access::{self, fixture::Cases},
        proxy,
    };

    async fn revoke(
        cases: &Cases,
        caller: &Caller,
        request: RevokePatientAccessRequest,
    ) -> Result<RevokePatientAccessResponse, Status> {
        cases.scene.world.ask(&cases.scene.identity, caller, request, patient_access::revoke).await
    }

    fn asked(case: CaseId) -> RevokePatientAccessRequest {
        RevokePatientAccessRequest { request_id: request_id(), case_id: case.to_string(), keep_proxies: true }
    }

    async fn name(cases: &Cases, caller: &Caller, case: CaseId) -> Result<NameProxyResponse, Status> {
        let request = NameProxyRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            birth_date: "1950-01-01".to_owned(),
            contact: Some(Contact::Mail("daughter@example.jp".to_owned())),
        };
        cases.scene.world.ask(&cases.scene.identity, caller, request, proxy::name).await
    }

    #[tokio::test]
    async fn the_patient_and_whom_the_patient_named_are_out_and_others_stay() -> Outcome {
        let cases = Cases::new().await?;
        let nurse = cases.scene.centre.staff(Role::Nurse);
        let case = cases.patient(&[(cases.scene.centre, Relation::ResponsibleCentre)]).await?;
        let by_patient = name(&cases, &testing::patient(case), case).await?;
        name(&cases, &nurse, case).await?;
        let request = asked(case);
        revoke(&cases, &nurse, request.clone()).await?;
        let revoked: Vec<AccessRevoked> = cases.scene.world.announced().await?;
        let subjects: Vec<_> = revoked.into_iter().filter_map(|revoked| revoked.subject).collect();
        assert_eq!(subjects, [Subject::UserId(case.to_string()), Subject::UserId(by_patient.proxy_id)]);

        revoke(&cases, &nurse, request.clone()).await?;
        assert_eq!(cases.scene.world.audited("RevokePatientAccess").await?.len(), 2, "a repeated request");
        assert_eq!(cases.scene.world.announced::<AccessRevoked>().await?.len(), 2);
        let other = cases.patient_of(&[(cases.scene.centre, Relation::ResponsibleCentre)]);
        let reused = RevokePatientAccessRequest { case_id: other.to_string(), ..request.clone() };
        assert_eq!(revoke(&cases, &nurse, reused).await.refused().code(), Code::AlreadyExists);
        cases.relate(case, &[]);
        assert_eq!(revoke(&cases, &nurse, request).await.refused().code(), Code::NotFound);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let cases = Cases::new().await?;
        let centre = cases.scene.centre;
        let case = cases.patient(&[(centre, Relation::ResponsibleCentre)]).await?;
        let lodged = cases.patient_of(&[(cases.scene.hospital, Relation::LodgingFacility)]);
        let on_the_way = cases.patient_of(&[(centre, Relation::ResponsibleCentre)]);
        for (caller, case, code) in [
            (cases.scene.prefecture.staff(Role::Analyst), case, Code::PermissionDenied),
            (cases.scene.hospital.staff(Role::Nurse), case, Code::NotFound),
            (centre.staff(Role::Nurse), CaseId::new(), Code::NotFound),
            (cases.scene.hospital.staff(Role::Nurse), lodged, Code::PermissionDenied),
            (centre.staff(Role::Nurse), on_the_way, Code::Unavailable),
        ] {
            assert_eq!(revoke(&cases, &caller, asked(case)).await.refused().code(), code);
        }
        Ok(())
    }
}
