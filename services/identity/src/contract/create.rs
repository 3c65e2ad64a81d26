//! `CreateContract`: an organisation of the caller's scope entrusts others.

use access::OrganisationId;
use chassis::{Call, Error, Seen};
use japan::date;
use proto::identity::{Contract, CreateContractRequest};
use sqlx::PgConnection;
use time::Date;

use super::{
    announce,
    model::{self, ContractId, fault},
    store,
};
use crate::{organisation, service::Identity};

pub(crate) async fn create(identity: Identity, call: Call<CreateContractRequest>) -> Result<Contract, Error> {
    let caller = &call.caller;
    let given = call.request.contract.clone().unwrap_or_default();
    let principal = OrganisationId::optional(&given.principal_id)?.unwrap_or(caller.organisation_id);
    let mut conn = identity.base.pool.acquire().await?;
    let body = organisation::in_scope(&mut conn, caller, principal).await?;
    if !model::may_entrust(body.kind) {
        return Err(Error::Invalid(fault(
            "principal_id",
            "委託できるのは都道府県、保健所設置市・特別区、保健所です",
            "must be a prefecture, a city or a health centre",
        )));
    }
    let contract = model::new(principal, &given).map_err(Error::Invalid)?;
    let contractors = contractors(&mut conn, &contract.contractor_ids).await?;
    drop(conn);
    let begins = date::parse(&contract.from_date).unwrap_or_else(|_| call.today()).max(call.today());

    let id = ContractId::parse(&contract.contract_id)?;
    let again = async |conn: &mut PgConnection, made: &Contract| {
        let id = ContractId::parse(&made.contract_id)?;
        let principal = store::principal_of(conn, id).await?.ok_or(Error::NotFound("contract"))?;
        organisation::in_scope(conn, caller, principal).await?;
        Ok(Seen::records([id]))
    };
    call.create(&identity.base, again, async |conn| {
        must_all_be_open(conn, principal, &contractors, begins).await?;
        store::insert(conn, id, principal, &contract, &contractors).await?;
        announce(conn, &contract, 1).await?;
        Ok((contract.clone(), Seen::records([id])))
    })
    .await
}

/// Those who are to be entrusted, each of a kind that may be.
async fn contractors(conn: &mut PgConnection, ids: &[String]) -> Result<Vec<OrganisationId>, Error> {
    let mut contractors = Vec::with_capacity(ids.len());
    for (index, id) in ids.iter().enumerate() {
        let id = OrganisationId::parse(id)?;
        let body = organisation::find_body(conn, id).await?;
        if !body.is_some_and(|body| model::may_be_entrusted(body.kind)) {
            return Err(Error::Invalid(fault(
                &format!("contractor_ids[{index}]"),
                "委託先にできる機関ではありません",
                "must be an institution, an association, a facility or a consultation centre",
            )));
        }
        contractors.push(id);
    }
    Ok(contractors)
}

/// Who entrusts and who is entrusted must be there when the contract begins: a contract with a closed house moves nothing.
async fn must_all_be_open(
    conn: &mut PgConnection,
    principal: OrganisationId,
    contractors: &[OrganisationId],
    begins: Date,
) -> Result<(), Error> {
    let ids: Vec<OrganisationId> = contractors.iter().copied().chain([principal]).collect();
    let standings = organisation::standings(conn, &ids).await?;
    let is_open = |id: &OrganisationId| standings.get(id).is_some_and(|standing| standing.is_open(begins));
    let closed = |field: &str| {
        let (ja, en) = ("その日に利用している機関ではありません", "must be an organisation that is open on that day");
        Err(Error::Invalid(fault(field, ja, en)))
    };
    if !is_open(&principal) {
        return closed("principal_id");
    }
    match contractors.iter().position(|id| !is_open(id)) {
        Some(index) => closed(&format!("contractor_ids[{index}]")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::identity::{
        Contract, ContractChanged, ContractScope, CreateContractRequest, OrganisationKind as Kind, Role,
    };
    use testing::{Body, Outcome, Refused as _};
    use tonic::{Code, Status};
    use uuid::Uuid;

    use crate::{
        contract,
        fixture::{Scene, request_id},
    };

    fn with(contractor: Body) -> Contract {
        Contract {
            contractor_ids: vec![contractor.id.to_string()],
            scopes: vec![ContractScope::Followup.into()],
            from_date: "令和2年6月1日".to_owned(),
            until_date: "2020-12-31".to_owned(),
            ..Contract::default()
        }
    }

    async fn create(scene: &Scene, caller: &Caller, request: CreateContractRequest) -> Result<Contract, Status> {
        scene.world.ask(&scene.identity, caller, request, contract::create).await
    }

    fn asked(contract: Contract) -> CreateContractRequest {
        CreateContractRequest { request_id: request_id(), contract: Some(contract) }
    }

    #[tokio::test]
    async fn a_contract_is_announced_whole_with_its_days_as_they_are_kept() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.centre.staff(Role::Administrator);
        let made = create(&scene, &admin, asked(with(scene.hospital))).await?;
        assert_eq!(
            (made.from_date.as_str(), made.until_date.as_str(), made.etag.as_str()),
            ("2020-06-01", "2020-12-31", "1")
        );
        assert_eq!(made.principal_id, scene.centre.id.to_string());
        let announced: Vec<ContractChanged> = scene.world.announced().await?;
        assert_eq!((announced.len(), announced[0].version), (1, 1));
        assert!(announced[0].contract.as_ref() == Some(&made));
        assert_eq!(scene.world.audited("CreateContract").await?[0].record.to_string(), made.contract_id);

        let named = Contract { principal_id: scene.centre.id.to_string(), ..with(scene.hospital) };
        let above = create(&scene, &scene.prefecture.staff(Role::Administrator), asked(named)).await?;
        assert_eq!(above.principal_id, scene.centre.id.to_string(), "whoever supervises entrusts for it");
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_request_makes_nothing_new_and_is_audited() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.centre.staff(Role::Administrator);
        let request = asked(Contract { principal_id: scene.centre.id.to_string(), ..with(scene.hospital) });
        let first = create(&scene, &admin, request.clone()).await?;
        assert!(create(&scene, &admin, request.clone()).await? == first);
        assert_eq!(scene.world.audited("CreateContract").await?.len(), 2);
        assert_eq!(scene.world.announced::<ContractChanged>().await?.len(), 1);

        let longer = Contract { until_date: "2021-03-31".to_owned(), ..with(scene.hospital) };
        let reused = CreateContractRequest { contract: Some(longer), ..request.clone() };
        assert_eq!(create(&scene, &admin, reused).await.refused().code(), Code::AlreadyExists);
        let another = create(&scene, &scene.centre.staff(Role::Administrator), request.clone()).await?;
        assert_ne!(another.contract_id, first.contract_id);

        let tokyo = scene.organisation(Kind::Prefecture, 13, scene.ministry).await?;
        let moved = Caller { user_id: admin.user_id, ..tokyo.staff(Role::Administrator) };
        assert_eq!(create(&scene, &moved, request).await.refused().code(), Code::NotFound);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.centre.staff(Role::Administrator);
        let above = scene.prefecture.staff(Role::Administrator);
        let good = || with(scene.hospital);
        let of = |principal: Body| Contract { principal_id: principal.id.to_string(), ..good() };
        let unknown = Contract { contractor_ids: vec![Uuid::now_v7().to_string()], ..good() };
        for (caller, contract, code, field) in [
            (scene.hospital.staff(Role::Administrator), good(), Code::PermissionDenied, ""),
            (admin.clone(), of(scene.prefecture), Code::NotFound, ""),
            (admin.clone(), Contract { principal_id: "x".to_owned(), ..good() }, Code::NotFound, ""),
            (above, of(scene.hospital), Code::InvalidArgument, "contract.principal_id"),
            (admin.clone(), Contract { scopes: Vec::new(), ..good() }, Code::InvalidArgument, "contract.scopes"),
            (
                admin.clone(),
                Contract { contractor_ids: Vec::new(), ..good() },
                Code::InvalidArgument,
                "contract.contractor_ids",
            ),
            (
                admin.clone(),
                Contract { from_date: "soon".to_owned(), ..good() },
                Code::InvalidArgument,
                "contract.from_date",
            ),
            (
                admin.clone(),
                Contract { until_date: "2020-13-01".to_owned(), ..good() },
                Code::InvalidArgument,
                "contract.until_date",
            ),
            (
                admin.clone(),
                Contract { until_date: "2020-05-31".to_owned(), ..good() },
                Code::InvalidArgument,
                "contract.until_date",
            ),
            (admin.clone(), with(scene.prefecture), Code::InvalidArgument, "contract.contractor_ids[0]"),
            (admin.clone(), unknown, Code::InvalidArgument, "contract.contractor_ids[0]"),
        ] {
            let status = create(&scene, &caller, asked(contract)).await.refused();
            assert_eq!(status.code(), code, "{field}: {status}");
            assert!(status.message().starts_with(field), "{field}: {status}");
        }
        Ok(())
    }
}
