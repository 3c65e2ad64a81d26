//! What the tests of this service begin with: a clinic that files, two centres and the prefecture they lie in.

use access::{Caller, CaseId, OrganisationId, UserId};
use anyhow::Context as _;
use jsonwebtoken::{Algorithm, Validation};
use proto::{
    identity::{OrganisationKind as Kind, Role},
    notification::{
        AcknowledgeNotificationRequest, AmendNotificationRequest, AssignNotificationRequest, Diagnosis,
        FileNotificationRequest, Findings, Form, ForwardNotificationRequest, GetNotificationRequest, Notification,
        Purpose, Receipt, ReceiptKeys, ReturnNotificationRequest, Subject, WithdrawNotificationRequest,
    },
    operations::AuditRow,
    registry::{CaseChanged, Channel, DiagnosisClass, Entry, Grant, Relation, Sex, Specimen, TestMethod, TestResult},
};
use runtime::clock::to_proto;
use testing::{Body, World};
use tonic::Status;
use uuid::Uuid;

use crate::{MIGRATIONS, filing, inbox, service::Notifications};

/// Osaka.
pub(crate) const PREFECTURE: u8 = 27;

/// A prefecture with a clinic and two centres.
pub(crate) struct Scene {
    pub world: World,
    pub notifications: Notifications,
    pub clinic: Body,
    /// The centre of Osaka, where the people of [`form`] are.
    pub centre: Body,
    /// The centre of Sakai.
    pub neighbour: Body,
    pub prefecture: Body,
    /// A physician of the clinic.
    pub doctor: Caller,
    /// A public-health nurse of Osaka's centre.
    pub nurse: Caller,
    /// A public-health nurse of Sakai's centre.
    pub colleague: Caller,
    /// A coordinator of the prefecture.
    pub coordinator: Caller,
}

impl Scene {
    pub(crate) async fn new() -> anyhow::Result<Self> {
        let world = World::new("notification", MIGRATIONS).await?;
        let notifications = Notifications::new(&world.base)?;
        let clinic = world.body(Kind::Clinic, PREFECTURE).await?;
        let responsible_for = |code: &str| {
            let code = code.to_owned();
            world.organisation(Kind::HealthCentre, PREFECTURE, |centre| centre.jurisdiction = vec![code])
        };
        let centre = responsible_for("271004").await?;
        let neighbour = responsible_for("271403").await?;
        let prefecture = world.body(Kind::Prefecture, PREFECTURE).await?;
        Ok(Self {
            doctor: clinic.staff(Role::Physician),
            nurse: centre.staff(Role::Nurse),
            colleague: neighbour.staff(Role::Nurse),
            coordinator: prefecture.staff(Role::Coordinator),
            world,
            notifications,
            clinic,
            centre,
            neighbour,
            prefecture,
        })
    }

    /// The physician files; the notification reaches the centre of Osaka.
    pub(crate) async fn file(&self) -> Result<Receipt, Status> {
        self.file_as(&self.doctor, filing()).await
    }

    pub(crate) async fn file_as(&self, caller: &Caller, request: FileNotificationRequest) -> Result<Receipt, Status> {
        self.world.ask(&self.notifications, caller, request, filing::file).await
    }

    pub(crate) async fn get(&self, caller: &Caller, receipt: &Receipt) -> Result<Notification, Status> {
        let request = GetNotificationRequest { notification_id: receipt.notification_id.clone() };
        self.world.ask(&self.notifications, caller, request, filing::get).await
    }

    pub(crate) async fn acknowledge(
        &self,
        caller: &Caller,
        request: AcknowledgeNotificationRequest,
    ) -> Result<Notification, Status> {
        self.world.ask(&self.notifications, caller, request, inbox::acknowledge).await
    }

    pub(crate) async fn forward(
        &self,
        caller: &Caller,
        request: ForwardNotificationRequest,
    ) -> Result<Notification, Status> {
        self.world.ask(&self.notifications, caller, request, inbox::forward).await
    }

    /// The physician amends.
    pub(crate) async fn amend(&self, receipt: &Receipt, form: Form) -> Result<Receipt, Status> {
        self.amend_as(&self.doctor, amending(receipt, form)).await
    }

    pub(crate) async fn amend_as(&self, caller: &Caller, request: AmendNotificationRequest) -> Result<Receipt, Status> {
        self.world.ask(&self.notifications, caller, request, filing::amend).await
    }

    /// The registry tells to which case a notification belongs, and who has which relation to it.
    pub(crate) async fn belongs(
        &self,
        receipt: &Receipt,
        case: CaseId,
        grants: &[(Body, Relation)],
        version: i64,
    ) -> anyhow::Result<()> {
        let grant = |(body, relation): &(Body, Relation)| Grant {
            organisation_id: body.id.to_string(),
            relation: (*relation).into(),
            from_time: Some(to_proto(self.world.clock.now())),
            ..Grant::default()
        };
        let changed = CaseChanged {
            case_id: case.to_string(),
            version,
            notification_ids: vec![receipt.notification_id.clone()],
            grants: grants.iter().map(grant).collect(),
            ..CaseChanged::default()
        };
        self.hears(&changed).await
    }

    /// The registry tells of a case.
    pub(crate) async fn hears(&self, changed: &CaseChanged) -> anyhow::Result<()> {
        let hears = filing::Hears(self.world.base.clone());
        self.world.hear(&hears, changed).await.map_err(|failure| anyhow::anyhow!("{failure:?}"))
    }

    /// What the audit trail says of a notification, oldest first.
    pub(crate) async fn trail(&self, receipt: &Receipt) -> anyhow::Result<Vec<AuditRow>> {
        let search = audit::store::Search {
            record: Some(Uuid::try_parse(&receipt.notification_id)?),
            user: None,
            from: None,
            until: None,
            before: i64::MAX,
            limit: 100,
        };
        let mut rows = audit::store::search(&mut *self.world.base.pool.acquire().await?, search).await?;
        rows.reverse();
        Ok(rows)
    }
}

/// A form with the basic items, the person in Osaka.
pub(crate) fn form() -> Form {
    Form {
        purpose: Purpose::Notification.into(),
        report_date: "令和2年5月20日".to_owned(),
        diagnosis_class: DiagnosisClass::Confirmed.into(),
        subject: Some(Subject {
            name_kanji: "髙﨑 𠮷男".to_owned(),
            name_kana: "ﾀｶｻｷ ﾖｼｵ".to_owned(),
            sex: Sex::Male.into(),
            birth_date: "S55.1.31".to_owned(),
            whereabouts: "大阪市北区".to_owned(),
            whereabouts_code: "271004".to_owned(),
            ..Subject::default()
        }),
        findings: Some(Findings {
            diagnoses: vec![Diagnosis {
                method: TestMethod::NucleicAcid.into(),
                specimen: Specimen::Saliva.into(),
                result: TestResult::Positive.into(),
                sampled_date: "2020-05-12".to_owned(),
                specimen_other: String::new(),
            }],
            ..Findings::default()
        }),
        ..Form::default()
    }
}

/// [`form`] with an address.
pub(crate) fn with_address() -> Form {
    let mut form = form();
    form.subject.get_or_insert_default().address = "大阪市北区".to_owned();
    form
}

/// A new request to file [`form`].
pub(crate) fn filing() -> FileNotificationRequest {
    FileNotificationRequest { request_id: request_id(), form: Some(form()), ..FileNotificationRequest::default() }
}

pub(crate) fn acknowledging(receipt: &Receipt) -> AcknowledgeNotificationRequest {
    AcknowledgeNotificationRequest {
        request_id: request_id(),
        notification_id: receipt.notification_id.clone(),
        etag: String::new(),
    }
}

/// To a user, or to nobody.
pub(crate) fn assigning(receipt: &Receipt, to: Option<UserId>) -> AssignNotificationRequest {
    AssignNotificationRequest {
        request_id: request_id(),
        notification_id: receipt.notification_id.clone(),
        etag: String::new(),
        user_id: data::text(to),
    }
}

/// Nothing is missing any more, whatever the form asks for.
pub(crate) async fn fill_in(scene: &Scene, receipt: &Receipt) -> anyhow::Result<()> {
    let pool = &scene.world.base.pool;
    sqlx::query("update notification set missing = '{}' where notification_id = $1")
        .bind(Uuid::try_parse(&receipt.notification_id)?)
        .execute(pool)
        .await?;
    Ok(())
}

pub(crate) fn amending(receipt: &Receipt, form: Form) -> AmendNotificationRequest {
    AmendNotificationRequest {
        request_id: request_id(),
        notification_id: receipt.notification_id.clone(),
        etag: String::new(),
        form: Some(form),
        entry: None,
        confirmed_warnings: Vec::new(),
    }
}

/// What the reporter tells by telephone.
pub(crate) fn by_telephone(reporter: Body) -> Entry {
    Entry { channel: Channel::Telephone.into(), ..entry(reporter.id.to_string()) }
}

pub(crate) fn withdrawing(receipt: &Receipt) -> WithdrawNotificationRequest {
    WithdrawNotificationRequest {
        request_id: request_id(),
        notification_id: receipt.notification_id.clone(),
        etag: String::new(),
        reason: "誤って届け出た".to_owned(),
        entry: None,
    }
}

pub(crate) fn returning(receipt: &Receipt) -> ReturnNotificationRequest {
    ReturnNotificationRequest {
        request_id: request_id(),
        notification_id: receipt.notification_id.clone(),
        etag: String::new(),
        reason: "住所を確認してください".to_owned(),
    }
}

pub(crate) fn forwarding(receipt: &Receipt, to: OrganisationId) -> ForwardNotificationRequest {
    ForwardNotificationRequest {
        request_id: request_id(),
        notification_id: receipt.notification_id.clone(),
        centre_id: to.to_string(),
        etag: String::new(),
    }
}

/// What an institution tells its centre.
pub(crate) fn entry(on_behalf_of_id: String) -> Entry {
    Entry { on_behalf_of_id, ..Entry::default() }
}

/// A new request id.
pub(crate) fn request_id() -> String {
    Uuid::now_v7().to_string()
}

/// What the signature of a receipt says, where one of the keys made it.
pub(crate) fn proved(receipt: &Receipt, keys: &ReceiptKeys) -> anyhow::Result<serde_json::Value> {
    let keys = access::token::keys_of(&keys.jwks_json)?;
    let kid = jsonwebtoken::decode_header(&receipt.signature)?.kid.context("no kid")?;
    let mut rules = Validation::new(Algorithm::ES256);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    let key = keys.get(&kid).context("no such key")?;
    Ok(jsonwebtoken::decode(&receipt.signature, key, &rules)?.claims)
}
