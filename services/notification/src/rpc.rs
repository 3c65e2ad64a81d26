//! The RPCs of notification.

use std::sync::Arc;

use access::{
    Caller, Door, Relations,
    audit::{self, Act, Actor},
    classes,
    directory::{Days, Entry},
};
use chassis::{Base, Error, behalf, once, page};
use data::outbox;
use japan::municipality::Municipality;
use prost::Message as _;
use proto::{
    identity::OrganisationKind,
    notification::{
        AcknowledgeNotificationRequest, FileNotificationRequest, Form, ForwardNotificationRequest,
        GetNotificationRequest, GetReceiptKeysRequest, GetReceiptKeysResponse, ListInboxRequest, ListInboxResponse,
        Notification, NotificationAcknowledged, NotificationFiled, NotificationForwarded, NotificationState, Receipt,
        WatchInboxRequest, notification_service_server::NotificationService,
    },
    registry::Relation,
};
use runtime::{Clock, clock, problem::text};
use sqlx::PgConnection;
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use uuid::Uuid;
use vault::Place;

use crate::{
    domain::{self, NotificationId},
    receipt::{self, Content},
    store::{self, New, Row},
    watch as inbox_watch,
};

/// The form as filed.
pub(crate) const FORM: Place = Place { table: "notification", column: "form_sealed" };

/// The notification service.
#[derive(Clone)]
pub(crate) struct Notifications {
    pub base: Base,
    pub clock: Clock,
    /// Moves with every filing and forward of this process, to wake the watches.
    pub arrivals: Arc<watch::Sender<u64>>,
}

impl Notifications {
    pub(crate) fn new(base: &Base) -> Self {
        Self { base: base.clone(), clock: Clock, arrivals: Arc::new(watch::channel(0).0) }
    }

    async fn file(&self, caller: Caller, request: FileNotificationRequest) -> Result<Receipt, Error> {
        let key = once::key(&self.base.vault, &caller, "FileNotification", &request.request_id, &request)?;
        let case_id = match request.case_id.as_str() {
            "" => None,
            text => Some(
                Uuid::try_parse(text)
                    .map_err(|_| Error::invalid("case_id", "UUID を指定してください", "must be a UUID"))?,
            ),
        };
        let checked =
            domain::check(request.form.unwrap_or_default(), self.clock.today_in_japan()).map_err(Error::Invalid)?;
        let on_behalf_of = behalf::of(&self.base.directory, &caller, &request.on_behalf_of_id)?;
        // Whoever types it: the reporter is who diagnosed.
        let reporter_id = on_behalf_of.unwrap_or(caller.organisation_id);
        let centre = self.receiving_centre(&caller, &checked.form);
        let id = NotificationId::new();
        let received_at = self.clock.now();
        let form = checked.form.encode_to_vec();
        let content = Content::of(&form)?;
        let number = receipt::number(centre.prefecture, received_at)?;
        let receipt = receipt::write(&self.base.signer, id, &number, &centre, received_at, &content, &checked.missing)?;
        let form_sealed = self.base.vault.seal(FORM, id.uuid().as_bytes(), &form)?;
        let groups = classes::groups_shown(&Relations::new(vec![Relation::Reporter], &caller));

        let mut tx = self.base.pool.begin().await?;
        if let Some(answer) = once::claim_with(&mut tx, &self.base.vault, &key, &receipt).await? {
            return Ok(answer);
        }
        let new = New {
            id: id.uuid(),
            number: &number,
            form_sealed: &form_sealed,
            form_version: checked.version,
            missing: &checked.missing,
            reporter_id,
            receiving_centre: centre.id,
            prefecture: centre.prefecture,
            case_id,
            salt: &content.salt,
            content_hash: &content.hash,
            received_at,
        };
        store::insert(&mut tx, &new).await?;
        let act = Act {
            actor: Actor::Caller(&caller),
            rpc: key.rpc,
            groups: &groups,
            request_id: Some(key.request_id),
            on_behalf_of,
        };
        audit::record(&mut tx, &act, &[id.uuid()]).await?;
        let filed = NotificationFiled {
            notification_id: id.to_string(),
            reporter_id: reporter_id.to_string(),
            receiving_centre_id: centre.id.to_string(),
            case_id: request.case_id,
        };
        outbox::add(&mut tx, "notification.filed", &filed).await?;
        tx.commit().await?;
        self.arrivals.send_modify(|n| *n = n.wrapping_add(1));
        Ok(receipt)
    }

    /// Whose inbox a form reaches. There is always one: a filing is never refused for want of an address.
    fn receiving_centre(&self, caller: &Caller, form: &Form) -> Arc<Entry> {
        let directory = &self.base.directory;
        let code = form.subject.as_ref().map(|s| s.whereabouts_code.as_str()).unwrap_or_default();
        let place = Municipality::parse(code).ok();
        let prefecture = place.map_or(caller.prefecture, |m| m.prefecture());
        let now = self.clock.now();
        let of_prefecture = |p: u8| directory.prefecture(p).and_then(|id| directory.get(id));
        directory
            .centre_for(place.as_ref().map(Municipality::as_str), prefecture, now)
            .or_else(|| of_prefecture(prefecture))
            .or_else(|| directory.centre_for(None, caller.prefecture, now))
            .or_else(|| of_prefecture(caller.prefecture))
            .or_else(|| directory.get(caller.organisation_id))
            .unwrap_or_else(|| {
                Arc::new(Entry {
                    id: caller.organisation_id,
                    kind: caller.kind,
                    name: String::new(),
                    prefecture: caller.prefecture,
                    rights: proto::identity::Rights::None,
                    parent_id: None,
                    exists: Days::default(),
                    opens_on: None,
                    suspended: false,
                })
            })
    }

    /// The caller's relations to a notification. Without one it does not exist for the caller.
    async fn relations(&self, conn: &mut PgConnection, caller: &Caller, row: &Row) -> Result<Relations, Error> {
        let mut relations = Vec::new();
        if row.receiving_centre == caller.organisation_id {
            relations.push(Relation::ReceivingCentre);
        }
        if row.reporter_id == caller.organisation_id {
            relations.push(Relation::Reporter);
        }
        if caller.kind == OrganisationKind::Prefecture && i16::from(caller.prefecture) == row.prefecture {
            relations.push(Relation::Prefecture);
        }
        if relations.is_empty() && store::was_there(conn, row.notification_id, caller.organisation_id).await? {
            relations.push(Relation::FormerCentre);
        }
        if relations.is_empty() { Err(Error::NotFound("notification")) } else { Ok(Relations::new(relations, caller)) }
    }

    /// A notification as its relations show it.
    pub(crate) fn view(&self, row: &Row, relations: &Relations) -> Result<Notification, Error> {
        let plain = self.base.vault.open(FORM, row.notification_id.as_bytes(), &row.form_sealed)?;
        let form = Form::decode(plain.as_slice()).map_err(|error| Error::Internal(error.into()))?;
        let name = |id: Uuid| self.base.directory.get(id).map(|entry| entry.name.clone()).unwrap_or_default();
        let view = Notification {
            notification_id: row.notification_id.to_string(),
            number: row.number.clone(),
            etag: row.revision.to_string(),
            state: i32::from(row.state),
            form: Some(form),
            reporter_id: row.reporter_id.to_string(),
            reporter_name: name(row.reporter_id),
            receiving_centre_id: row.receiving_centre.to_string(),
            receiving_centre_name: name(row.receiving_centre),
            received_at: Some(clock::to_proto(row.received_at)),
            acknowledged_at: row.acknowledged_at.map(clock::to_proto),
            case_id: row.case_id.map(|id| id.to_string()).unwrap_or_default(),
            missing_items: row.missing.clone(),
        };
        classes::mask(&view, "hersys.notification.v1.Notification", relations).map_err(Error::Internal)
    }

    async fn get(&self, caller: &Caller, request: &GetNotificationRequest) -> Result<Notification, Error> {
        let id = parse(&request.notification_id)?;
        let mut tx = self.base.pool.begin().await?;
        let row = store::find(&mut tx, &[id]).await?.pop().ok_or(Error::NotFound("notification"))?;
        let relations = self.relations(&mut tx, caller, &row).await?;
        self.audit_read(&mut tx, caller, "GetNotification", &relations, &[id]).await?;
        tx.commit().await?;
        self.view(&row, &relations)
    }

    async fn list(&self, caller: &Caller, request: &ListInboxRequest) -> Result<ListInboxResponse, Error> {
        let after = page::After::parse(&request.page_token)?;
        let size = page::size(request.page_size);
        let mut tx = self.base.pool.begin().await?;
        let rows = store::inbox(&mut tx, caller.organisation_id, request.state, after, size).await?;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.notification_id).collect();
        let relations = Relations::new(vec![Relation::ReceivingCentre], caller);
        self.audit_read(&mut tx, caller, "ListInbox", &relations, &ids).await?;
        tx.commit().await?;
        let full = i64::try_from(rows.len()).is_ok_and(|n| n == size);
        let next_page_token = rows.last().filter(|_| full).map(|row| {
            let micros = i64::try_from(row.arrived_at.unix_timestamp_nanos() / 1_000).unwrap_or(0);
            page::After { micros, id: row.notification_id }.token()
        });
        let notifications = rows.iter().map(|row| self.view(row, &relations)).collect::<Result<_, _>>()?;
        Ok(ListInboxResponse { notifications, next_page_token: next_page_token.unwrap_or_default() })
    }

    /// One audit row per notification shown, in the transaction that reads it.
    pub(crate) async fn audit_read(
        &self,
        conn: &mut PgConnection,
        caller: &Caller,
        rpc: &'static str,
        relations: &Relations,
        ids: &[Uuid],
    ) -> Result<(), Error> {
        let groups = classes::groups_shown(relations);
        let act = Act { actor: Actor::Caller(caller), rpc, groups: &groups, request_id: None, on_behalf_of: None };
        Ok(audit::record(conn, &act, ids).await?)
    }

    async fn acknowledge(
        &self,
        caller: Caller,
        request: AcknowledgeNotificationRequest,
    ) -> Result<Notification, Error> {
        let key = once::key(&self.base.vault, &caller, "AcknowledgeNotification", &request.request_id, &request)?;
        let mut tx = self.base.pool.begin().await?;
        if let Some(answer) = once::claim(&mut tx, &self.base.vault, &key).await? {
            // A relation may have ended since, and what is shown again is read again.
            let id = parse(&request.notification_id)?;
            let row = store::find(&mut tx, &[id]).await?.pop().ok_or(Error::NotFound("notification"))?;
            let relations = self.relations(&mut tx, &caller, &row).await?;
            self.audit_read(&mut tx, &caller, key.rpc, &relations, &[id]).await?;
            tx.commit().await?;
            return Ok(answer);
        }
        let row = self.lock_in_inbox(&mut tx, &caller, &request.notification_id, &request.etag).await?;
        if row.state != i16::try_from(i32::from(NotificationState::Acknowledged)).unwrap_or(0) {
            store::acknowledge(&mut tx, row.notification_id, self.clock.now()).await?;
            let event = NotificationAcknowledged {
                notification_id: row.notification_id.to_string(),
                centre_id: caller.organisation_id.to_string(),
            };
            outbox::add(&mut tx, "notification.acknowledged", &event).await?;
        }
        self.answer_change(tx, caller, key, row.notification_id, Relation::ReceivingCentre).await
    }

    async fn forward(&self, caller: Caller, request: ForwardNotificationRequest) -> Result<Notification, Error> {
        let key = once::key(&self.base.vault, &caller, "ForwardNotification", &request.request_id, &request)?;
        let to = Uuid::try_parse(&request.centre_id).ok().and_then(|id| self.base.directory.get(id));
        let to = to
            .filter(|entry| matches!(entry.kind, OrganisationKind::HealthCentre | OrganisationKind::City))
            .ok_or_else(|| Error::invalid("centre_id", "転送先の保健所が見つかりません", "is no health centre"))?;
        if to.id == caller.organisation_id {
            return Err(Error::invalid("centre_id", "自分の保健所には転送できません", "is your own centre"));
        }
        let mut tx = self.base.pool.begin().await?;
        if let Some(answer) = once::claim(&mut tx, &self.base.vault, &key).await? {
            // A relation may have ended since, and what is shown again is read again.
            let id = parse(&request.notification_id)?;
            let row = store::find(&mut tx, &[id]).await?.pop().ok_or(Error::NotFound("notification"))?;
            let relations = self.relations(&mut tx, &caller, &row).await?;
            self.audit_read(&mut tx, &caller, key.rpc, &relations, &[id]).await?;
            tx.commit().await?;
            return Ok(answer);
        }
        let row = self.lock_in_inbox(&mut tx, &caller, &request.notification_id, &request.etag).await?;
        store::forward(&mut tx, row.notification_id, caller.organisation_id, to.id, to.prefecture).await?;
        let event = NotificationForwarded {
            notification_id: row.notification_id.to_string(),
            from_centre_id: caller.organisation_id.to_string(),
            to_centre_id: to.id.to_string(),
        };
        outbox::add(&mut tx, "notification.forwarded", &event).await?;
        let answer = self.answer_change(tx, caller, key, row.notification_id, Relation::FormerCentre).await?;
        self.arrivals.send_modify(|n| *n = n.wrapping_add(1));
        Ok(answer)
    }

    /// A notification in the caller's inbox, locked, in the revision the caller has seen.
    async fn lock_in_inbox(
        &self,
        conn: &mut PgConnection,
        caller: &Caller,
        id: &str,
        etag: &str,
    ) -> Result<Row, Error> {
        let row = store::lock(conn, parse(id)?).await?.ok_or(Error::NotFound("notification"))?;
        if row.receiving_centre != caller.organisation_id {
            // Whoever sees it otherwise is told so; for anybody else it does not exist.
            self.relations(conn, caller, &row).await?;
            return Err(Error::Denied(text(
                "この届出は、あなたの保健所の受信箱にありません。",
                "This notification is not in your centre's inbox.",
            )));
        }
        if !etag.is_empty() && etag != row.revision.to_string() {
            return Err(Error::StaleEtag);
        }
        Ok(row)
    }

    async fn answer_change(
        &self,
        mut tx: sqlx::Transaction<'_, sqlx::Postgres>,
        caller: Caller,
        key: data::request::Key,
        id: Uuid,
        relation: Relation,
    ) -> Result<Notification, Error> {
        let relations = Relations::new(vec![relation], &caller);
        let groups = classes::groups_shown(&relations);
        let act = Act {
            actor: Actor::Caller(&caller),
            rpc: key.rpc,
            groups: &groups,
            request_id: Some(key.request_id),
            on_behalf_of: None,
        };
        audit::record(&mut tx, &act, &[id]).await?;
        let row = store::find(&mut tx, &[id]).await?.pop().ok_or(Error::NotFound("notification"))?;
        let answer = self.view(&row, &relations)?;
        once::answer(&mut tx, &self.base.vault, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }
}

#[tonic::async_trait]
impl NotificationService for Notifications {
    async fn file_notification(&self, request: Request<FileNotificationRequest>) -> Result<Response<Receipt>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.file(caller, request).await }).await?))
    }

    async fn get_notification(
        &self,
        request: Request<GetNotificationRequest>,
    ) -> Result<Response<Notification>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.get(&caller, &request).await }).await?))
    }

    async fn list_inbox(&self, request: Request<ListInboxRequest>) -> Result<Response<ListInboxResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.list(&caller, &request).await }).await?))
    }

    type WatchInboxStream = inbox_watch::Stream;

    async fn watch_inbox(
        &self,
        request: Request<WatchInboxRequest>,
    ) -> Result<Response<Self::WatchInboxStream>, Status> {
        let (caller, _) = Door::enter(request)?;
        Ok(Response::new(inbox_watch::start(self, caller)))
    }

    async fn acknowledge_notification(
        &self,
        request: Request<AcknowledgeNotificationRequest>,
    ) -> Result<Response<Notification>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.acknowledge(caller, request).await }).await?))
    }

    async fn forward_notification(
        &self,
        request: Request<ForwardNotificationRequest>,
    ) -> Result<Response<Notification>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.forward(caller, request).await }).await?))
    }

    async fn get_receipt_keys(
        &self,
        _: Request<GetReceiptKeysRequest>,
    ) -> Result<Response<GetReceiptKeysResponse>, Status> {
        Ok(Response::new(GetReceiptKeysResponse { jwks_json: self.base.signer.jwks() }))
    }
}

fn parse(id: &str) -> Result<Uuid, Error> {
    Uuid::try_parse(id).map_err(|_| Error::NotFound("notification"))
}
