//! A service's copy of the registry's cases: the latest version of each, with the grants that decide who may see it.
//!
//! A newer version replaces an older one, never the reverse. Before anybody is told that an unknown case does not
//! exist, the registry is asked for it once, briefly.

use std::{collections::HashMap, time::Duration};

use prost::Message as _;
use proto::{
    identity::{ContractScope, Role},
    registry::{
        BatchGetCasesRequest, CaseChanged, Outcome, Placement, Relation,
        registry_internal_service_client::RegistryInternalServiceClient,
    },
};
use runtime::{clock, mesh::Channel};
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{Caller, CaseId, Directory, OrganisationId, UserId, caller::Hidden};

/// The migration that creates the table, for services that keep copies.
pub const TABLE: (&str, &str) = ("0001_case_copy.sql", include_str!("../tables/case_copy.sql"));

/// How long a caller may wait while the registry is asked for an unknown case.
const ASK: Duration = Duration::from_millis(200);

/// Stores versions of cases, unless newer ones are there. Returns the new ones, only the latest of each case.
///
/// # Errors
/// When the database refuses.
pub async fn take(conn: &mut PgConnection, versions: &[CaseChanged]) -> sqlx::Result<Vec<(CaseId, CaseChanged)>> {
    let mut latest: HashMap<CaseId, &CaseChanged> = HashMap::new();
    for changed in versions {
        let Ok(id) = CaseId::parse(&changed.case_id) else { continue };
        if latest.get(&id).is_none_or(|held| held.version < changed.version) {
            latest.insert(id, changed);
        }
    }
    if latest.is_empty() {
        return Ok(Vec::new());
    }
    let mut latest: Vec<(CaseId, &CaseChanged)> = latest.into_iter().collect();
    // The same order everywhere, so that there are no deadlocks.
    latest.sort_unstable_by_key(|(id, _)| *id);
    let taken: Vec<CaseId> = sqlx::query_scalar(
        "insert into case_copy as c (case_id, version, facts)
         select * from unnest($1::uuid[], $2::bigint[], $3::bytea[])
         on conflict (case_id) do update set version = excluded.version, facts = excluded.facts
         where c.version < excluded.version
         returning case_id",
    )
    .bind(latest.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(latest.iter().map(|(_, changed)| changed.version).collect::<Vec<_>>())
    .bind(latest.iter().map(|(_, changed)| changed.encode_to_vec()).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    let taken: std::collections::HashSet<CaseId> = taken.into_iter().collect();
    Ok(latest.into_iter().filter(|(id, _)| taken.contains(id)).map(|(id, changed)| (id, changed.clone())).collect())
}

/// Deletes every copy before a rebuild from the registry's log.
///
/// # Errors
/// When the database refuses.
pub async fn forget_all(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("delete from case_copy").execute(conn).await.map(|_| ())
}

/// The latest known versions of some cases.
///
/// # Errors
/// When the database refuses.
pub async fn find(conn: &mut PgConnection, ids: &[CaseId]) -> sqlx::Result<HashMap<CaseId, CaseChanged>> {
    let rows: Vec<(CaseId, Vec<u8>)> = sqlx::query_as("select case_id, facts from case_copy where case_id = any($1)")
        .bind(ids)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().filter_map(|(id, facts)| Some((id, CaseChanged::decode(facts.as_slice()).ok()?))).collect())
}

/// Asks the registry for an unknown case. `None` if it does not exist.
///
/// # Errors
/// [`Silent`] when the registry does not answer in time. Nobody may be told then that the case does not exist.
pub async fn ask(registry: &RegistryInternalServiceClient<Channel>, id: CaseId) -> Result<Option<CaseChanged>, Silent> {
    Ok(ask_all(registry, &[id]).await?.pop())
}

/// Asks the registry for unknown cases, at most 200. Those that do not exist are left out.
///
/// # Errors
/// [`Silent`] when the registry does not answer in time.
pub async fn ask_all(
    registry: &RegistryInternalServiceClient<Channel>,
    ids: &[CaseId],
) -> Result<Vec<CaseChanged>, Silent> {
    let mut registry = registry.clone();
    let request = BatchGetCasesRequest { case_ids: ids.iter().map(ToString::to_string).collect() };
    match tokio::time::timeout(ASK, registry.batch_get_cases(request)).await {
        Ok(Ok(answer)) => Ok(answer.into_inner().cases),
        Ok(Err(_)) | Err(_) => Err(Silent),
    }
}

/// The registry did not answer in time.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

/// The relations of a caller to a record, and the field groups that the caller's ID never sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relations {
    list: Vec<Relation>,
    hidden: Hidden,
}

impl Relations {
    /// Relations of a caller, with what the caller's ID does not see.
    pub fn new(list: Vec<Relation>, caller: &Caller) -> Self {
        Self { list, hidden: caller.hidden }
    }

    /// Relations that do not follow from a caller's grants, with the field groups to hide.
    pub fn hiding(list: Vec<Relation>, hidden: Hidden) -> Self {
        Self { list, hidden }
    }

    /// The field groups that the caller's ID never sees.
    pub fn hidden(&self) -> Hidden {
        self.hidden
    }
}

impl std::ops::Deref for Relations {
    type Target = [Relation];

    fn deref(&self) -> &[Relation] {
        &self.list
    }
}

/// Relations of no caller in particular: only the policy hides fields.
impl From<Vec<Relation>> for Relations {
    fn from(list: Vec<Relation>) -> Self {
        Self { list, hidden: Hidden::default() }
    }
}

/// What of a case the relations of a caller depend on.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The case.
    pub id: CaseId,
    /// Whether the person is in a lodging facility (宿泊療養).
    pub is_resident: bool,
    /// Whether the episode goes on.
    pub is_open: bool,
}

/// A grant of a case, as far as it decides.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Who holds it.
    pub organisation_id: OrganisationId,
    /// In which relation.
    pub relation: Relation,
    /// The only user of the organisation who holds it; `None` where all do.
    pub user_id: Option<UserId>,
    /// `None` while it lasts.
    pub until: Option<OffsetDateTime>,
}

/// The relations of a caller to a case that are in force: granted to the caller's organisation, or to one that entrusts
/// it.
pub fn relations(case: &CaseChanged, caller: &Caller, directory: &Directory, now: OffsetDateTime) -> Relations {
    let known = Known {
        // A copy without a valid id belongs to nobody.
        id: CaseId::parse(&case.case_id).unwrap_or(CaseId::NIL),
        is_resident: case.placement == i32::from(Placement::Lodging),
        is_open: case.outcome == i32::from(Outcome::Unspecified),
    };
    let grants = case.grants.iter().filter_map(|grant| {
        Some(Held {
            organisation_id: OrganisationId::parse(&grant.organisation_id).ok()?,
            relation: Relation::try_from(grant.relation).ok()?,
            user_id: UserId::optional(&grant.user_id).ok()?,
            until: grant.until_time.as_ref().and_then(clock::from_proto),
        })
    });
    held(known, grants, caller, directory, now)
}

/// The relations of a caller that follow from a case's grants.
pub fn held(
    case: Known,
    grants: impl Iterator<Item = Held>,
    caller: &Caller,
    directory: &Directory,
    now: OffsetDateTime,
) -> Relations {
    if caller.is_citizen() {
        let own = if caller.role == Role::Proxy { Relation::Proxy } else { Relation::Patient };
        let list = if caller.case_id == Some(case.id) { vec![own] } else { Vec::new() };
        return Relations::new(list, caller);
    }
    let entrusted = directory.entrusted_to(caller.organisation_id, now);
    let mut list = Vec::new();
    let in_force = |grant: &Held| {
        grant.until.is_none_or(|until| now < until) && grant.user_id.is_none_or(|user| user == caller.user_id)
    };
    for Held { organisation_id, relation, .. } in grants.filter(in_force) {
        if organisation_id == caller.organisation_id {
            list.push(relation);
        } else if case.is_open
            && may_entrust(relation, case.is_resident)
            && entrusted.contains(&(organisation_id, ContractScope::Followup))
        {
            // 健康観察 is entrusted, and ends with the episode: what was before the contract is not the contractor's to read.
            list.push(Relation::Contractor);
        }
    }
    narrow_to_residents(&mut list, caller.role, case.is_resident);
    Relations::new(list, caller)
}

/// Whether the holder of a relation may entrust others with the follow-up of the case. A prefecture looks after
/// residents of lodging facilities only, and may entrust no more than that.
fn may_entrust(relation: Relation, resident: bool) -> bool {
    match relation {
        Relation::ReceivingCentre | Relation::ResponsibleCentre => true,
        Relation::Prefecture => resident,
        _ => false,
    }
}

/// 都道府県の宿泊療養担当職員: looks after residents of lodging facilities as the facility does, and after nobody else.
pub fn narrow_to_residents(relations: &mut Vec<Relation>, role: Role, resident: bool) {
    if role == Role::LodgingOfficer && relations.contains(&Relation::Prefecture) {
        relations.retain(|relation| *relation != Relation::Prefecture);
        if resident {
            relations.push(Relation::LodgingFacility);
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::{
        identity::{OrganisationKind, Role},
        registry::{CaseChanged, Grant, Placement, Relation},
    };
    use runtime::clock::to_proto;
    use time::{Duration, OffsetDateTime, macros::datetime};
    use uuid::Uuid;

    use crate::{Caller, Directory, caller::Hidden};

    fn relations(case: &CaseChanged, caller: &Caller, now: OffsetDateTime) -> Vec<Relation> {
        super::relations(case, caller, &Directory::default(), now).to_vec()
    }

    const NOW: OffsetDateTime = datetime!(2020-06-01 12:00 UTC);

    fn caller(role: Role) -> Caller {
        Caller {
            user_id: Uuid::from_u128(1).into(),
            organisation_id: Uuid::from_u128(2).into(),
            kind: OrganisationKind::Prefecture,
            prefecture: 27,
            role,
            session_id: Uuid::from_u128(3).into(),
            case_id: Some(Uuid::from_u128(4).into()).filter(|_| role == Role::Patient),
            hidden: Hidden::default(),
            terms_due: false,
            authenticated_at: NOW,
            scopes: None,
            calls_per_second: 0,
            issued_at: NOW,
            expires_at: NOW + Duration::minutes(5),
        }
    }

    fn case(relation: Relation, until: Option<OffsetDateTime>, placement: Placement) -> CaseChanged {
        CaseChanged {
            case_id: Uuid::from_u128(4).to_string(),
            placement: placement.into(),
            grants: vec![Grant {
                organisation_id: Uuid::from_u128(2).to_string(),
                relation: relation.into(),
                from_time: Some(to_proto(NOW - Duration::days(1))),
                until_time: until.map(to_proto),
                user_id: String::new(),
            }],
            ..CaseChanged::default()
        }
    }

    #[test]
    fn an_ended_relation_shows_nothing() {
        let nurse = caller(Role::Nurse);
        let centre = Relation::ResponsibleCentre;
        assert_eq!(relations(&case(centre, None, Placement::Home), &nurse, NOW), [centre]);
        assert_eq!(relations(&case(centre, Some(NOW), Placement::Home), &nurse, NOW), []);
    }

    #[test]
    fn the_lodging_officer_of_the_prefecture_looks_after_residents_only() {
        let officer = caller(Role::LodgingOfficer);
        let seen = |placement| relations(&case(Relation::Prefecture, None, placement), &officer, NOW);
        assert_eq!(seen(Placement::Lodging), [Relation::LodgingFacility]);
        assert_eq!(seen(Placement::Home), []);
    }

    #[test]
    fn a_patient_has_a_relation_to_the_own_case_only() {
        let case = case(Relation::ResponsibleCentre, None, Placement::Home);
        assert_eq!(relations(&case, &caller(Role::Patient), NOW), [Relation::Patient]);
        let other = Caller { case_id: Some(Uuid::from_u128(9).into()), ..caller(Role::Patient) };
        assert_eq!(relations(&case, &other, NOW), []);
    }

    #[test]
    fn what_one_user_opened_nobody_else_of_the_house_sees() {
        let mut opened = case(Relation::Emergency, Some(NOW + Duration::hours(3)), Placement::Home);
        let physician = caller(Role::Physician);
        opened.grants[0].user_id = physician.user_id.to_string();
        assert_eq!(relations(&opened, &physician, NOW), [Relation::Emergency]);
        let colleague = Caller { user_id: Uuid::from_u128(77).into(), ..physician };
        assert_eq!(relations(&opened, &colleague, NOW), []);
    }
}
