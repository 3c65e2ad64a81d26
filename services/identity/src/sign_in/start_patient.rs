//! `SignInPatient`: the first factor of patients and proxies. The answer is the same whether or not access ID and birth date were
//! right: the code tells.

use chassis::{Anonymous, Call, Error};
use japan::{access_id::AccessId, date};
use proto::identity::{SignInPatientRequest, SignInPatientResponse};

use super::{code_hash, model::PATIENT_CHALLENGE};
use crate::{
    challenge::{self, NewChallenge, Step},
    factor::{self, OF_CITIZENS},
    message,
    patient::{self, Credential},
    proxy,
    service::Identity,
};

pub(crate) async fn start_patient(
    identity: Identity,
    call: Call<SignInPatientRequest, Anonymous>,
) -> Result<SignInPatientResponse, Error> {
    let access_id = AccessId::parse(&call.request.access_id)
        .ok_or_else(|| Error::invalid("access_id", "IDを確認してください", "must be an ID with its check character"))?;
    let birth_date = date::parse(&call.request.birth_date)
        .map_err(|why| Error::invalid("birth_date", "生年月日を確認してください", why))?;

    let found = count(&identity, &access_id).await?;
    let (challenge, challenge_hash) = identity.secret()?;
    let answer = SignInPatientResponse { challenge };
    let right = found.filter(|known| {
        let birth = patient::birth_hash(identity.vault(), known.subject, &birth_date.to_string());
        !known.barred && !known.resting && birth == known.birth_hash
    });
    // The count stays after a right birth date: only the code clears it, so neither codes nor messages go on without end.
    let Some(known) = right else { return Ok(answer) };

    let code = factor::six_digits()?;
    let contact = contact(&identity, &known)?;
    let new = NewChallenge {
        hash: &challenge_hash,
        subject: known.subject,
        step: Step::Patient,
        code_hash: Some(&code_hash(&identity, known.subject, &code)),
        device_hash: None,
        expires_at: call.now + PATIENT_CHALLENGE,
    };
    let mut tx = identity.base.pool.begin().await?;
    challenge::insert(&mut tx, &new, call.now).await?;
    // Somebody with neither phone nor mail has a printed code.
    if !contact.is_empty() {
        message::one_time_code(&identity, &mut tx, contact, &code).await?;
    }
    tx.commit().await?;
    Ok(answer)
}

/// Counts an attempt before anything is checked.
async fn count(identity: &Identity, access_id: &AccessId) -> Result<Option<Credential>, Error> {
    let mut conn = identity.base.pool.acquire().await?;
    let (now, hash) = (identity.base.clock.now(), patient::access_hash(identity.vault(), access_id));
    let found = patient::count_attempt(&mut conn, &hash, OF_CITIZENS, now).await?;
    if found.is_none() {
        // A write, as for an ID that exists: the time it takes tells nothing.
        factor::note_stray(&mut conn, &hash, now).await?;
    }
    Ok(found)
}

fn contact(identity: &Identity, known: &Credential) -> Result<String, Error> {
    let place = if known.is_proxy { proxy::CONTACT } else { patient::CONTACT };
    let plain = identity.vault().open(place, known.subject.uuid().as_bytes(), &known.contact)?;
    Ok(String::from_utf8_lossy(&plain).into_owned())
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::registry::PatientCredential;
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use crate::fixture::{ACCESS_ID, BIRTH_DATE, Scene, credential};

    #[tokio::test]
    async fn the_code_goes_to_the_telephone_and_in_an_era_date_too() -> Outcome {
        let scene = Scene::new().await?;
        scene.patient().await?;
        scene.sign_in_patient("000000000 00", "S55.2.29").await?;
        let messages = scene.messages().await?;
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].destination, "+819012345678");
        assert!(!messages[0].text.contains(ACCESS_ID));
        Ok(())
    }

    #[tokio::test]
    async fn whatever_is_wrong_the_answer_is_the_same_and_no_code_goes_out() -> Outcome {
        let scene = Scene::new().await?;
        scene.patient().await?;
        let unknown = japan::access_id::AccessId::from_random([7; 10]).printed();
        for (access_id, birth_date) in [(unknown.as_str(), BIRTH_DATE), (ACCESS_ID, "1980-02-28")] {
            assert_eq!(scene.sign_in_patient(access_id, birth_date).await?.challenge.len(), 43);
        }
        assert!(scene.messages().await?.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn somebody_without_phone_and_mail_gets_no_message() -> Outcome {
        let scene = Scene::new().await?;
        scene.registered(&PatientCredential { phone: String::new(), ..credential(CaseId::new()) }).await?;
        scene.sign_in_patient(ACCESS_ID, BIRTH_DATE).await?;
        assert!(scene.messages().await?.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn guessing_birth_dates_rests_and_never_stops_for_good() -> Outcome {
        let scene = Scene::new().await?;
        scene.patient().await?;
        for _ in 0..3 {
            scene.sign_in_patient(ACCESS_ID, "1980-02-28").await?;
        }
        scene.sign_in_patient(ACCESS_ID, BIRTH_DATE).await?;
        assert!(scene.messages().await?.is_empty(), "it rests");
        for _ in 0..120 {
            scene.world.clock.advance(Duration::minutes(15));
            scene.sign_in_patient(ACCESS_ID, "1980-02-28").await?;
        }
        scene.world.clock.advance(Duration::minutes(15));
        scene.sign_in_patient(ACCESS_ID, BIRTH_DATE).await?;
        assert_eq!(scene.messages().await?.len(), 1);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        for (access_id, birth_date, field) in
            [("00000-00000-1", BIRTH_DATE, "access_id"), (ACCESS_ID, "30 February", "birth_date")]
        {
            let refused = scene.sign_in_patient(access_id, birth_date).await.refused();
            assert_eq!(
                (refused.code(), refused.message().starts_with(field)),
                (Code::InvalidArgument, true),
                "{field}"
            );
        }
        Ok(())
    }
}
