//! Organisations: created inside the creator's scope, announced whole.

use access::{
    Caller,
    audit::{self, Act, Actor},
};
use chassis::{Error, once};
use data::outbox;
use prost::Message as _;
use proto::identity::{
    CreateOrganisationRequest, GetOrganisationRequest, GetOrganisationResponse, ListOrganisationsRequest,
    ListOrganisationsResponse, Organisation, OrganisationChanged, OrganisationClass, OrganisationKind,
    ResponsiblePerson, UpdateOrganisationRequest,
};
use runtime::problem::text;
use sqlx::PgConnection;
use uuid::Uuid;
use vault::Place;

use crate::{
    domain::{self, Body},
    rpc::Identity,
    store, users,
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
    "1".clone_into(&mut organisation.etag);
    let responsible = sealed_responsible(identity, body.id, request.responsible_person.as_ref())?;
    add(&mut tx, &organisation, &body, responsible.as_deref()).await?;
    let act = Act {
        actor: Actor::Caller(caller),
        rpc: "CreateOrganisation",
        groups: &[3],
        request_id: Some(key.request_id),
        on_behalf_of: None,
    };
    audit::record(&mut tx, &act, &[body.id]).await?;
    once::answer(&mut tx, identity.vault(), &key, &organisation).await?;
    tx.commit().await?;
    Ok(organisation)
}

/// Stores an organisation and announces it.
pub(crate) async fn add(
    conn: &mut PgConnection,
    organisation: &Organisation,
    body: &Body,
    responsible: Option<&[u8]>,
) -> Result<(), Error> {
    store::insert_organisation(conn, organisation, body, responsible).await.map_err(taken)?;
    claim(conn, organisation, body).await?;
    announce(conn, organisation, 1).await
}

/// What a taken prefecture or municipality is told as.
fn taken(error: sqlx::Error) -> Error {
    match error.as_database_error().and_then(sqlx::error::DatabaseError::constraint) {
        Some("organisation_prefecture") => {
            Error::invalid("organisation.prefecture", "この都道府県は登録済みです", "is there already")
        }
        Some("jurisdiction_pkey") => {
            Error::invalid("organisation.jurisdiction", "他の保健所の管轄区域です", "belongs to another health centre")
        }
        _ => Error::Database(error),
    }
}

/// Claims the municipalities of a centre.
async fn claim(conn: &mut PgConnection, organisation: &Organisation, body: &Body) -> Result<(), Error> {
    let mut codes = organisation.jurisdiction.clone();
    if organisation.catch_all {
        codes.push(format!("{:02}*", body.prefecture));
    }
    store::claim_jurisdiction(conn, body.id, &codes).await.map_err(taken)
}

async fn announce(conn: &mut PgConnection, organisation: &Organisation, version: i64) -> Result<(), Error> {
    let changed = OrganisationChanged { organisation: Some(organisation.clone()), version };
    outbox::add(conn, "organisation.changed", &changed).await?;
    Ok(())
}

/// Where the person responsible lies.
pub(crate) const RESPONSIBLE: Place = Place { table: "organisation", column: "responsible_sealed" };

fn sealed_responsible(
    identity: &Identity,
    id: Uuid,
    person: Option<&ResponsiblePerson>,
) -> Result<Option<Vec<u8>>, Error> {
    let seal = |person: &ResponsiblePerson| identity.vault().seal(RESPONSIBLE, id.as_bytes(), &person.encode_to_vec());
    Ok(person.map(seal).transpose()?)
}

/// One organisation of the caller's scope, with the person responsible.
pub(crate) async fn get(
    identity: &Identity,
    caller: &Caller,
    request: &GetOrganisationRequest,
) -> Result<GetOrganisationResponse, Error> {
    let id = Uuid::try_parse(&request.organisation_id).map_err(|_| Error::NotFound("organisation"))?;
    let mut tx = identity.base.pool.begin().await?;
    users::in_scope(&mut tx, caller, id).await?;
    let (_, content, sealed) =
        store::contracts::lock_organisation(&mut tx, id).await?.ok_or(Error::NotFound("organisation"))?;
    let groups = [3];
    let act = Act {
        actor: Actor::Caller(caller),
        rpc: "GetOrganisation",
        groups: &groups,
        request_id: None,
        on_behalf_of: None,
    };
    audit::record(&mut tx, &act, &[id]).await?;
    tx.commit().await?;
    let responsible_person = match sealed {
        Some(sealed) => {
            let plain = identity.vault().open(RESPONSIBLE, id.as_bytes(), &sealed)?;
            Some(ResponsiblePerson::decode(plain.as_slice()).map_err(|error| Error::Internal(error.into()))?)
        }
        None => None,
    };
    Ok(GetOrganisationResponse { organisation: Some(decoded(&content)?), responsible_person })
}

fn decoded(content: &[u8]) -> Result<Organisation, Error> {
    Organisation::decode(content).map_err(|error| Error::Internal(error.into()))
}

/// Changes what the mask names.
pub(crate) async fn update(
    identity: &Identity,
    caller: &Caller,
    request: UpdateOrganisationRequest,
) -> Result<Organisation, Error> {
    let key = once::key(identity.vault(), caller, "UpdateOrganisation", &request.request_id, &request)?;
    let id = Uuid::try_parse(&request.organisation_id).map_err(|_| Error::NotFound("organisation"))?;
    let given = request.organisation.unwrap_or_default();
    let paths = request.update_mask.unwrap_or_default().paths;
    let mut tx = identity.base.pool.begin().await?;
    let below = users::in_scope(&mut tx, caller, id).await?;
    let (version, content, mut responsible) =
        store::contracts::lock_organisation(&mut tx, id).await?.ok_or(Error::NotFound("organisation"))?;
    if let Some(answer) = once::claim(&mut tx, identity.vault(), &key).await? {
        return Ok(answer);
    }
    if id == caller.organisation_id && paths.iter().any(|path| ABOVE_ONLY.contains(&path.as_str())) {
        return Err(Error::Denied(text(
            "権限、期間、管轄、利用停止は上位の機関が変更します。",
            "Rights, dates, jurisdiction and cut-off are changed by the supervising body.",
        )));
    }
    let held = decoded(&content)?;
    if !given.etag.is_empty() && given.etag != version.to_string() {
        return Err(Error::StaleEtag);
    }
    let mut organisation = masked(held, &given, &paths)?;
    let version = version + 1;
    organisation.etag = version.to_string();
    let body = Body { id, ..body_of(&organisation, caller)? };
    if paths.iter().any(|path| path == "responsible_person") {
        responsible = sealed_responsible(identity, id, request.responsible_person.as_ref())?;
    }
    store::contracts::update_organisation(&mut tx, id, version, &organisation.encode_to_vec(), responsible.as_deref())
        .await?;
    if paths.iter().any(|path| path == "jurisdiction" || path == "catch_all") {
        store::contracts::release_jurisdiction(&mut tx, id).await?;
        claim(&mut tx, &organisation, &Body { prefecture: below.prefecture, ..body }).await?;
    }
    announce(&mut tx, &organisation, version).await?;
    let act = Act {
        actor: Actor::Caller(caller),
        rpc: "UpdateOrganisation",
        groups: &[3],
        request_id: Some(key.request_id),
        on_behalf_of: None,
    };
    audit::record(&mut tx, &act, &[id]).await?;
    once::answer(&mut tx, identity.vault(), &key, &organisation).await?;
    tx.commit().await?;
    Ok(organisation)
}

/// What an organisation does not change about itself.
const ABOVE_ONLY: &[&str] =
    &["rights", "class", "jurisdiction", "catch_all", "valid_from", "valid_until", "opens_on", "suspended"];

/// The held organisation with the items of the mask replaced. Kind, prefecture and supervising body never change.
fn masked(mut held: Organisation, given: &Organisation, paths: &[String]) -> Result<Organisation, Error> {
    if paths.is_empty() {
        return Err(Error::invalid("update_mask", "更新する項目を指定してください", "must name at least one item"));
    }
    for path in paths {
        match path.as_str() {
            "name" => held.name.clone_from(&given.name),
            "rights" => held.rights = given.rights,
            "class" => held.class = given.class,
            "jurisdiction" => held.jurisdiction.clone_from(&given.jurisdiction),
            "catch_all" => held.catch_all = given.catch_all,
            "institution_code" => held.institution_code.clone_from(&given.institution_code),
            "local_government_code" => held.local_government_code.clone_from(&given.local_government_code),
            "valid_from" => held.valid_from.clone_from(&given.valid_from),
            "valid_until" => held.valid_until.clone_from(&given.valid_until),
            "opens_on" => held.opens_on.clone_from(&given.opens_on),
            "suspended" => held.suspended = given.suspended,
            "responsible_person" => {}
            _ => {
                return Err(Error::invalid(
                    "update_mask",
                    "変更できない項目です",
                    "names an item that is not there or never changes",
                ));
            }
        }
    }
    Ok(held)
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

/// Dates as they are kept: ISO, in order.
fn check_dates(organisation: &Organisation) -> Result<(), Error> {
    let mut days = Vec::new();
    for (field, value) in [
        ("valid_from", &organisation.valid_from),
        ("opens_on", &organisation.opens_on),
        ("valid_until", &organisation.valid_until),
    ] {
        if value.is_empty() {
            continue;
        }
        let day = japan::date::parse(value)
            .map_err(|why| Error::invalid(format!("organisation.{field}"), "日付が正しくありません", why))?;
        days.push((field, day));
    }
    match days.windows(2).find(|pair| matches!(pair, [(_, first), (_, second)] if first > second)) {
        Some([_, (field, _)]) => Err(Error::invalid(
            format!("organisation.{field}"),
            "日付の前後関係が正しくありません",
            "lies before the date it must follow",
        )),
        _ => Ok(()),
    }
}

/// What the rules look at, and what must hold for the fields together.
pub(crate) fn body_of(organisation: &Organisation, caller: &Caller) -> Result<Body, Error> {
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
    check_dates(organisation)?;
    let class = OrganisationClass::try_from(organisation.class).unwrap_or_default();
    if !domain::class_fits(class, kind) {
        return Err(Error::invalid("organisation.class", "この種別にはない区分です", "says nothing about this kind"));
    }
    if !organisation.institution_code.is_empty()
        && (organisation.institution_code.len() != 10
            || !organisation.institution_code.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err(Error::invalid("organisation.institution_code", "10桁の数字です", "is ten digits"));
    }
    if !organisation.local_government_code.is_empty()
        && let Err(why) = japan::municipality::Municipality::parse(&organisation.local_government_code)
    {
        return Err(Error::invalid("organisation.local_government_code", "団体コードが正しくありません", why));
    }
    if organisation.catch_all && !matches!(caller.kind, OrganisationKind::Ministry | OrganisationKind::Prefecture) {
        return Err(Error::invalid(
            "organisation.catch_all",
            "都道府県が指定します",
            "is for the prefecture to say: that centre receives what no other claims",
        ));
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
