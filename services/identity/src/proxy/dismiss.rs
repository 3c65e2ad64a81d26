//! `DismissProxy`: the proxy's access ends everywhere.

use chassis::{Call, Error, Held, Seen};
use proto::identity::{DismissProxyRequest, DismissProxyResponse};
use sqlx::PgConnection;

use super::{model::ProxyId, store};
use crate::{patient_access::case_of, service::Identity, session};

pub(crate) async fn dismiss(
    identity: Identity,
    call: Call<DismissProxyRequest>,
) -> Result<DismissProxyResponse, Error> {
    let request = &call.request;
    let (case_id, relations) = case_of(&identity, &call.caller, &request.case_id, call.now).await?;
    let proxy_id = ProxyId::parse(&request.proxy_id)?;

    let seen = Seen::by(&relations, [case_id.uuid(), proxy_id.uuid()]);
    let lock = async |_: &mut PgConnection| Ok(Held::new((), seen));
    call.change(&identity.base, lock, async |change| {
        if !store::dismiss(&mut change.tx, case_id, proxy_id, change.now).await? {
            return Err(Error::NotFound("proxy"));
        }
        session::end_all(&identity, &mut change.tx, proxy_id.into()).await?;
        Ok(DismissProxyResponse {})
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::{Caller, CaseId};
    use proto::{
        identity::{
            AccessRevoked, DismissProxyRequest, DismissProxyResponse, ListProxiesRequest, NameProxyRequest,
            NameProxyResponse, Role, access_revoked::Subject, name_proxy_request::Contact,
        },
        registry::Relation,
    };
    use testing::{Outcome, Refused as _};
    use tonic::{Code, Status};
    use uuid::Uuid;

    use crate::{fixture::request_id, patient_access::fixture::Cases, proxy};

    async fn named(cases: &Cases, case: CaseId) -> Result<NameProxyResponse, Status> {
        let request = NameProxyRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            birth_date: "1950-01-01".to_owned(),
            contact: Some(Contact::Mail("daughter@example.jp".to_owned())),
        };
        cases.scene.world.ask(&cases.scene.identity, &testing::patient(case), request, proxy::name).await
    }

    fn asked(case: CaseId, proxy_id: &str) -> DismissProxyRequest {
        DismissProxyRequest { request_id: request_id(), case_id: case.to_string(), proxy_id: proxy_id.to_owned() }
    }

    async fn dismiss(
        cases: &Cases,
        caller: &Caller,
        request: DismissProxyRequest,
    ) -> Result<DismissProxyResponse, Status> {
        cases.scene.world.ask(&cases.scene.identity, caller, request, proxy::dismiss).await
    }

    #[tokio::test]
    async fn a_proxy_is_out_everywhere_and_a_repeated_request_is_answered_alike() -> Outcome {
        let cases = Cases::new().await?;
        let nurse = cases.scene.centre.staff(Role::Nurse);
        let case = cases.patient_of(&[(cases.scene.centre, Relation::ResponsibleCentre)]);
        let proxy_id = named(&cases, case).await?.proxy_id;
        let request = asked(case, &proxy_id);
        dismiss(&cases, &nurse, request.clone()).await?;
        dismiss(&cases, &nurse, request.clone()).await?;
        assert_eq!(cases.scene.world.audited("DismissProxy").await?.len(), 4, "the case and the proxy, twice");
        let revoked: Vec<AccessRevoked> = cases.scene.world.announced().await?;
        assert_eq!(revoked.len(), 1);
        assert_eq!(revoked[0].subject, Some(Subject::UserId(proxy_id)));
        let list = ListProxiesRequest { case_id: case.to_string(), ..ListProxiesRequest::default() };
        let left = cases.scene.world.ask(&cases.scene.identity, &nurse, list, proxy::list).await?;
        assert!(left.proxies.is_empty());

        let reused = DismissProxyRequest { proxy_id: Uuid::now_v7().to_string(), ..request.clone() };
        assert_eq!(dismiss(&cases, &nurse, reused).await.refused().code(), Code::AlreadyExists);
        let another = dismiss(&cases, &cases.scene.centre.staff(Role::Nurse), request.clone()).await;
        assert_eq!(another.refused().code(), Code::NotFound, "another caller's request, too late");
        cases.relate(case, &[]);
        assert_eq!(dismiss(&cases, &nurse, request).await.refused().code(), Code::NotFound);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let cases = Cases::new().await?;
        let case = cases.patient_of(&[(cases.scene.centre, Relation::ResponsibleCentre)]);
        let other = cases.patient_of(&[(cases.scene.centre, Relation::ResponsibleCentre)]);
        let lodged = cases.patient_of(&[(cases.scene.hospital, Relation::LodgingFacility)]);
        let proxy_id = named(&cases, case).await?.proxy_id;
        let nurse = cases.scene.centre.staff(Role::Nurse);
        for (caller, request, code) in [
            (cases.scene.prefecture.staff(Role::Analyst), asked(case, &proxy_id), Code::PermissionDenied),
            (testing::proxy(case), asked(case, &proxy_id), Code::PermissionDenied),
            (cases.scene.hospital.staff(Role::Nurse), asked(case, &proxy_id), Code::NotFound),
            (cases.scene.hospital.staff(Role::Nurse), asked(lodged, &proxy_id), Code::PermissionDenied),
            (nurse.clone(), asked(CaseId::new(), &proxy_id), Code::NotFound),
            (nurse.clone(), asked(other, &proxy_id), Code::NotFound),
            (nurse, asked(case, &Uuid::now_v7().to_string()), Code::NotFound),
        ] {
            assert_eq!(dismiss(&cases, &caller, request).await.refused().code(), code);
        }
        Ok(())
    }
}
