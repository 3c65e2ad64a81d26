//! Sign-in of patients: the access ID alone opens nothing. Birth date, and a code to the registered phone or mail.

use access::{
    Caller,
    audit::{self, Act, Actor},
};
use chassis::{Error, page};
use japan::{access_id::AccessId, date};
use prost::Message as _;
use proto::identity::{
    ListMessagesRequest, ListMessagesResponse, Message, Role, SignInPatientRequest, SignInPatientResponse, Tokens,
    VerifyPatientCodeRequest,
};
use runtime::clock;
use uuid::Uuid;
use vault::{Place, Vault};

use crate::{
    domain::{self, CODE_TRIES, PATIENT_CHALLENGE},
    rpc::Identity,
    sessions, store,
};

/// Where a patient's code goes.
pub(crate) const CONTACT: Place = Place { table: "patient", column: "contact" };
const ACCESS: Place = Place { table: "patient", column: "access_hash" };
const MESSAGE: Place = Place { table: "message", column: "sealed" };

/// What is kept of an access ID.
pub(crate) fn access_hash(vault: &Vault, id: &AccessId) -> Vec<u8> {
    vault.blind(ACCESS, id.as_str())
}

/// What is kept of a birth date: bound to the case, because dates are few.
pub(crate) fn birth_hash(vault: &Vault, case_id: Uuid, birth_date: &str) -> Vec<u8> {
    vault.keyed_hash("birth date", format!("{case_id}|{birth_date}").as_bytes())
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
    let patient = store::count_patient_attempt(&mut conn, &access_hash(identity.vault(), &access_id)).await?;
    drop(conn);

    let (challenge, challenge_hash) = identity.secret()?;
    let answer = SignInPatientResponse { challenge };
    let Some(patient) = patient else { return Ok(answer) };
    let mut tx = identity.base.pool.begin().await?;
    let resting = patient.next_try_at.is_some_and(|at| now < at);
    if resting || birth_hash(identity.vault(), patient.case_id, &birth_date.to_string()) != patient.birth_hash {
        if !resting {
            store::rest_patient(&mut tx, patient.case_id, now + domain::rest_after(patient.failures)).await?;
            tx.commit().await?;
        }
        return Ok(answer);
    }
    // Also after a right birth date: only the code clears the count, so neither codes nor messages go on without end.
    store::rest_patient(&mut tx, patient.case_id, now + domain::rest_after(patient.failures)).await?;
    let code = six_digits()?;
    let code_hash = identity.hash_of(&format!("{}{code}", patient.case_id));
    store::insert_challenge(
        &mut tx,
        &challenge_hash,
        patient.case_id,
        "patient",
        Some(&code_hash),
        now + PATIENT_CHALLENGE,
    )
    .await?;
    let contact = identity.vault().open(CONTACT, patient.case_id.as_bytes(), &patient.contact)?;
    let id = Uuid::now_v7();
    let message = Message {
        destination: String::from_utf8_lossy(&contact).into_owned(),
        // No name and no disease: a mistyped number must reveal nothing.
        text: format!("健康状態の入力の認証コード: {code}（10分間有効）"),
        created_at: None,
    };
    let sealed = identity.vault().seal(MESSAGE, id.as_bytes(), &message.encode_to_vec())?;
    store::insert_message(&mut tx, id, &sealed).await?;
    tx.commit().await?;
    Ok(answer)
}

/// Second factor.
pub(crate) async fn verify_code(identity: &Identity, request: &VerifyPatientCodeRequest) -> Result<Tokens, Error> {
    let challenge_hash = identity.hash_of(&request.challenge);
    let mut conn = identity.base.pool.acquire().await?;
    let challenge = store::try_challenge(&mut conn, &challenge_hash, CODE_TRIES)
        .await?
        .filter(|challenge| challenge.step == "patient")
        .ok_or(Error::Unauthenticated)?;
    drop(conn);
    if challenge.code_hash != Some(identity.hash_of(&format!("{}{}", challenge.subject, request.code))) {
        return Err(Error::Unauthenticated);
    }
    let mut tx = identity.base.pool.begin().await?;
    if !store::finish_challenge(&mut tx, &challenge_hash).await? {
        return Err(Error::Unauthenticated);
    }
    store::clear_patient_failures(&mut tx, challenge.subject).await?;
    let role = i16::try_from(i32::from(Role::Patient)).unwrap_or(0);
    let session = store::insert_session(&mut tx, challenge.subject, true, Uuid::nil(), role).await?;
    let (tokens, _) = sessions::tokens(identity, &mut tx, &session).await?;
    tx.commit().await?;
    Ok(tokens)
}

/// The local message outbox of the embedded default.
pub(crate) async fn list_messages(
    identity: &Identity,
    caller: &Caller,
    request: &ListMessagesRequest,
) -> Result<ListMessagesResponse, Error> {
    let mut tx = identity.base.pool.begin().await?;
    let rows = store::list_messages(&mut tx, page::size(request.page_size)).await?;
    let mut messages = Vec::with_capacity(rows.len());
    for (id, sealed, created_at) in &rows {
        let plain = identity.vault().open(MESSAGE, id.as_bytes(), sealed)?;
        let message = Message::decode(plain.as_slice()).map_err(|error| Error::Internal(error.into()))?;
        messages.push(Message { created_at: Some(clock::to_proto(*created_at)), ..message });
    }
    let act =
        Act { actor: Actor::Caller(caller), rpc: "ListMessages", groups: &[3], request_id: None, on_behalf_of: None };
    audit::record(&mut tx, &act, &rows.iter().map(|(id, ..)| *id).collect::<Vec<_>>()).await?;
    tx.commit().await?;
    Ok(ListMessagesResponse { messages })
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
