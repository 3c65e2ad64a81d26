//! The RPCs of beds.

use std::collections::HashMap;

use access::{
    Caller, Door,
    audit::{self, Act, Actor},
    cases,
};
use chassis::{Base, Error, once, page};
use data::outbox;
use proto::{
    beds::{
        AcceptAdmissionRequest, Admission as View, AdmissionChanged, AdmissionState, CancelAdmissionRequest,
        Capability, Capacity, CapacityReported, ConfirmArrivalRequest, DeclineAdmissionRequest, Destination,
        GetAdmissionRequest, ListAdmissionsRequest, ListAdmissionsResponse, ListAvailabilityRequest,
        ListAvailabilityResponse, OfferBedRequest, RecordLeaveRequest, ReportCapacityRequest, RequestAdmissionRequest,
        beds_service_server::BedsService,
    },
    identity::OrganisationKind as Kind,
    options::Group,
    registry::{CaseChanged, Outcome, Relation, registry_internal_service_client::RegistryInternalServiceClient},
};
use runtime::{Clock, clock::to_proto, mesh::Channel, problem::text};
use sqlx::{PgConnection, Postgres, Transaction};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    capacity::{self, Declared},
    domain::{self, Admission},
    store::{self, Whose},
    view::{self, As},
};

/// The beds service.
#[derive(Clone)]
pub(crate) struct Beds {
    base: Base,
    clock: Clock,
    registry: RegistryInternalServiceClient<Channel>,
}

/// A change of an admission under way: locked, the caller known to it, the request claimed.
struct Change {
    tx: Transaction<'static, Postgres>,
    admission: Admission,
    case: CaseChanged,
    seen: As,
    caller: Caller,
    key: data::request::Key,
    now: OffsetDateTime,
}

/// A change begins, or was made before.
enum Begun {
    Now(Box<Change>),
    Before(Box<View>),
}

/// Who may make a change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Those who look for a bed: centre and prefecture.
    Coordinator,
    /// The facility that was asked.
    Facility,
}

impl Beds {
    pub(crate) fn new(base: &Base) -> anyhow::Result<Self> {
        let registry = RegistryInternalServiceClient::new(base.channel("registry")?);
        Ok(Self { base: base.clone(), clock: Clock, registry })
    }

    /// A case, asked for once where it was not heard of yet.
    async fn case(&self, caller: &Caller, id: Uuid) -> Result<CaseChanged, Error> {
        let mut conn = self.base.pool.acquire().await?;
        let held = cases::find(&mut conn, &[id]).await?.remove(&id);
        drop(conn);
        let now = self.clock.now();
        let shows = |case: &CaseChanged| !cases::relations(case, caller, &self.base.directory, now).is_empty();
        // A facility that was asked has no relation yet: its copy is good as it is.
        let facility = matches!(caller.kind, Kind::Hospital | Kind::LodgingFacility);
        match held {
            Some(case) if facility || shows(&case) => Ok(case),
            _ => cases::ask(&self.registry, id).await?.ok_or(Error::NotFound("case")),
        }
    }

    async fn audit(
        &self,
        conn: &mut PgConnection,
        caller: &Caller,
        rpc: &'static str,
        request_id: Option<Uuid>,
        records: &[Uuid],
    ) -> Result<(), Error> {
        let group = |group: Group| i16::try_from(i32::from(group)).unwrap_or(0);
        let groups = [group(Group::Clinical), group(Group::Administrative)];
        let act = Act { actor: Actor::Caller(caller), rpc, groups: &groups, request_id, on_behalf_of: None };
        Ok(audit::record(conn, &act, records).await?)
    }

    async fn report(&self, caller: Caller, request: ReportCapacityRequest) -> Result<Capacity, Error> {
        let key = once::key(&self.base.vault, &caller, "ReportCapacity", &request.request_id, &request)?;
        let facility_id = Uuid::try_parse(&request.facility_id).map_err(|_| Error::NotFound("facility"))?;
        let capability = Capability::try_from(request.capability).unwrap_or_default();
        if facility_id != caller.organisation_id {
            return Err(Error::NotFound("facility"));
        }
        if !domain::has(caller.kind, capability) {
            return Err(Error::invalid(
                "capability",
                "この機関の種別にはありません",
                "is none this kind of facility has",
            ));
        }
        if request.ready > request.secured {
            return Err(Error::invalid(
                "ready",
                "即応病床数は確保病床数以下です",
                "is at most the number of secured beds",
            ));
        }
        let now = self.clock.now();
        let mut tx = self.base.pool.begin().await?;
        if let Some(answer) = once::claim(&mut tx, &self.base.vault, &key).await? {
            return Ok(answer);
        }
        let declared = Declared {
            facility_id,
            capability,
            prefecture: caller.prefecture,
            secured: request.secured,
            ready: request.ready,
            at: now,
        };
        let version = capacity::declare(&mut tx, &declared).await?;
        let reported = CapacityReported {
            facility_id: facility_id.to_string(),
            prefecture: i32::from(caller.prefecture),
            capability: capability.into(),
            secured: request.secured,
            ready: request.ready,
            version,
        };
        outbox::add(&mut tx, "capacity.reported", &reported).await?;
        let row = capacity::of_facility(&mut tx, facility_id, capability, now).await?;
        let answer = row.map(|row| view::capacity(&self.base.directory, &row)).ok_or(Error::NotFound("facility"))?;
        once::answer(&mut tx, &self.base.vault, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    async fn available(
        &self,
        caller: &Caller,
        request: &ListAvailabilityRequest,
    ) -> Result<ListAvailabilityResponse, Error> {
        let asked = u8::try_from(request.prefecture).unwrap_or(0);
        let prefecture = if asked == 0 { caller.prefecture } else { asked };
        let capability = Capability::try_from(request.capability).unwrap_or_default();
        let mut conn = self.base.pool.acquire().await?;
        let rows = capacity::ranked(&mut conn, prefecture, capability, self.clock.now()).await?;
        let facilities = rows.iter().map(|row| view::capacity(&self.base.directory, row)).collect();
        Ok(ListAvailabilityResponse { facilities })
    }

    async fn ask(&self, caller: Caller, request: RequestAdmissionRequest) -> Result<View, Error> {
        let key = once::key(&self.base.vault, &caller, "RequestAdmission", &request.request_id, &request)?;
        let case_id = Uuid::try_parse(&request.case_id).map_err(|_| Error::NotFound("case"))?;
        let case = self.case(&caller, case_id).await?;
        let now = self.clock.now();
        let relations = cases::relations(&case, &caller, &self.base.directory, now);
        must(&relations)?;
        if case.outcome != i32::from(Outcome::Unspecified) {
            return Err(Error::Precondition(text("既に転帰が登録されています。", "The episode has ended.")));
        }
        let capability = Capability::try_from(request.capability).unwrap_or_default();
        let mut tx = self.base.pool.begin().await?;
        if let Some(answer) = once::claim(&mut tx, &self.base.vault, &key).await? {
            return Ok(answer);
        }
        cases::take(&mut tx, std::slice::from_ref(&case)).await?;
        let prefecture = self.prefecture_of(&case, &caller);
        let admission = Admission::requested(case_id, capability, prefecture, caller.organisation_id, now);
        if !store::insert(&mut tx, &admission).await? {
            return Err(Error::Precondition(text(
                "この方の入院・入所は既に調整中です。",
                "A bed is being looked for already.",
            )));
        }
        let change = Change { tx, admission, case, seen: As::Related(relations), caller, key, now };
        self.finish(change, false).await
    }

    /// Whose coordinators look for the bed: where the person is.
    fn prefecture_of(&self, case: &CaseChanged, caller: &Caller) -> u8 {
        let centre = Uuid::try_parse(&case.responsible_centre_id).ok().and_then(|id| self.base.directory.get(id));
        centre
            .map(|centre| centre.prefecture)
            .or_else(|| u8::try_from(case.prefecture).ok())
            .filter(|prefecture| *prefecture != 0)
            .unwrap_or(caller.prefecture)
    }

    /// Opens a change of an admission.
    async fn begin(
        &self,
        caller: Caller,
        key: data::request::Key,
        admission_id: &str,
        who: Who,
    ) -> Result<Begun, Error> {
        let id = Uuid::try_parse(admission_id).map_err(|_| Error::NotFound("admission"))?;
        let mut conn = self.base.pool.acquire().await?;
        let case_id = store::find(&mut conn, id).await?.map(|admission| admission.case_id);
        drop(conn);
        let case = self.case(&caller, case_id.ok_or(Error::NotFound("admission"))?).await?;
        let mut tx = self.base.pool.begin().await?;
        let admission = store::lock(&mut tx, id).await?.ok_or(Error::NotFound("admission"))?;
        let now = self.clock.now();
        let seen = match who {
            Who::Coordinator => {
                let relations = cases::relations(&case, &caller, &self.base.directory, now);
                if relations.is_empty() {
                    return Err(Error::NotFound("admission"));
                }
                must(&relations)?;
                As::Related(relations)
            }
            // A repeated request finds its answer also after the offer is over.
            Who::Facility if admission.facility_id == Some(caller.organisation_id) => As::Facility(caller.hidden),
            Who::Facility => {
                let answer = once::claim(&mut tx, &self.base.vault, &key).await?.ok_or(Error::NotFound("admission"))?;
                self.audit(&mut tx, &caller, key.rpc, Some(key.request_id), &[admission.case_id]).await?;
                tx.commit().await?;
                return Ok(Begun::Before(Box::new(answer)));
            }
        };
        if let Some(answer) = once::claim(&mut tx, &self.base.vault, &key).await? {
            // Shown again is seen again.
            self.audit(&mut tx, &caller, key.rpc, Some(key.request_id), &[admission.case_id]).await?;
            tx.commit().await?;
            return Ok(Begun::Before(Box::new(answer)));
        }
        Ok(Begun::Now(Box::new(Change { tx, admission, case, seen, caller, key, now })))
    }

    /// Stores and announces a change, and answers with the admission as the caller may see it now.
    async fn finish(&self, change: Change, save: bool) -> Result<View, Error> {
        let Change { mut tx, admission, case, seen, caller, key, now } = change;
        if save {
            store::save(&mut tx, &admission).await?;
        }
        outbox::add(&mut tx, "admission.changed", &changed(&admission, false, now)).await?;
        self.audit(&mut tx, &caller, key.rpc, Some(key.request_id), &[admission.case_id]).await?;
        let refusals = store::refusals(&mut tx, &[admission.id]).await?;
        let view = view::admission(&self.base.vault, &admission, Some(&case), &refusals, &seen, now)?;
        once::answer(&mut tx, &self.base.vault, &key, &view).await?;
        tx.commit().await?;
        Ok(view)
    }

    async fn offer(&self, caller: Caller, request: OfferBedRequest) -> Result<View, Error> {
        let key = once::key(&self.base.vault, &caller, "OfferBed", &request.request_id, &request)?;
        let mut change = match self.begin(caller, key, &request.admission_id, Who::Coordinator).await? {
            Begun::Now(change) => change,
            Begun::Before(view) => return Ok(*view),
        };
        let capability = change.admission.capability;
        let facility = Uuid::try_parse(&request.facility_id)
            .ok()
            .and_then(|id| self.base.directory.get(id))
            .filter(|entry| domain::has(entry.kind, capability))
            .map(|entry| entry.id)
            .ok_or_else(|| {
                Error::invalid("facility_id", "該当する病床・居室のある機関ではありません", "has no beds of this kind")
            })?;
        let (now, id) = (change.now, change.admission.id);
        // The state first: an admission that is not waiting must not take a bed from one that is.
        let mut after = change.admission.clone();
        let until = domain::held_until(request.hold_minutes, now);
        after.offer(facility, Uuid::nil(), 0, until, now).map_err(Error::Precondition)?;
        let held = capacity::hold(&mut change.tx, id, facility, capability, now, until).await.map_err(taken)?;
        let Some(held) = held else {
            return Err(Error::Precondition(text(
                "空いている病床・居室がありません。",
                "No bed of this kind is free there.",
            )));
        };
        (after.stay_id, after.bed_number) = (Some(held.stay_id), Some(held.number));
        change.admission = after;
        self.finish(*change, true).await
    }

    async fn accept(&self, caller: Caller, request: AcceptAdmissionRequest) -> Result<View, Error> {
        let key = once::key(&self.base.vault, &caller, "AcceptAdmission", &request.request_id, &request)?;
        let mut change = match self.begin(caller, key, &request.admission_id, Who::Facility).await? {
            Begun::Now(change) => change,
            Begun::Before(view) => return Ok(*view),
        };
        change.admission.accept(change.now).map_err(Error::Precondition)?;
        if let Some(stay) = change.admission.stay_id {
            store::keep_stay(&mut change.tx, stay).await.map_err(taken)?;
        }
        self.finish(*change, true).await
    }

    async fn decline(&self, caller: Caller, request: DeclineAdmissionRequest) -> Result<View, Error> {
        let key = once::key(&self.base.vault, &caller, "DeclineAdmission", &request.request_id, &request)?;
        let mut change = match self.begin(caller, key, &request.admission_id, Who::Facility).await? {
            Begun::Now(change) => change,
            Begun::Before(view) => return Ok(*view),
        };
        let (stay, now, id) = (change.admission.stay_id, change.now, change.admission.id);
        change.admission.decline(now).map_err(Error::Precondition)?;
        if let Some(stay) = stay {
            store::end_stay(&mut change.tx, stay, now).await?;
        }
        let row = view::reason_row(id, change.caller.organisation_id);
        let reason = self.base.vault.seal(view::REASON, &row, request.reason.as_bytes())?;
        store::insert_refusal(&mut change.tx, id, change.caller.organisation_id, now, &reason).await?;
        self.finish(*change, true).await
    }

    async fn cancel(&self, caller: Caller, request: CancelAdmissionRequest) -> Result<View, Error> {
        let key = once::key(&self.base.vault, &caller, "CancelAdmission", &request.request_id, &request)?;
        let mut change = match self.begin(caller, key, &request.admission_id, Who::Coordinator).await? {
            Begun::Now(change) => change,
            Begun::Before(view) => return Ok(*view),
        };
        let now = change.now;
        change.admission.cancel(now).map_err(Error::Precondition)?;
        if let Some(stay) = change.admission.stay_id {
            store::end_stay(&mut change.tx, stay, now).await?;
        }
        self.finish(*change, true).await
    }

    async fn arrive(&self, caller: Caller, request: ConfirmArrivalRequest) -> Result<View, Error> {
        let key = once::key(&self.base.vault, &caller, "ConfirmArrival", &request.request_id, &request)?;
        let mut change = match self.begin(caller, key, &request.admission_id, Who::Facility).await? {
            Begun::Now(change) => change,
            Begun::Before(view) => return Ok(*view),
        };
        let now = change.now;
        // The bed the patient comes from is free, in the same transaction.
        if let Some(mut origin) = store::lock_present(&mut change.tx, change.admission.case_id).await? {
            let lodging = change.admission.capability == Capability::LodgingRoom;
            let destination = if lodging { Destination::Lodging } else { Destination::Hospital };
            origin.leave(destination, now).map_err(Error::Precondition)?;
            if let Some(stay) = origin.stay_id {
                store::end_stay(&mut change.tx, stay, now).await?;
            }
            store::save(&mut change.tx, &origin).await?;
            outbox::add(&mut change.tx, "admission.changed", &changed(&origin, true, now)).await?;
        }
        change.admission.arrive(now).map_err(Error::Precondition)?;
        self.finish(*change, true).await
    }

    async fn leave(&self, caller: Caller, request: RecordLeaveRequest) -> Result<View, Error> {
        let key = once::key(&self.base.vault, &caller, "RecordLeave", &request.request_id, &request)?;
        let mut change = match self.begin(caller, key, &request.admission_id, Who::Facility).await? {
            Begun::Now(change) => change,
            Begun::Before(view) => return Ok(*view),
        };
        let now = change.now;
        let destination = Destination::try_from(request.destination).unwrap_or_default();
        change.admission.leave(destination, now).map_err(Error::Precondition)?;
        if let Some(stay) = change.admission.stay_id {
            store::end_stay(&mut change.tx, stay, now).await?;
        }
        self.finish(*change, true).await
    }

    /// How the caller stands to an admission. Without a relation it does not exist for the caller.
    fn seen(
        &self,
        caller: &Caller,
        admission: &Admission,
        case: Option<&CaseChanged>,
        now: OffsetDateTime,
    ) -> Option<As> {
        if admission.facility_at(now) == Some(caller.organisation_id) {
            return Some(As::Facility(caller.hidden));
        }
        let relations = case.map(|case| cases::relations(case, caller, &self.base.directory, now)).unwrap_or_default();
        // A facility whose offer ran out keeps no sight by a relation it does not have.
        (!relations.is_empty()).then_some(As::Related(relations))
    }

    async fn get(&self, caller: &Caller, request: &GetAdmissionRequest) -> Result<View, Error> {
        let id = Uuid::try_parse(&request.admission_id).map_err(|_| Error::NotFound("admission"))?;
        let now = self.clock.now();
        let mut conn = self.base.pool.acquire().await?;
        let admission = store::find(&mut conn, id).await?.ok_or(Error::NotFound("admission"))?;
        drop(conn);
        let case = Some(self.case(caller, admission.case_id).await?);
        let seen = self.seen(caller, &admission, case.as_ref(), now).ok_or(Error::NotFound("admission"))?;
        let mut tx = self.base.pool.begin().await?;
        let refusals = store::refusals(&mut tx, &[id]).await?;
        self.audit(&mut tx, caller, "GetAdmission", None, &[admission.case_id]).await?;
        tx.commit().await?;
        view::admission(&self.base.vault, &admission, case.as_ref(), &refusals, &seen, now)
    }

    async fn list(&self, caller: &Caller, request: &ListAdmissionsRequest) -> Result<ListAdmissionsResponse, Error> {
        let whose = match caller.kind {
            Kind::Hospital | Kind::LodgingFacility => Whose::Facility(caller.organisation_id),
            Kind::Prefecture => Whose::Prefecture(caller.prefecture),
            _ => Whose::Requester(caller.organisation_id),
        };
        let after = page::After::parse(&request.page_token)?;
        let size = page::size(request.page_size);
        let now = self.clock.now();
        let mut tx = self.base.pool.begin().await?;
        let rows = store::list(&mut tx, whose, request.state, now, after, size).await?;
        let next = rows.last().filter(|_| i64::try_from(rows.len()).is_ok_and(|n| n == size)).map(|row| {
            let micros = i64::try_from(row.updated_at.unix_timestamp_nanos() / 1_000).unwrap_or(0);
            page::After { micros, id: row.id }.token()
        });
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let mut case_ids: Vec<Uuid> = rows.iter().map(|row| row.case_id).collect();
        case_ids.sort_unstable();
        case_ids.dedup();
        let known: HashMap<Uuid, CaseChanged> = cases::find(&mut tx, &case_ids).await?;
        let refusals = store::refusals(&mut tx, &ids).await?;
        let admissions = rows
            .iter()
            .filter_map(|row| {
                let case = known.get(&row.case_id);
                let seen = self.seen(caller, row, case, now)?;
                Some(view::admission(&self.base.vault, row, case, &refusals, &seen, now))
            })
            .collect::<Result<Vec<_>, _>>()?;
        self.audit(&mut tx, caller, "ListAdmissions", None, &case_ids).await?;
        tx.commit().await?;
        Ok(ListAdmissionsResponse { admissions, next_page_token: next.unwrap_or_default() })
    }
}

/// Relations that look for a bed.
fn must(relations: &[Relation]) -> Result<(), Error> {
    match relations {
        [] => Err(Error::NotFound("case")),
        _ if relations.iter().copied().any(view::looks_for_a_bed) => Ok(()),
        _ => Err(Error::Denied(text(
            "入院調整を行う権限がありません。",
            "Your relation to this person does not allow looking for a bed.",
        ))),
    }
}

/// The event that tells where an admission stands.
fn changed(admission: &Admission, moved_on: bool, now: OffsetDateTime) -> AdmissionChanged {
    AdmissionChanged {
        admission_id: admission.id.to_string(),
        case_id: admission.case_id.to_string(),
        state: admission.state.into(),
        capability: admission.capability.into(),
        facility_id: admission.facility_id.map(|id| id.to_string()).unwrap_or_default(),
        destination: admission.destination.into(),
        at: Some(to_proto(now)),
        moved_on: moved_on && admission.state == AdmissionState::Left,
    }
}

/// The constraint says that somebody else has the bed.
fn taken(error: sqlx::Error) -> Error {
    let constraint = error.as_database_error().and_then(|error| error.constraint());
    if constraint == Some("stay_no_overlap") {
        Error::Precondition(text("その病床・居室は先に確保されました。", "Somebody else has taken that bed."))
    } else {
        Error::Database(error)
    }
}

#[tonic::async_trait]
impl BedsService for Beds {
    async fn report_capacity(&self, request: Request<ReportCapacityRequest>) -> Result<Response<Capacity>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.report(caller, request).await }).await?))
    }

    async fn list_availability(
        &self,
        request: Request<ListAvailabilityRequest>,
    ) -> Result<Response<ListAvailabilityResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        Ok(Response::new(self.available(&caller, &request).await?))
    }

    async fn request_admission(&self, request: Request<RequestAdmissionRequest>) -> Result<Response<View>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.ask(caller, request).await }).await?))
    }

    async fn get_admission(&self, request: Request<GetAdmissionRequest>) -> Result<Response<View>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.get(&caller, &request).await }).await?))
    }

    async fn list_admissions(
        &self,
        request: Request<ListAdmissionsRequest>,
    ) -> Result<Response<ListAdmissionsResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.list(&caller, &request).await }).await?))
    }

    async fn offer_bed(&self, request: Request<OfferBedRequest>) -> Result<Response<View>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.offer(caller, request).await }).await?))
    }

    async fn cancel_admission(&self, request: Request<CancelAdmissionRequest>) -> Result<Response<View>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.cancel(caller, request).await }).await?))
    }

    async fn accept_admission(&self, request: Request<AcceptAdmissionRequest>) -> Result<Response<View>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.accept(caller, request).await }).await?))
    }

    async fn decline_admission(&self, request: Request<DeclineAdmissionRequest>) -> Result<Response<View>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.decline(caller, request).await }).await?))
    }

    async fn confirm_arrival(&self, request: Request<ConfirmArrivalRequest>) -> Result<Response<View>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.arrive(caller, request).await }).await?))
    }

    async fn record_leave(&self, request: Request<RecordLeaveRequest>) -> Result<Response<View>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.leave(caller, request).await }).await?))
    }
}
