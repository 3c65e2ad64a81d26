//! Organisations, and the people who work in them.

use access::{Caller, CaseId, OrganisationId, SessionId, UserId, caller::Hidden, directory};
use proto::{
    identity::{
        Contract, ContractChanged, ContractScope, Organisation, OrganisationChanged, OrganisationKind as Kind, Rights,
        Role,
    },
    options::Group,
};
use time::Duration;
use uuid::Uuid;

use crate::World;

/// An organisation of a world's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body {
    /// The organisation's id in the directory.
    pub id: OrganisationId,
    kind: Kind,
    prefecture: u8,
}

impl Body {
    /// Somebody at work there who has just given both factors.
    pub fn staff(&self, role: Role) -> Caller {
        let now = crate::NOW;
        Caller {
            user_id: UserId::new(),
            organisation_id: self.id,
            kind: self.kind,
            prefecture: self.prefecture,
            role,
            session_id: SessionId::new(),
            case_id: None,
            hidden: Hidden::default(),
            terms_due: false,
            authenticated_at: now,
            scopes: None,
            calls_per_second: 0,
            issued_at: now,
            expires_at: now + Duration::days(365),
        }
    }

    /// Somebody at work there whose ID does not see some field groups (閲覧範囲).
    pub fn narrowed(&self, role: Role, hidden: impl IntoIterator<Item = Group>) -> Caller {
        Caller { hidden: Hidden::of(hidden), ..self.staff(role) }
    }
}

/// The patient of a case.
pub fn patient(case: CaseId) -> Caller {
    let nobody = Body { id: OrganisationId::NIL, kind: Kind::Unspecified, prefecture: 0 };
    Caller { user_id: UserId::from(case.uuid()), case_id: Some(case), ..nobody.staff(Role::Patient) }
}

/// A proxy (代理人) of the patient of a case.
pub fn proxy(case: CaseId) -> Caller {
    Caller { user_id: UserId::new(), role: Role::Proxy, ..patient(case) }
}

impl World {
    /// An organisation with every right, known to the directory.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn body(&self, kind: Kind, prefecture: u8) -> anyhow::Result<Body> {
        self.organisation(kind, prefecture, |_| ()).await
    }

    /// An organisation known to the directory, after `tell` has set its details.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn organisation(
        &self,
        kind: Kind,
        prefecture: u8,
        tell: impl FnOnce(&mut Organisation),
    ) -> anyhow::Result<Body> {
        let body = Body { id: OrganisationId::new(), kind, prefecture };
        self.announce(body, tell, 1).await?;
        Ok(body)
    }

    /// An organisation changes: it has every right and no dates, unless `tell` says otherwise.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn change(&self, body: Body, tell: impl FnOnce(&mut Organisation)) -> anyhow::Result<()> {
        self.announce(body, tell, 2).await
    }

    async fn announce(&self, body: Body, tell: impl FnOnce(&mut Organisation), version: i64) -> anyhow::Result<()> {
        let mut organisation = Organisation {
            organisation_id: body.id.to_string(),
            kind: body.kind.into(),
            name: format!("機関 {}", body.id),
            prefecture: body.prefecture.into(),
            rights: Rights::Entry.into(),
            ..Organisation::default()
        };
        tell(&mut organisation);
        self.hear(&directory::Hears, &OrganisationChanged { organisation: Some(organisation), version }).await?;
        self.base.directory.refresh(&self.base.pool).await
    }

    /// A contract (委託) in force from a month before the world begins to a year after.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn entrust(&self, principal: Body, contractor: Body, scope: ContractScope) -> anyhow::Result<()> {
        let contract = Contract {
            contract_id: Uuid::now_v7().to_string(),
            principal_id: principal.id.to_string(),
            contractor_ids: vec![contractor.id.to_string()],
            scopes: vec![scope.into()],
            from_date: "2020-05-01".to_owned(),
            until_date: "2021-06-01".to_owned(),
            ..Contract::default()
        };
        self.hear(&directory::Hears, &ContractChanged { contract: Some(contract), version: 1 }).await?;
        self.base.directory.refresh(&self.base.pool).await
    }
}
