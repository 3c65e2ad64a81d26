//! What the tests of this service begin with: a ministry and a prefecture with a centre and a hospital, and people in them.

use access::{CaseId, UserId, token::Claims};
use prost::Message as _;
use proto::{
    identity::{
        AccessRevoked, DisableUserRequest, EnrolRequest, EnrolResponse, IssueUserRequest, IssueUserResponse,
        ListMessagesRequest, Message, Organisation, OrganisationKind as Kind, RefreshTokensRequest, ResponsiblePerson,
        Rights, Role, SignInPatientRequest, SignInPatientResponse, SignInRequest, SignInResponse, Tokens, User,
        VerifyOtpRequest, access_revoked::Subject,
    },
    registry::{CaseChanged, PatientCredential},
};
use testing::{Body, World};
use time::Duration;
use tonic::Status;
use totp_rs::Totp;
use uuid::Uuid;

use crate::{MIGRATIONS, message, organisation, patient, service::Identity, session, settings::Post, sign_in, user};

/// Osaka.
pub(crate) const PREFECTURE: u8 = 27;
/// What people choose at their first sign-in.
pub(crate) const PASSWORD: &str = "correct horse battery";
/// An access ID, as it is printed.
pub(crate) const ACCESS_ID: &str = "00000-00000-0";
/// The birth date that goes with it.
pub(crate) const BIRTH_DATE: &str = "1980-02-29";

pub(crate) struct Scene {
    pub world: World,
    pub identity: Identity,
    pub ministry: Body,
    /// Of Osaka.
    pub prefecture: Body,
    /// Under the prefecture.
    pub centre: Body,
    /// Under the centre.
    pub hospital: Body,
    /// An administrator of the ministry, whose scope is everything.
    pub minister: access::Caller,
}

/// Somebody at work with both factors.
pub(crate) struct Person {
    pub login: String,
    pub recovery_codes: Vec<String>,
    /// Of the first session.
    pub tokens: Tokens,
    /// As the token says.
    pub caller: access::Caller,
    authenticator: Totp,
    role: Role,
    body: Body,
}

impl Scene {
    pub(crate) async fn new() -> anyhow::Result<Self> {
        Self::with_post(post()).await
    }

    pub(crate) async fn with_post(post: Post) -> anyhow::Result<Self> {
        let world = World::new("identity", MIGRATIONS).await?;
        let identity = Identity::new(&world.base, post)?;
        let ministry = organisation(&world, &identity, Kind::Ministry, 0, None).await?;
        let prefecture = organisation(&world, &identity, Kind::Prefecture, PREFECTURE, Some(ministry)).await?;
        let centre = organisation(&world, &identity, Kind::HealthCentre, PREFECTURE, Some(prefecture)).await?;
        let hospital = organisation(&world, &identity, Kind::Hospital, PREFECTURE, Some(centre)).await?;
        let minister = ministry.staff(Role::Administrator);
        Ok(Self { world, identity, ministry, prefecture, centre, hospital, minister })
    }

    /// Another organisation.
    pub(crate) async fn organisation(&self, kind: Kind, prefecture: u8, parent: Body) -> anyhow::Result<Body> {
        organisation(&self.world, &self.identity, kind, prefecture, Some(parent)).await
    }

    /// The ministry issues an ID.
    pub(crate) async fn issue(&self, body: Body, login: &str, role: Role) -> Result<IssueUserResponse, Status> {
        let request = IssueUserRequest {
            request_id: request_id(),
            organisation_id: body.id.to_string(),
            login: login.to_owned(),
            role: role.into(),
            holder_name: "髙﨑 花子".to_owned(),
            ..IssueUserRequest::default()
        };
        self.world.ask(&self.identity, &self.minister, request, user::issue).await
    }

    /// First factor, on a device that is not known.
    pub(crate) async fn sign_in(&self, login: &str, password: &str) -> Result<SignInResponse, Status> {
        self.sign_in_on("", login, password).await
    }

    /// First factor.
    pub(crate) async fn sign_in_on(
        &self,
        device_token: &str,
        login: &str,
        password: &str,
    ) -> Result<SignInResponse, Status> {
        let request = SignInRequest {
            login: login.to_owned(),
            password: password.to_owned(),
            device_token: device_token.to_owned(),
        };
        self.world.ask_public(&self.identity, request, sign_in::start).await
    }

    /// Chooses a password.
    pub(crate) async fn enrol(&self, challenge: &str, new_password: &str) -> Result<EnrolResponse, Status> {
        let request = EnrolRequest { challenge: challenge.to_owned(), new_password: new_password.to_owned() };
        self.world.ask_public(&self.identity, request, sign_in::enrol).await
    }

    /// Second factor.
    pub(crate) async fn verify_otp(&self, challenge: &str, code: &str) -> Result<Tokens, Status> {
        let request = VerifyOtpRequest { challenge: challenge.to_owned(), code: code.to_owned() };
        self.world.ask_public(&self.identity, request, sign_in::verify_otp).await
    }

    /// Somebody who was issued an ID and has signed in for the first time. The next one-time code is good at once.
    pub(crate) async fn person(&self, body: Body, login: &str, role: Role) -> anyhow::Result<Person> {
        let issued = self.issue(body, login, role).await?;
        let challenge = self.sign_in(login, &issued.initial_secret).await?.challenge;
        let enrolled = self.enrol(&challenge, PASSWORD).await?;
        let authenticator = Totp::from_url(&enrolled.otpauth_url)?;
        let tokens = self.verify_otp(&challenge, &self.code_of(&authenticator)).await?;
        self.world.clock.advance(Duration::seconds(30));
        let caller = caller_of(body, role, &tokens);
        let login = login.to_owned();
        Ok(Person { login, recovery_codes: enrolled.recovery_codes, tokens, caller, authenticator, role, body })
    }

    /// The administrator of the ministry disables an ID.
    pub(crate) async fn disable(&self, user_id: UserId) -> Result<User, Status> {
        let request = DisableUserRequest {
            request_id: request_id(),
            user_id: user_id.to_string(),
            ..DisableUserRequest::default()
        };
        self.world.ask(&self.identity, &self.minister, request, user::disable).await
    }

    /// New tokens for a refresh token.
    pub(crate) async fn refresh(&self, tokens: &Tokens) -> Result<Tokens, Status> {
        let request = RefreshTokensRequest { refresh_token: tokens.refresh_token.clone() };
        self.world.ask_public(&self.identity, request, session::refresh).await
    }

    /// The subjects whose tokens were refused so far.
    pub(crate) async fn revoked(&self) -> anyhow::Result<Vec<Subject>> {
        let revoked: Vec<AccessRevoked> = self.world.announced().await?;
        Ok(revoked.into_iter().filter_map(|revoked| revoked.subject).collect())
    }

    /// Another session of a person, with both factors. The next one-time code is good at once.
    pub(crate) async fn session(&self, person: &Person) -> anyhow::Result<(Tokens, access::Caller)> {
        let challenge = self.sign_in(&person.login, PASSWORD).await?.challenge;
        let tokens = self.verify_otp(&challenge, &self.code(person)).await?;
        self.world.clock.advance(Duration::seconds(30));
        let caller = caller_of(person.body, person.role, &tokens);
        Ok((tokens, caller))
    }

    /// The one-time code of the moment.
    pub(crate) fn code(&self, person: &Person) -> String {
        self.code_of(&person.authenticator)
    }

    pub(crate) fn code_of(&self, authenticator: &Totp) -> String {
        authenticator.generate(u64::try_from(self.world.clock.now().unix_timestamp()).unwrap()).to_string()
    }

    /// Lets identity hear that a case was registered whose patient has this credential.
    pub(crate) async fn registered(&self, credential: &PatientCredential) -> anyhow::Result<()> {
        let changed = CaseChanged { case_id: credential.case_id.clone(), version: 1, ..CaseChanged::default() };
        let (hears, event) = (patient::Hears::new(&self.identity), self.world.event(&changed)?);
        Ok(self.world.hear_with(&hears, &[event], &vec![credential.clone()]).await?)
    }

    /// A patient who can sign in with [`ACCESS_ID`] and [`BIRTH_DATE`].
    pub(crate) async fn patient(&self) -> anyhow::Result<CaseId> {
        let case = CaseId::new();
        self.registered(&credential(case)).await?;
        Ok(case)
    }

    /// What waits in the local outbox, newest first.
    pub(crate) async fn messages(&self) -> Result<Vec<Message>, Status> {
        let operator = self.ministry.staff(Role::Operator);
        let listed = self.world.ask(&self.identity, &operator, ListMessagesRequest::default(), message::list).await?;
        Ok(listed.messages)
    }

    /// The code that was sent last.
    pub(crate) async fn sent_code(&self) -> anyhow::Result<String> {
        let newest = self.messages().await?.remove(0);
        let (_, code) = newest.text.split_once(": ").unwrap();
        Ok(code[..6].to_owned())
    }

    /// First factor of a patient.
    pub(crate) async fn sign_in_patient(
        &self,
        access_id: &str,
        birth_date: &str,
    ) -> Result<SignInPatientResponse, Status> {
        let request = SignInPatientRequest { access_id: access_id.to_owned(), birth_date: birth_date.to_owned() };
        self.world.ask_public(&self.identity, request, sign_in::start_patient).await
    }
}

/// The credential of a patient with a telephone.
pub(crate) fn credential(case: CaseId) -> PatientCredential {
    PatientCredential {
        case_id: case.to_string(),
        access_id: ACCESS_ID.to_owned(),
        birth_date: BIRTH_DATE.to_owned(),
        phone: "+819012345678".to_owned(),
        mail: String::new(),
    }
}

/// What an access token says.
pub(crate) fn claims(tokens: &Tokens) -> Claims {
    jsonwebtoken::dangerous::insecure_decode(&tokens.access_token).unwrap().claims
}

fn caller_of(body: Body, role: Role, tokens: &Tokens) -> access::Caller {
    let claims = claims(tokens);
    access::Caller {
        user_id: UserId::from(claims.sub),
        session_id: claims.sid.into(),
        terms_due: claims.due,
        ..body.staff(role)
    }
}

/// No mail server and no font.
pub(crate) fn post() -> Post {
    Post {
        show_messages: true,
        smtp: None,
        smtp_ca: None,
        smtp_credentials: None,
        smtp_from: "HER-SYS <no-reply@hersys.example>".to_owned(),
        sms_domain: None,
        font: None,
        address: "https://localhost/".to_owned(),
    }
}

/// An organisation that identity has, and that the directory has heard of.
async fn organisation(
    world: &World,
    identity: &Identity,
    kind: Kind,
    prefecture: u8,
    parent: Option<Body>,
) -> anyhow::Result<Body> {
    let mut told = Organisation::default();
    let body = world
        .organisation(kind, prefecture, |new| {
            new.parent_id = data::text(parent.map(|parent| parent.id));
            new.rights = Rights::Entry.into();
            new.etag = "1".to_owned();
            told = new.clone();
        })
        .await?;
    let own = organisation::Body { id: body.id, kind, prefecture, parent_id: parent.map(|parent| parent.id) };
    let mut conn = identity.base.pool.acquire().await?;
    let person = ResponsiblePerson { name: "責任 花子".to_owned(), ..ResponsiblePerson::default() };
    let sealed =
        identity.vault().seal(organisation::RESPONSIBLE, body.id.uuid().as_bytes(), &person.encode_to_vec())?;
    organisation::add(&mut conn, &told, &own, Some(&sealed)).await?;
    Ok(body)
}

/// A new request id.
pub(crate) fn request_id() -> String {
    Uuid::now_v7().to_string()
}
