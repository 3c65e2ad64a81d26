//! The copy in memory: what a look at the database adds to the one before.

use std::{collections::HashMap, sync::Arc};

use proto::identity::{ContractScope, OrganisationKind};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    entry::{Days, Entry},
    store::{ContractRow, OrganisationRow},
};
use crate::OrganisationId;

/// A contract (委託) as far as services need it.
#[derive(Clone, Debug)]
pub(super) struct Entrusted {
    pub(super) principal: OrganisationId,
    pub(super) contractors: Vec<OrganisationId>,
    pub(super) scopes: Vec<ContractScope>,
    pub(super) days: Days,
}

#[derive(Default)]
pub(super) struct Snapshot {
    pub(super) seq: i64,
    pub(super) entries: HashMap<OrganisationId, Arc<Entry>>,
    pub(super) centre_of: HashMap<String, OrganisationId>,
    pub(super) claimed: HashMap<OrganisationId, Vec<String>>,
    pub(super) catch_all: HashMap<u8, OrganisationId>,
    pub(super) prefectures: HashMap<u8, OrganisationId>,
    pub(super) contract_seq: i64,
    pub(super) contracts: HashMap<Uuid, Arc<Entrusted>>,
    /// Contracts, by contractor.
    pub(super) entrusted: HashMap<OrganisationId, Vec<Arc<Entrusted>>>,
    pub(super) revoked: HashMap<String, OffsetDateTime>,
    pub(super) heard_at: Option<OffsetDateTime>,
}

impl Snapshot {
    pub(super) fn take(&mut self, row: OrganisationRow) {
        self.seq = self.seq.max(row.seq);
        let id = row.organisation_id;
        let (kind, prefecture) = (row.kind.0, row.prefecture);
        for code in self.claimed.remove(&id).unwrap_or_default() {
            // Another centre may have it by now.
            if self.centre_of.get(&code) == Some(&id) {
                self.centre_of.remove(&code);
            }
        }
        self.catch_all.retain(|_, centre| *centre != id);
        for code in &row.jurisdiction {
            self.centre_of.insert(code.clone(), id);
        }
        self.claimed.insert(id, row.jurisdiction);
        if row.catch_all {
            self.catch_all.insert(prefecture, id);
        }
        if kind == OrganisationKind::Prefecture {
            self.prefectures.insert(prefecture, id);
        }
        let entry = Entry {
            id,
            kind,
            name: row.name,
            prefecture,
            rights: row.rights.0,
            parent_id: row.parent_id,
            exists: Days { first: row.valid_from, last: row.valid_until },
            opens_on: row.opens_on,
            suspended: row.suspended,
        };
        self.entries.insert(id, Arc::new(entry));
    }

    pub(super) fn take_contracts(&mut self, rows: Vec<ContractRow>) {
        for row in rows {
            self.contract_seq = self.contract_seq.max(row.seq);
            if row.ended {
                self.contracts.remove(&row.contract_id);
                continue;
            }
            let contract = Entrusted {
                principal: row.principal,
                contractors: row.contractors,
                scopes: row.scopes.iter().map(|scope| scope.0).collect(),
                days: Days { first: Some(row.first_day), last: Some(row.last_day) },
            };
            self.contracts.insert(row.contract_id, Arc::new(contract));
        }
        self.entrusted.clear();
        for contract in self.contracts.values() {
            for contractor in &contract.contractors {
                self.entrusted.entry(*contractor).or_default().push(Arc::clone(contract));
            }
        }
    }
}
