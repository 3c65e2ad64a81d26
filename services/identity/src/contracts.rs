//! Contracts (委託): a centre, a city or a prefecture entrusts others by name, between dates. Announced whole; what they allow
//! follows from them wherever it is asked, so it ends with them.

use access::{Caller, audit};
use chassis::{Error, once, page};
use data::outbox;
use japan::date;
use prost::Message as _;
use proto::identity::{
    Contract, ContractChanged, CreateContractRequest, EndContractRequest, ListContractsRequest, ListContractsResponse,
};
use runtime::problem::text;
use uuid::Uuid;

use crate::{
    domain,
    rpc::Identity,
    store::{self, contracts},
    users::{act, in_scope},
};

pub(crate) async fn create(
    identity: &Identity,
    caller: &Caller,
    request: CreateContractRequest,
) -> Result<Contract, Error> {
    let key = once::key(identity.vault(), caller, "CreateContract", &request.request_id, &request)?;
    let given = request.contract.unwrap_or_default();
    let mut tx = identity.base.pool.begin().await?;
    if let Some(answer) = once::claim(&mut tx, identity.vault(), &key).await? {
        return Ok(answer);
    }
    let principal = match given.principal_id.as_str() {
        "" => caller.organisation_id,
        id => Uuid::try_parse(id).map_err(|_| Error::NotFound("organisation"))?,
    };
    let body = in_scope(&mut tx, caller, principal).await?;
    if !domain::may_entrust(body.kind) {
        return Err(Error::invalid(
            "contract.principal_id",
            "委託できるのは都道府県、保健所設置市・特別区、保健所です",
            "is no prefecture, city or centre: those entrust",
        ));
    }
    if given.contractor_ids.is_empty() || given.scopes.is_empty() {
        let field = if given.scopes.is_empty() { "contract.scopes" } else { "contract.contractor_ids" };
        return Err(Error::invalid(field, "1件以上指定してください", "names at least one"));
    }
    let day = |field: &str, value: &str| {
        date::parse(value)
            .map_err(|why| Error::invalid(format!("contract.{field}"), "日付が正しくありません（例: 2020-05-13）", why))
    };
    let (from, until) = (day("from", &given.from)?, day("until", &given.until)?);
    if until < from {
        return Err(Error::invalid("contract.until", "開始日より前です", "lies before the first day"));
    }
    let mut parties = vec![principal];
    for (index, id) in given.contractor_ids.iter().enumerate() {
        let id = Uuid::try_parse(id).map_err(|_| Error::NotFound("organisation"))?;
        let contractor = store::find_body(&mut tx, id).await?;
        if !contractor.is_some_and(|body| domain::may_be_entrusted(body.kind)) {
            return Err(Error::invalid(
                format!("contract.contractor_ids[{index}]"),
                "委託先にできる機関ではありません",
                "is no institution, association or facility",
            ));
        }
        parties.push(id);
    }
    let id = Uuid::now_v7();
    let contract = Contract {
        contract_id: id.to_string(),
        principal_id: principal.to_string(),
        from: from.to_string(),
        until: until.to_string(),
        ended: false,
        ..given
    };
    contracts::insert(&mut tx, id, principal, &contract, &parties).await?;
    announce(&mut tx, &contract, 1).await?;
    audit::record(&mut tx, &act(caller, "CreateContract", key.request_id), &[id]).await?;
    once::answer(&mut tx, identity.vault(), &key, &contract).await?;
    tx.commit().await?;
    Ok(contract)
}

pub(crate) async fn end(identity: &Identity, caller: &Caller, request: EndContractRequest) -> Result<Contract, Error> {
    let key = once::key(identity.vault(), caller, "EndContract", &request.request_id, &request)?;
    let id = Uuid::try_parse(&request.contract_id).map_err(|_| Error::NotFound("contract"))?;
    let mut tx = identity.base.pool.begin().await?;
    let (version, principal, content) = contracts::lock(&mut tx, id).await?.ok_or(Error::NotFound("contract"))?;
    in_scope(&mut tx, caller, principal).await.map_err(|_| Error::NotFound("contract"))?;
    if let Some(answer) = once::claim(&mut tx, identity.vault(), &key).await? {
        return Ok(answer);
    }
    let held = decoded(&content)?;
    if held.ended {
        return Err(Error::Precondition(text("終了済みの委託です。", "This contract has ended already.")));
    }
    let contract = Contract { ended: true, ..held };
    contracts::update(&mut tx, id, version + 1, &contract).await?;
    announce(&mut tx, &contract, version + 1).await?;
    audit::record(&mut tx, &act(caller, "EndContract", key.request_id), &[id]).await?;
    once::answer(&mut tx, identity.vault(), &key, &contract).await?;
    tx.commit().await?;
    Ok(contract)
}

pub(crate) async fn list(
    identity: &Identity,
    caller: &Caller,
    request: &ListContractsRequest,
) -> Result<ListContractsResponse, Error> {
    let before = match request.page_token.as_str() {
        "" => Uuid::max(),
        token => Uuid::try_parse(token)
            .map_err(|_| Error::invalid("page_token", "不正なページトークンです", "is no page token"))?,
    };
    let size = page::size(request.page_size);
    let mut conn = identity.base.pool.acquire().await?;
    let rows = contracts::page(&mut conn, caller.organisation_id, before, size).await?;
    let next = rows.last().filter(|_| i64::try_from(rows.len()).is_ok_and(|n| n == size)).map(|(id, _)| *id);
    let contracts = rows.iter().map(|(_, content)| decoded(content)).collect::<Result<_, _>>()?;
    Ok(ListContractsResponse { contracts, next_page_token: next.map(|id| id.to_string()).unwrap_or_default() })
}

fn decoded(content: &[u8]) -> Result<Contract, Error> {
    Contract::decode(content).map_err(|error| Error::Internal(error.into()))
}

async fn announce(conn: &mut sqlx::PgConnection, contract: &Contract, version: i64) -> Result<(), Error> {
    let changed = ContractChanged { contract: Some(contract.clone()), version };
    outbox::add(conn, "contract.changed", &changed).await?;
    Ok(())
}
