//! `ConfirmProxy`: a proxy whom somebody proposed may sign in from now on.

use chassis::{Call, Error, Held, Seen};
use proto::identity::{ConfirmProxyRequest, ConfirmProxyResponse};
use runtime::problem::why;
use sqlx::PgConnection;

use super::{
    model::{self, ProxyId},
    store,
};
use crate::{patient_access::case_of, service::Identity};

pub(crate) async fn confirm(
    identity: Identity,
    call: Call<ConfirmProxyRequest>,
) -> Result<ConfirmProxyResponse, Error> {
    let request = &call.request;
    let (case_id, relations) = case_of(&identity, &call.caller, &request.case_id, call.now).await?;
    let proxy_id = ProxyId::parse(&request.proxy_id)?;
    model::may_hand_on(call.caller.hidden).map_err(Error::Denied)?;

    let may = model::shows_all_that_a_proxy_sees(&relations);
    let seen = Seen::by(&relations, [case_id.uuid(), proxy_id.uuid()]);
    let lock = async |_: &mut PgConnection| {
        let held = Held::new((), seen);
        Ok(if may { held } else { held.only_repeats(Error::Denied(not_theirs())) })
    };
    call.change(&identity.base, lock, async |change| {
        if !store::confirm(&mut change.tx, case_id, proxy_id, change.now).await? {
            return Err(Error::NotFound("proxy"));
        }
        Ok(ConfirmProxyResponse {})
    })
    .await
}

fn not_theirs() -> runtime::problem::Why {
    why(
        "RELATION_DOES_NOT_ALLOW",
        "代理人を承認できるのは、担当保健所又は本人に限ります。",
        "Only a centre that works on the case, or the patient, can confirm a proxy.",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use access::{Caller, CaseId};
    use proto::{
        identity::{
            ConfirmProxyRequest, ConfirmProxyResponse, ListProxiesRequest, NameProxyRequest, NameProxyResponse,
            ProxyState, Role, name_proxy_request::Contact,
        },
        registry::Relation,
    };
    use testing::{Outcome, Refused as _};
    use tokio::task::JoinSet;
    use tonic::{Code, Status};

    use crate::{fixture::request_id, patient_access::fixture::Cases, proxy};

    async fn name(cases: &Cases, caller: &Caller, case: CaseId) -> Result<NameProxyResponse, Status> {
        let request = NameProxyRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            birth_date: "1950-01-01".to_owned(),
            contact: Some(Contact::Mail("daughter@example.jp".to_owned())),
        };
        cases.scene.world.ask(&cases.scene.identity, caller, request, proxy::name).await
    }

    async fn confirm(
        cases: &Cases,
        caller: &Caller,
        case: CaseId,
        proxy_id: &str,
    ) -> Result<ConfirmProxyResponse, Status> {
        let request =
            ConfirmProxyRequest { request_id: request_id(), case_id: case.to_string(), proxy_id: proxy_id.to_owned() };
        cases.scene.world.ask(&cases.scene.identity, caller, request, proxy::confirm).await
    }

    async fn states(cases: &Cases, caller: &Caller, case: CaseId) -> Result<Vec<ProxyState>, Status> {
        let request = ListProxiesRequest { case_id: case.to_string(), ..ListProxiesRequest::default() };
        let page = cases.scene.world.ask(&cases.scene.identity, caller, request, proxy::list).await?;
        Ok(page.proxies.iter().map(proto::identity::Proxy::state).collect())
    }

    #[tokio::test]
    async fn whoever_sees_less_than_a_proxy_proposes_one_and_a_centre_confirms_it() -> Outcome {
        let cases = Cases::new().await?;
        let (clinic, centre) = (cases.scene.hospital.staff(Role::Physician), cases.scene.centre.staff(Role::Nurse));
        let grants = [(cases.scene.hospital, Relation::Reporter), (cases.scene.centre, Relation::ResponsibleCentre)];
        let case = cases.patient(&grants).await?;
        let proposed = name(&cases, &clinic, case).await?;
        assert_eq!(proposed.state(), ProxyState::Proposed);
        assert_eq!(states(&cases, &centre, case).await?, [ProxyState::Proposed]);
        assert!(!cases.signs_in(&proposed.access_id).await?, "nobody signs in by a proposal");

        let own = confirm(&cases, &clinic, case, &proposed.proxy_id).await;
        assert_eq!(own.refused().code(), Code::PermissionDenied, "nobody confirms the own proposal");
        confirm(&cases, &centre, case, &proposed.proxy_id).await?;
        assert_eq!(states(&cases, &centre, case).await?, [ProxyState::InForce]);
        assert!(cases.signs_in(&proposed.access_id).await?);
        assert_eq!(name(&cases, &centre, case).await?.state(), ProxyState::InForce);

        let nobody = confirm(&cases, &centre, case, &request_id()).await;
        assert_eq!(nobody.refused().code(), Code::NotFound);
        let stranger = cases.scene.prefecture.staff(Role::Coordinator);
        assert!(confirm(&cases, &stranger, case, &proposed.proxy_id).await.is_err());
        Ok(())
    }

    #[tokio::test]
    async fn ten_are_the_most_however_many_are_named_at_once() -> Outcome {
        let cases = Cases::new().await?;
        let nurse = cases.scene.centre.staff(Role::Nurse);
        let case = cases.patient(&[(cases.scene.centre, Relation::ResponsibleCentre)]).await?;
        let cases = Arc::new(cases);
        let mut asked = JoinSet::new();
        for _ in 0..16 {
            let (cases, nurse) = (Arc::clone(&cases), nurse.clone());
            asked.spawn(async move { name(&cases, &nurse, case).await.is_ok() });
        }
        assert_eq!(asked.join_all().await.iter().filter(|named| **named).count(), 10);
        assert_eq!(states(&cases, &nurse, case).await?.len(), 10);
        Ok(())
    }
}
