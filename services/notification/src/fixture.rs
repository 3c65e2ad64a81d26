//! What the tests of this service begin with: a clinic that files, two centres and the prefecture they lie in.

use access::{Caller, OrganisationId};
use anyhow::Context as _;
use jsonwebtoken::{Algorithm, Validation};
use proto::{
    identity::{OrganisationKind as Kind, Role},
    notification::{
        AcknowledgeNotificationRequest, Diagnosis, FileNotificationRequest, Findings, Form, ForwardNotificationRequest,
        GetNotificationRequest, Notification, Purpose, Receipt, ReceiptKeys, Subject,
    },
    operations::AuditRow,
    registry::{DiagnosisClass, Sex, Specimen, TestMethod, TestResult},
};
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
        let notifications = Notifications::new(&world.base);
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
                sampled_date: "2020-05-19".to_owned(),
            }],
            ..Findings::default()
        }),
        ..Form::default()
    }
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

pub(crate) fn forwarding(receipt: &Receipt, to: OrganisationId) -> ForwardNotificationRequest {
    ForwardNotificationRequest {
        request_id: request_id(),
        notification_id: receipt.notification_id.clone(),
        centre_id: to.to_string(),
        etag: String::new(),
    }
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
