//! Referral to a test site, and hand-over of a case from one centre to another.

use access::{Caller, Relations};
use chassis::{Error, once};
use proto::{
    identity::OrganisationKind as Kind,
    registry::{
        AcceptTransferRequest, Case as CaseView, DeclineTransferRequest, OfferTransferRequest, ReferCaseRequest,
        Relation, TransferState,
    },
};
use runtime::problem::text;
use uuid::Uuid;

use crate::{
    change::{Begun, Change},
    history::{self, TransferRow},
    rpc::Registry,
    view::{ANSWER_REASON, REASON},
};

impl Registry {
    /// Refers a person to an institution that tests: it gets the relation of a test site.
    pub(crate) async fn refer(&self, caller: Caller, request: ReferCaseRequest) -> Result<CaseView, Error> {
        let key = once::key(&self.base.vault, &caller, "ReferCase", &request.request_id, &request)?;
        let institution = self.organisation("institution_id", &request.institution_id, |kind| {
            matches!(kind, Kind::Clinic | Kind::Hospital | Kind::Laboratory | Kind::QuarantineStation)
        })?;
        let mut change = match self.begin(caller, key, (&request.case_id, &request.etag), &request).await? {
            Begun::Now(change) => change,
            Begun::Before(view) => return Ok(*view),
        };
        change.must(|relation| {
            matches!(relation, Relation::ConsultationCentre | Relation::ResponsibleCentre | Relation::ReceivingCentre)
        })?;
        change.case.referred_to = Some(institution);
        change.grant(institution, Relation::Reporter);
        self.finish(*change).await
    }

    /// Offers the case to another centre. Responsible stays who is.
    pub(crate) async fn offer_transfer(
        &self,
        caller: Caller,
        request: OfferTransferRequest,
    ) -> Result<CaseView, Error> {
        let key = once::key(&self.base.vault, &caller, "OfferTransfer", &request.request_id, &request)?;
        let to = self.organisation("to_centre_id", &request.to_centre_id, |kind| {
            matches!(kind, Kind::HealthCentre | Kind::City)
        })?;
        let mut change = match self.begin(caller, key, (&request.case_id, &request.etag), &request).await? {
            Begun::Now(change) => change,
            Begun::Before(view) => return Ok(*view),
        };
        change.must(|relation| relation == Relation::ResponsibleCentre)?;
        let from = change.caller.organisation_id;
        if change.case.responsible_centre != Some(from) {
            return Err(Error::Denied(text(
                "移管できるのは、現在の担当保健所に限ります。",
                "Only the centre that is responsible now can hand the case over.",
            )));
        }
        if to == from {
            return Err(Error::invalid("to_centre_id", "自らの保健所です", "is the own centre"));
        }
        let last = self.last_transfer(&mut change).await?;
        if last.as_ref().is_some_and(TransferRow::is_open) {
            return Err(Error::Precondition(text(
                "移管の申し出が回答待ちです。",
                "Another hand-over of this case is waiting for its answer.",
            )));
        }
        let id = change.case.id.uuid();
        let transfer = TransferRow {
            case_id: id,
            number: last.map_or(1, |last| last.number + 1),
            from_centre: from,
            to_centre: to,
            state: state(TransferState::Offered),
            reason: self.base.vault.seal(REASON, id.as_bytes(), request.reason.as_bytes())?,
            offered_at: change.case.updated_at,
            answered_at: None,
            answer_reason: None,
        };
        history::save_transfer(&mut change.tx, &transfer).await?;
        change.grant(to, Relation::IncomingCentre);
        self.finish(*change).await
    }

    /// Accepts: in one transaction the old centre ceases to be responsible and the new one is.
    pub(crate) async fn accept_transfer(
        &self,
        caller: Caller,
        request: AcceptTransferRequest,
    ) -> Result<CaseView, Error> {
        let key = once::key(&self.base.vault, &caller, "AcceptTransfer", &request.request_id, &request)?;
        let mut change = match self.begin(caller, key, (&request.case_id, &request.etag), &request).await? {
            Begun::Now(change) => change,
            Begun::Before(view) => return Ok(*view),
        };
        change.must(|relation| relation == Relation::IncomingCentre)?;
        let mut transfer = self.open_transfer(&mut change).await?;
        let to = transfer.to_centre;
        transfer.state = state(TransferState::Accepted);
        transfer.answered_at = Some(change.case.updated_at);
        history::save_transfer(&mut change.tx, &transfer).await?;
        change.case.responsible_centre = Some(to);
        change.end_grant(to, Relation::IncomingCentre);
        // Counted where it was received; worked on by nobody but the new centre. Whoever registered it as a centre of its
        // own reads on as a former one.
        for held in crate::store::grants_of(&mut change.tx, &[transfer.case_id]).await? {
            let works = matches!(held.relation, Relation::ResponsibleCentre | Relation::ReceivingCentre);
            if works && held.until.is_none() && held.organisation_id != to {
                change.end_grant(held.organisation_id, held.relation);
                change.grant(held.organisation_id, Relation::FormerCentre);
            }
        }
        change.grant(to, Relation::ResponsibleCentre);
        if let Some(prefecture) =
            self.base.directory.get(to).and_then(|centre| self.base.directory.prefecture(centre.prefecture))
        {
            change.grant(prefecture, Relation::Prefecture);
        }
        change.relations = Relations::new(vec![Relation::ResponsibleCentre], &change.caller);
        self.finish(*change).await
    }

    /// Declines, or withdraws the offer: everything is as before.
    pub(crate) async fn decline_transfer(
        &self,
        caller: Caller,
        request: DeclineTransferRequest,
    ) -> Result<CaseView, Error> {
        let key = once::key(&self.base.vault, &caller, "DeclineTransfer", &request.request_id, &request)?;
        let mut change = match self.begin(caller, key, (&request.case_id, &request.etag), &request).await? {
            Begun::Now(change) => change,
            Begun::Before(view) => return Ok(*view),
        };
        change.must(|relation| matches!(relation, Relation::IncomingCentre | Relation::ResponsibleCentre))?;
        let mut transfer = self.open_transfer(&mut change).await?;
        transfer.state = state(TransferState::Declined);
        let sealed = self.base.vault.seal(ANSWER_REASON, transfer.case_id.as_bytes(), request.reason.as_bytes())?;
        transfer.answer_reason = Some(sealed);
        transfer.answered_at = Some(change.case.updated_at);
        history::save_transfer(&mut change.tx, &transfer).await?;
        change.end_grant(transfer.to_centre, Relation::IncomingCentre);
        self.finish(*change).await
    }

    async fn last_transfer(&self, change: &mut Change) -> Result<Option<TransferRow>, Error> {
        let id = change.case.id.uuid();
        Ok(history::transfers_of(&mut change.tx, &[id]).await?.pop())
    }

    async fn open_transfer(&self, change: &mut Change) -> Result<TransferRow, Error> {
        self.last_transfer(change).await?.filter(TransferRow::is_open).ok_or_else(|| {
            Error::Precondition(text(
                "回答待ちの移管はありません。",
                "No hand-over of this case is waiting for an answer.",
            ))
        })
    }

    /// An organisation of the directory, of a fitting kind.
    pub(crate) fn organisation(&self, field: &str, id: &str, fits: impl Fn(Kind) -> bool) -> Result<Uuid, Error> {
        Uuid::try_parse(id)
            .ok()
            .and_then(|id| self.base.directory.get(id))
            .filter(|entry| fits(entry.kind))
            .map(|entry| entry.id)
            .ok_or_else(|| {
                Error::invalid(field, "該当する機関が登録されていません", "is no organisation of a fitting kind")
            })
    }
}

fn state(state: TransferState) -> i16 {
    crate::store::number(state)
}
