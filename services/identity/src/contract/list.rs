//! `ListContracts`: where the caller's organisation entrusts or is entrusted, newest first.

use chassis::{Call, Error, page};
use proto::identity::{ListContractsRequest, ListContractsResponse};
use uuid::Uuid;

use super::{model::ContractId, store};
use crate::service::Identity;

pub(crate) async fn list(identity: Identity, call: Call<ListContractsRequest>) -> Result<ListContractsResponse, Error> {
    let before = ContractId::optional(&call.request.page_token).map_err(|_| Error::page_token())?;
    let before = before.unwrap_or_else(|| ContractId::from(Uuid::max()));
    let size = page::size(call.request.page_size);

    let mut conn = identity.base.pool.acquire().await?;
    let rows = store::page(&mut conn, call.caller.organisation_id, before, size).await?;

    let next_page_token = page::next(&rows, size, |last| last.id.to_string());
    Ok(ListContractsResponse { contracts: rows.into_iter().map(|row| row.contract).collect(), next_page_token })
}

#[cfg(test)]
mod tests {
    use proto::identity::{
        Contract, ContractScope, CreateContractRequest, ListContractsRequest, OrganisationKind as Kind, Role,
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use crate::{
        contract,
        fixture::{PREFECTURE, Scene, request_id},
    };

    #[tokio::test]
    async fn both_sides_see_a_contract_and_nobody_else_does() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.centre.staff(Role::Administrator);
        let other = scene.organisation(Kind::Clinic, PREFECTURE, scene.centre).await?;
        let mut made = Vec::new();
        for contractor in [scene.hospital, scene.hospital, other] {
            let contract = Contract {
                contractor_ids: vec![contractor.id.to_string()],
                scopes: vec![ContractScope::Testing.into()],
                from_date: "2020-06-01".to_owned(),
                until_date: "2020-12-31".to_owned(),
                ..Contract::default()
            };
            let request = CreateContractRequest { request_id: request_id(), contract: Some(contract) };
            made.push(scene.world.ask(&scene.identity, &admin, request, contract::create).await?.contract_id);
        }
        made.reverse();
        for (body, seen) in [(scene.centre, &made[..]), (scene.hospital, &made[1..]), (scene.prefecture, &[])] {
            let (mut found, mut page_token) = (Vec::new(), String::new());
            loop {
                let request = ListContractsRequest { page_size: 1, page_token };
                let page =
                    scene.world.ask(&scene.identity, &body.staff(Role::Administrator), request, contract::list).await?;
                found.extend(page.contracts.into_iter().map(|contract| contract.contract_id));
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            assert_eq!(found, seen, "newest first");
        }
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let citizen = testing::patient(access::CaseId::new());
        for (caller, page_token, code) in
            [(scene.minister.clone(), "x", Code::InvalidArgument), (citizen, "", Code::PermissionDenied)]
        {
            let request = ListContractsRequest { page_token: page_token.to_owned(), ..Default::default() };
            let status = scene.world.ask(&scene.identity, &caller, request, contract::list).await.refused();
            assert_eq!(status.code(), code);
        }
        Ok(())
    }
}
