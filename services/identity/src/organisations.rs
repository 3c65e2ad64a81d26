//! Organisations: created inside the creator's scope, announced whole.

use access::{
    Caller,
    audit::{self, Act, Actor},
};
use chassis::{Error, once};
use data::outbox;
use prost::Message as _;
use proto::identity::{
    CreateOrganisationRequest, ListOrganisationsRequest, ListOrganisationsResponse, Organisation, OrganisationChanged,
    OrganisationKind,
};
use runtime::problem::text;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{self, Body},
    rpc::Identity,
    store,
};

pub(crate) async fn create(
    identity: &Identity,
    caller: &Caller,
    request: CreateOrganisationRequest,
) -> Result<Organisation, Error> {
    let key = once::key(identity.vault(), caller, "CreateOrganisation", &request.request_id, &request)?;
    let mut tx = identity.base.pool.begin().await?;
    if let Some(answer) = once::claim(&mut tx, identity.vault(), &key).await? {
        return Ok(answer);
    }
    let mut organisation = request.organisation.unwrap_or_default();
    let body = body_of(&organisation, caller)?;
    organisation.organisation_id = body.id.to_string();
    organisation.parent_id = body.parent_id.map(|id| id.to_string()).unwrap_or_default();
    let above = store::find_body(&mut tx, caller.organisation_id).await?.ok_or(Error::NotFound("organisation"))?;
    if !domain::may_create(&above, &body) {
        return Err(Error::Denied(text(
            "この機関は、あなたの機関の管轄外です。",
            "That organisation is outside of your organisation's scope.",
        )));
    }
    if let Some(parent) = body.parent_id.filter(|id| *id != caller.organisation_id) {
        let parent = store::find_body(&mut tx, parent).await?.filter(|parent| domain::supervises(&above, parent));
        if parent.is_none() {
            return Err(Error::invalid(
                "organisation.parent_id",
                "上位機関が見つかりません",
                "is no organisation of your scope",
            ));
        }
    }
    add(&mut tx, &organisation, &body).await?;
    let act = Act {
        actor: Actor::Caller(caller),
        rpc: "CreateOrganisation",
        groups: &[],
        request_id: Some(key.request_id),
        on_behalf_of: None,
    };
    audit::record(&mut tx, &act, &[body.id]).await?;
    once::answer(&mut tx, identity.vault(), &key, &organisation).await?;
    tx.commit().await?;
    Ok(organisation)
}

/// Stores an organisation and announces it.
pub(crate) async fn add(conn: &mut PgConnection, organisation: &Organisation, body: &Body) -> Result<(), Error> {
    let taken = |error: sqlx::Error| match error.as_database_error().and_then(sqlx::error::DatabaseError::constraint) {
        Some("organisation_prefecture") => {
            Error::invalid("organisation.prefecture", "この都道府県は登録済みです", "is there already")
        }
        Some("jurisdiction_pkey") => {
            Error::invalid("organisation.jurisdiction", "他の保健所の管轄区域です", "belongs to another health centre")
        }
        _ => Error::Database(error),
    };
    store::insert_organisation(conn, organisation, body).await.map_err(taken)?;
    let mut codes = organisation.jurisdiction.clone();
    if organisation.catch_all {
        codes.push(format!("{:02}*", body.prefecture));
    }
    store::claim_jurisdiction(conn, body.id, &codes).await.map_err(taken)?;
    let changed = OrganisationChanged { organisation: Some(organisation.clone()), version: 1 };
    outbox::add(conn, "organisation.changed", &changed).await?;
    Ok(())
}

pub(crate) async fn list(
    identity: &Identity,
    request: &ListOrganisationsRequest,
) -> Result<ListOrganisationsResponse, Error> {
    let after = match request.page_token.as_str() {
        "" => Uuid::nil(),
        token => Uuid::try_parse(token)
            .map_err(|_| Error::invalid("page_token", "不正なページトークンです", "is no page token"))?,
    };
    let size = if request.page_size > 0 { i64::from(request.page_size) } else { 100 };
    let mut conn = identity.base.pool.acquire().await?;
    let rows = store::list_organisations(&mut conn, request.kind, after, size + 1).await?;
    let more = i64::try_from(rows.len()).is_ok_and(|n| n > size);
    let organisations = rows
        .iter()
        .take(usize::try_from(size).unwrap_or(100))
        .map(|row| Organisation::decode(row.as_slice()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::Internal(error.into()))?;
    let last = organisations.last().map(|o| o.organisation_id.clone()).unwrap_or_default();
    Ok(ListOrganisationsResponse { organisations, next_page_token: if more { last } else { String::new() } })
}

/// What the rules look at, and what must hold for the fields together.
fn body_of(organisation: &Organisation, caller: &Caller) -> Result<Body, Error> {
    let kind = OrganisationKind::try_from(organisation.kind).unwrap_or(OrganisationKind::Unspecified);
    let prefecture = u8::try_from(organisation.prefecture).unwrap_or(0);
    if prefecture == 0
        && !matches!(
            kind,
            OrganisationKind::Ministry | OrganisationKind::InformationCentre | OrganisationKind::ExternalSystem
        )
    {
        return Err(Error::invalid("organisation.prefecture", "都道府県は必須です", "is required for this kind"));
    }
    if kind != OrganisationKind::HealthCentre && (organisation.catch_all || !organisation.jurisdiction.is_empty()) {
        return Err(Error::invalid(
            "organisation.jurisdiction",
            "管轄区域は保健所だけに設定できます",
            "belongs to health centres only",
        ));
    }
    for (index, code) in organisation.jurisdiction.iter().enumerate() {
        let code = japan::municipality::Municipality::parse(code).map_err(|why| {
            Error::invalid(format!("organisation.jurisdiction[{index}]"), "市区町村コードが正しくありません", why)
        })?;
        if code.prefecture() != prefecture {
            return Err(Error::invalid(
                format!("organisation.jurisdiction[{index}]"),
                "他の都道府県の市区町村です",
                "lies in another prefecture",
            ));
        }
    }
    let parent_id = match organisation.parent_id.as_str() {
        "" => Some(caller.organisation_id),
        text => Some(
            Uuid::try_parse(text)
                .map_err(|_| Error::invalid("organisation.parent_id", "UUID を指定してください", "must be a UUID"))?,
        ),
    };
    Ok(Body { id: Uuid::now_v7(), kind, prefecture, parent_id })
}
