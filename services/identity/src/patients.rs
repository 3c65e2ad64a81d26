//! Sign-in of patients and proxies, and who gives, renews and revokes it. The access ID alone opens nothing: birth date, and a
//! code to the registered phone or mail, or the one printed for people with neither.

use access::{Caller, Relations, audit, cases, classes};
use chassis::{Error, once};
use japan::{access_id::AccessId, date};
use proto::{
    identity::{
        DismissProxyRequest, DismissProxyResponse, IssuePatientCodeRequest, IssuePatientCodeResponse,
        ListProxiesRequest, ListProxiesResponse, NameProxyRequest, NameProxyResponse, Proxy,
        RevokePatientAccessRequest, RevokePatientAccessResponse, Role, SignInPatientRequest, SignInPatientResponse,
        Tokens, VerifyPatientCodeRequest,
    },
    options::Group,
    registry::Relation,
};
use runtime::{clock, problem::text};
use uuid::Uuid;
use vault::{Place, Vault};

use crate::{
    domain::{self, CODE_TRIES, PATIENT_CHALLENGE},
    messages,
    rpc::Identity,
    sessions,
    store::{
        self,
        proxies::{self, NewProxy},
    },
    users::act,
};

/// Where a patient's code goes.
pub(crate) const CONTACT: Place = Place { table: "patient", column: "contact" };
/// Where a proxy's code goes.
pub(crate) const PROXY_CONTACT: Place = Place { table: "proxy", column: "contact" };
const ACCESS: Place = Place { table: "patient", column: "access_hash" };
/// Proxies of one case.
const PROXIES: usize = 10;

/// What is kept of an access ID.
pub(crate) fn access_hash(vault: &Vault, id: &AccessId) -> Vec<u8> {
    vault.blind(ACCESS, id.as_str())
}

/// What is kept of a birth date: bound to the case or proxy, because dates are few.
pub(crate) fn birth_hash(vault: &Vault, subject: Uuid, birth_date: &str) -> Vec<u8> {
    vault.keyed_hash("birth date", format!("{subject}|{birth_date}").as_bytes())
}

/// First factor. The answer is the same whether or not ID and birth date were right: the code tells.
pub(crate) async fn sign_in(
    identity: &Identity,
    request: &SignInPatientRequest,
) -> Result<SignInPatientResponse, Error> {
    let now = identity.clock.now();
    let access_id = AccessId::parse(&request.access_id).ok_or_else(|| {
        Error::invalid("access_id", "IDを確認してください", "is mistyped: its check character is wrong")
    })?;
    let birth_date = date::parse(&request.birth_date)
        .map_err(|why| Error::invalid("birth_date", "生年月日を確認してください", why))?;
    let mut conn = identity.base.pool.acquire().await?;
    let hash = access_hash(identity.vault(), &access_id);
    let found = store::count_patient_attempt(&mut conn, &hash, domain::patient_rests()).await?;
    if found.is_none() {
        // A write, as for an ID that exists: the time it takes tells nothing.
        store::accounts::note_stray(&mut conn, &hash).await?;
    }
    drop(conn);

    let (challenge, challenge_hash) = identity.secret()?;
    let answer = SignInPatientResponse { challenge };
    let right = found.filter(|patient| {
        !patient.barred
            && patient.next_try_at.is_none_or(|at| at <= now)
            && birth_hash(identity.vault(), patient.subject, &birth_date.to_string()) == patient.birth_hash
    });
    // The count stays after a right birth date: only the code clears it, so neither codes nor messages go on without end.
    let Some(patient) = right else { return Ok(answer) };
    let code = six_digits()?;
    let code_hash = identity.hash_of(&format!("{}{code}", patient.subject));
    let place = if patient.is_proxy { PROXY_CONTACT } else { CONTACT };
    let contact = identity.vault().open(place, patient.subject.as_bytes(), &patient.contact)?;
    let mut tx = identity.base.pool.begin().await?;
    store::insert_challenge(
        &mut tx,
        &challenge_hash,
        patient.subject,
        "patient",
        Some(&code_hash),
        now + PATIENT_CHALLENGE,
    )
    .await?;
    // Somebody with neither has a printed code.
    if !contact.is_empty() {
        messages::one_time_code(identity, &mut tx, String::from_utf8_lossy(&contact).into_owned(), &code).await?;
    }
    tx.commit().await?;
    Ok(answer)
}

/// Second factor: the code that was sent, or the one that was printed.
pub(crate) async fn verify_code(identity: &Identity, request: &VerifyPatientCodeRequest) -> Result<Tokens, Error> {
    let challenge_hash = identity.hash_of(&request.challenge);
    let mut conn = identity.base.pool.acquire().await?;
    let challenge = store::try_challenge(&mut conn, &challenge_hash, CODE_TRIES)
        .await?
        .filter(|challenge| challenge.step == "patient")
        .ok_or(Error::Unauthenticated)?;
    let printed = store::printed_code(&mut conn, challenge.subject).await?;
    drop(conn);
    let sent = challenge.code_hash == Some(identity.hash_of(&format!("{}{}", challenge.subject, request.code)));
    if !sent && printed.is_none_or(|kept| kept != printed_hash(identity, challenge.subject, &request.code)) {
        return Err(Error::Unauthenticated);
    }
    let mut tx = identity.base.pool.begin().await?;
    if !store::finish_challenge(&mut tx, &challenge_hash).await? {
        return Err(Error::Unauthenticated);
    }
    let case_id = store::let_patient_in(&mut tx, challenge.subject).await?.ok_or(Error::Unauthenticated)?;
    let role = if case_id.is_some() { Role::Proxy } else { Role::Patient };
    let role = i16::try_from(i32::from(role)).unwrap_or(0);
    let session = store::insert_session(&mut tx, challenge.subject, true, Uuid::nil(), role, case_id).await?;
    let (tokens, _) = sessions::tokens(identity, &mut tx, &session).await?;
    tx.commit().await?;
    Ok(tokens)
}

fn printed_hash(identity: &Identity, case_id: Uuid, code: &str) -> Vec<u8> {
    identity.hash_of(&format!("printed|{case_id}|{}", sessions::plain_code(code)))
}

/// The case, where the caller works on it or is the patient. Another one does not exist for the caller.
async fn of_caller(identity: &Identity, caller: &Caller, case_id: &str) -> Result<(Uuid, Relations), Error> {
    let id = Uuid::try_parse(case_id).map_err(|_| Error::NotFound("case"))?;
    let case = cases::ask(&identity.registry, id).await?.ok_or(Error::NotFound("case"))?;
    let relations = cases::relations(&case, caller, &identity.base.directory, identity.clock.now());
    if relations.is_empty() {
        return Err(Error::NotFound("case"));
    }
    let may = |relation: &Relation| {
        matches!(
            relation,
            Relation::ReceivingCentre
                | Relation::ResponsibleCentre
                | Relation::Reporter
                | Relation::ConsultationCentre
                | Relation::TreatingInstitution
                | Relation::Patient
        )
    };
    if relations.iter().any(may) {
        return Ok((id, relations));
    }
    Err(Error::Denied(text(
        "この方の利用者IDを管理する権限がありません。",
        "Your relation to this person does not allow this.",
    )))
}

pub(crate) async fn issue_code(
    identity: &Identity,
    caller: &Caller,
    request: IssuePatientCodeRequest,
) -> Result<IssuePatientCodeResponse, Error> {
    let key = once::key(identity.vault(), caller, "IssuePatientCode", &request.request_id, &request)?;
    if caller.is_citizen() {
        return Err(Error::Denied(text("医療機関または保健所が発行します。", "Staff issue printed codes.")));
    }
    let (case_id, _) = of_caller(identity, caller, &request.case_id).await?;
    let mut tx = identity.base.pool.begin().await?;
    if let Some(answer) = once::claim(&mut tx, identity.vault(), &key).await? {
        return Ok(answer);
    }
    let code = sessions::drawn_code(12)?;
    if !proxies::set_code(&mut tx, case_id, &printed_hash(identity, case_id, &code)).await? {
        // The registration is a moment old: its credential is on the way.
        return Err(Error::Unavailable);
    }
    audit::record(&mut tx, &act(caller, key.rpc, key.request_id), &[case_id]).await?;
    let answer = IssuePatientCodeResponse { code };
    once::answer(&mut tx, identity.vault(), &key, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}

pub(crate) async fn revoke(
    identity: &Identity,
    caller: &Caller,
    request: RevokePatientAccessRequest,
) -> Result<RevokePatientAccessResponse, Error> {
    let key = once::key(identity.vault(), caller, "RevokePatientAccess", &request.request_id, &request)?;
    let (case_id, _) = of_caller(identity, caller, &request.case_id).await?;
    let mut tx = identity.base.pool.begin().await?;
    if let Some(answer) = once::claim(&mut tx, identity.vault(), &key).await? {
        return Ok(answer);
    }
    if !proxies::revoke(&mut tx, case_id).await? {
        return Err(Error::Unavailable);
    }
    sessions::end_all(identity, &mut tx, case_id).await?;
    // Whoever had the ID may have named somebody in the patient's place.
    for proxy in proxies::dismiss_named_by(&mut tx, case_id).await? {
        sessions::end_all(identity, &mut tx, proxy).await?;
    }
    audit::record(&mut tx, &act(caller, key.rpc, key.request_id), &[case_id]).await?;
    let answer = RevokePatientAccessResponse {};
    once::answer(&mut tx, identity.vault(), &key, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}

pub(crate) async fn name_proxy(
    identity: &Identity,
    caller: &Caller,
    request: NameProxyRequest,
) -> Result<NameProxyResponse, Error> {
    let key = once::key(identity.vault(), caller, "NameProxy", &request.request_id, &request)?;
    let (case_id, relations) = of_caller(identity, caller, &request.case_id).await?;
    let refused = classes::unwritable(&request, &relations);
    if !refused.is_empty() {
        return Err(Error::Invalid(refused));
    }
    // Nobody hands on what the own ID does not see.
    let shown = [Group::Identity, Group::Contact, Group::Clinical, Group::Followup];
    if shown.into_iter().any(|group| caller.hidden.hides(group)) {
        return Err(Error::Denied(text(
            "閲覧範囲が限られた ID では代理人を登録できません。",
            "An ID with narrowed sight names no proxies.",
        )));
    }
    let birth_date = date::parse(&request.birth_date)
        .map_err(|why| Error::invalid("birth_date", "生年月日を確認してください", why))?;
    let contact = if request.phone.is_empty() {
        if !messages::is_mail(&request.mail) {
            return Err(Error::invalid(
                "phone",
                "電話番号かメールアドレスが必要です",
                "or a mail address is required: the codes go there",
            ));
        }
        request.mail
    } else {
        japan::phone::normalise(&request.phone)
            .ok_or_else(|| Error::invalid("phone", "電話番号を確認してください", "is no telephone number"))?
    };
    let mut tx = identity.base.pool.begin().await?;
    if let Some(answer) = once::claim(&mut tx, identity.vault(), &key).await? {
        return Ok(answer);
    }
    if proxies::of_case(&mut tx, case_id).await?.len() >= PROXIES {
        return Err(Error::Precondition(text("代理人は10人までです。", "Ten proxies are the most.")));
    }
    let mut bytes = [0; 10];
    getrandom::fill(&mut bytes).map_err(|error| Error::Internal(anyhow::anyhow!("draw an ID: {error}")))?;
    let access_id = AccessId::from_random(bytes);
    let id = Uuid::now_v7();
    let new = NewProxy {
        id,
        case_id,
        access_hash: &access_hash(identity.vault(), &access_id),
        birth_hash: &birth_hash(identity.vault(), id, &birth_date.to_string()),
        contact: &identity.vault().seal(PROXY_CONTACT, id.as_bytes(), contact.as_bytes())?,
        named_by: caller.user_id,
    };
    proxies::insert(&mut tx, &new).await?;
    let groups = classes::groups_shown(&vec![Relation::Proxy].into());
    let act = audit::Act { groups: &groups, ..act(caller, key.rpc, key.request_id) };
    audit::record(&mut tx, &act, &[case_id, id]).await?;
    let answer = NameProxyResponse { proxy_id: id.to_string(), access_id: access_id.printed() };
    once::answer(&mut tx, identity.vault(), &key, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}

pub(crate) async fn list_proxies(
    identity: &Identity,
    caller: &Caller,
    request: &ListProxiesRequest,
) -> Result<ListProxiesResponse, Error> {
    let (case_id, _) = of_caller(identity, caller, &request.case_id).await?;
    let mut tx = identity.base.pool.begin().await?;
    let rows = proxies::of_case(&mut tx, case_id).await?;
    let act = audit::Act { request_id: None, ..act(caller, "ListProxies", Uuid::nil()) };
    audit::record(&mut tx, &act, &[case_id]).await?;
    tx.commit().await?;
    let proxies = rows
        .into_iter()
        .map(|(id, at)| Proxy { proxy_id: id.to_string(), named_at: Some(clock::to_proto(at)) })
        .collect();
    Ok(ListProxiesResponse { proxies })
}

pub(crate) async fn dismiss_proxy(
    identity: &Identity,
    caller: &Caller,
    request: DismissProxyRequest,
) -> Result<DismissProxyResponse, Error> {
    let key = once::key(identity.vault(), caller, "DismissProxy", &request.request_id, &request)?;
    let (case_id, _) = of_caller(identity, caller, &request.case_id).await?;
    let proxy_id = Uuid::try_parse(&request.proxy_id).map_err(|_| Error::NotFound("proxy"))?;
    let mut tx = identity.base.pool.begin().await?;
    if let Some(answer) = once::claim(&mut tx, identity.vault(), &key).await? {
        return Ok(answer);
    }
    if !proxies::dismiss(&mut tx, case_id, proxy_id).await? {
        return Err(Error::NotFound("proxy"));
    }
    sessions::end_all(identity, &mut tx, proxy_id).await?;
    audit::record(&mut tx, &act(caller, key.rpc, key.request_id), &[case_id, proxy_id]).await?;
    let answer = DismissProxyResponse {};
    once::answer(&mut tx, identity.vault(), &key, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}

fn six_digits() -> Result<String, Error> {
    loop {
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes).map_err(|error| Error::Internal(anyhow::anyhow!("draw a code: {error}")))?;
        let number = u32::from_be_bytes(bytes);
        // The largest multiple of a million: no code is more likely than another.
        if number < 4_294_000_000 {
            return Ok(format!("{:06}", number % 1_000_000));
        }
    }
}
