//! `EndContract`: what the contract allowed ends everywhere.

use chassis::{Call, Error, Held, Seen};
use proto::identity::{Contract, EndContractRequest};
use runtime::problem::why;
use sqlx::PgConnection;

use super::{announce, model::ContractId, store};
use crate::{organisation, service::Identity};

pub(crate) async fn end(identity: Identity, call: Call<EndContractRequest>) -> Result<Contract, Error> {
    let id = ContractId::parse(&call.request.contract_id)?;

    let lock = async |conn: &mut PgConnection| {
        let principal = store::principal_of(conn, id).await?.ok_or(Error::NotFound("contract"))?;
        organisation::in_scope(conn, &call.caller, principal).await.map_err(|error| match error {
            Error::NotFound(_) => Error::NotFound("contract"),
            other => other,
        })?;
        let stored = store::lock(conn, id).await?.ok_or(Error::NotFound("contract"))?;
        let version = stored.version;
        Ok(Held::new(stored, Seen::records([id])).version(version))
    };
    call.change(&identity.base, lock, async |change| {
        let stored = &mut change.held;
        if stored.contract.ended {
            return Err(Error::Precondition(why(
                "CONTRACT_ENDED",
                "終了済みの委託です。",
                "This contract has ended already.",
            )));
        }
        stored.version += 1;
        stored.contract.ended = true;
        stored.contract.etag = stored.version.to_string();
        store::update(&mut change.tx, stored).await?;
        announce(&mut change.tx, &stored.contract, stored.version).await?;
        Ok(stored.contract.clone())
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::identity::{Contract, ContractChanged, ContractScope, CreateContractRequest, EndContractRequest, Role};
    use testing::{Outcome, Refused as _};
    use tonic::{Code, Status};
    use uuid::Uuid;

    use crate::{
        contract,
        fixture::{Scene, request_id},
    };

    async fn made(scene: &Scene) -> Result<Contract, Status> {
        let contract = Contract {
            contractor_ids: vec![scene.hospital.id.to_string()],
            scopes: vec![ContractScope::Testing.into()],
            from_date: "2020-06-01".to_owned(),
            until_date: "2020-12-31".to_owned(),
            ..Contract::default()
        };
        let request = CreateContractRequest { request_id: request_id(), contract: Some(contract) };
        let admin = scene.centre.staff(Role::Administrator);
        scene.world.ask(&scene.identity, &admin, request, contract::create).await
    }

    fn asked(contract: &Contract) -> EndContractRequest {
        EndContractRequest {
            request_id: request_id(),
            contract_id: contract.contract_id.clone(),
            etag: contract.etag.clone(),
        }
    }

    async fn end(scene: &Scene, caller: &Caller, request: EndContractRequest) -> Result<Contract, Status> {
        scene.world.ask(&scene.identity, caller, request, contract::end).await
    }

    #[tokio::test]
    async fn the_end_is_announced_and_a_repeated_request_hears_it_again() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.centre.staff(Role::Administrator);
        let request = asked(&made(&scene).await?);
        let ended = end(&scene, &admin, request.clone()).await?;
        assert_eq!((ended.ended, ended.etag.as_str()), (true, "2"));
        assert!(end(&scene, &admin, request.clone()).await? == ended);
        assert_eq!(scene.world.audited("EndContract").await?.len(), 2);
        let announced: Vec<ContractChanged> = scene.world.announced().await?;
        assert_eq!(announced.iter().map(|changed| changed.version).collect::<Vec<_>>(), [1, 2]);
        assert!(announced[1].contract.as_ref() == Some(&ended));

        let reused = EndContractRequest { etag: String::new(), ..request.clone() };
        assert_eq!(end(&scene, &admin, reused).await.refused().code(), Code::AlreadyExists);
        let another = end(
            &scene,
            &scene.centre.staff(Role::Administrator),
            EndContractRequest { etag: String::new(), ..request },
        )
        .await;
        assert_eq!(another.refused().code(), Code::FailedPrecondition, "another caller's request");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.centre.staff(Role::Administrator);
        let contract = made(&scene).await?;
        let elsewhere = scene.organisation(proto::identity::OrganisationKind::Prefecture, 13, scene.ministry).await?;
        let unknown = EndContractRequest { contract_id: Uuid::now_v7().to_string(), ..asked(&contract) };
        let stale = EndContractRequest { etag: "7".to_owned(), ..asked(&contract) };
        for (caller, request, code) in [
            (scene.hospital.staff(Role::Administrator), asked(&contract), Code::PermissionDenied),
            (elsewhere.staff(Role::Administrator), asked(&contract), Code::NotFound),
            (admin.clone(), unknown, Code::NotFound),
            (admin.clone(), stale, Code::Aborted),
        ] {
            assert_eq!(end(&scene, &caller, request).await.refused().code(), code);
        }
        let ended = end(&scene, &admin, asked(&contract)).await?;
        assert_eq!(end(&scene, &admin, asked(&ended)).await.refused().code(), Code::FailedPrecondition);
        Ok(())
    }
}
