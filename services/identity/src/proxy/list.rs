//! `ListProxies`: the proxies of a case that are not dismissed, in the order they were named.

use chassis::{
    Call, Error, Seen,
    page::{self, After},
};
use proto::identity::{ListProxiesRequest, ListProxiesResponse, Proxy};
use runtime::clock::to_proto;
use uuid::Uuid;

use super::{model, store};
use crate::{patient_access::case_of, service::Identity};

/// Before the first one.
const START: After = After { micros: 0, id: Uuid::nil() };

pub(crate) async fn list(identity: Identity, call: Call<ListProxiesRequest>) -> Result<ListProxiesResponse, Error> {
    let request = &call.request;
    let after = if request.page_token.is_empty() { START } else { After::parse(&request.page_token)? };
    let size = page::size(request.page_size);
    let (case_id, relations) = case_of(&identity, &call.caller, &request.case_id, call.now).await?;

    let mut tx = identity.base.pool.begin().await?;
    let rows = store::page(&mut tx, case_id, after, size).await?;
    call.record(&mut tx, &Seen::by(&relations, [case_id])).await?;
    tx.commit().await?;

    let shown = |row: &store::Row| Proxy {
        proxy_id: row.proxy_id.to_string(),
        create_time: Some(to_proto(row.named_at)),
        state: model::state(row.in_force).into(),
    };
    Ok(ListProxiesResponse {
        proxies: rows.iter().map(shown).collect(),
        next_page_token: page::next(&rows, size, |last| After::row(last.named_at, last.proxy_id).token()),
    })
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::{
        identity::{ListProxiesRequest, NameProxyRequest, Role, name_proxy_request::Contact},
        registry::Relation,
    };
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use crate::{fixture::request_id, patient_access::fixture::Cases, proxy};

    #[tokio::test]
    async fn pages_follow_each_other_in_the_order_they_were_named() -> Outcome {
        let cases = Cases::new().await?;
        let (world, identity) = (&cases.scene.world, &cases.scene.identity);
        let case = cases.patient_of(&[(cases.scene.centre, Relation::ResponsibleCentre)]);
        let nurse = cases.scene.centre.staff(Role::Nurse);
        let mut named = Vec::new();
        for _ in 0..3 {
            world.clock.advance(Duration::minutes(1));
            let request = NameProxyRequest {
                request_id: request_id(),
                case_id: case.to_string(),
                birth_date: "1950-01-01".to_owned(),
                contact: Some(Contact::Mail("daughter@example.jp".to_owned())),
            };
            named.push(world.ask(identity, &nurse, request, proxy::name).await?.proxy_id);
        }
        let request = ListProxiesRequest { case_id: case.to_string(), page_size: 2, page_token: String::new() };
        let first = world.ask(identity, &nurse, request.clone(), proxy::list).await?;
        let request = ListProxiesRequest { page_token: first.next_page_token, ..request };
        let second = world.ask(identity, &testing::patient(case), request, proxy::list).await?;
        assert!(second.next_page_token.is_empty());
        let listed: Vec<String> = first.proxies.into_iter().chain(second.proxies).map(|proxy| proxy.proxy_id).collect();
        assert_eq!(listed, named);
        assert_eq!(world.audited("ListProxies").await?.len(), 2);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let cases = Cases::new().await?;
        let case = cases.patient_of(&[(cases.scene.centre, Relation::ResponsibleCentre)]);
        let lodged = cases.patient_of(&[(cases.scene.hospital, Relation::LodgingFacility)]);
        for (caller, case, page_token, code) in [
            (cases.scene.prefecture.staff(Role::Analyst), case, "", Code::PermissionDenied),
            (cases.scene.hospital.staff(Role::Nurse), case, "", Code::NotFound),
            (cases.scene.centre.staff(Role::Nurse), CaseId::new(), "", Code::NotFound),
            (cases.scene.hospital.staff(Role::Nurse), lodged, "", Code::PermissionDenied),
            (cases.scene.centre.staff(Role::Nurse), case, "x", Code::InvalidArgument),
        ] {
            let request =
                ListProxiesRequest { case_id: case.to_string(), page_size: 0, page_token: page_token.to_owned() };
            let (world, identity) = (&cases.scene.world, &cases.scene.identity);
            assert_eq!(world.ask(identity, &caller, request, proxy::list).await.refused().code(), code);
        }
        Ok(())
    }
}
