//! `VerifyPatientCode`: the second factor of patients and proxies: the code that was sent, or the one that was printed.

use access::CaseId;
use chassis::{Anonymous, Call, Error};
use proto::identity::{Tokens, VerifyPatientCodeRequest};
use runtime::problem::Unproved;

use super::{code_hash, model::CODE_TRIES};
use crate::{
    challenge::{self, Step},
    factor,
    patient::{self, Let},
    service::Identity,
    session::{self, Whose},
};

pub(crate) async fn verify_patient_code(
    identity: Identity,
    call: Call<VerifyPatientCodeRequest, Anonymous>,
) -> Result<Tokens, Error> {
    let (hash, code) = (identity.hash_of(&call.request.challenge), &call.request.code);
    let mut conn = identity.base.pool.acquire().await?;
    let challenge = challenge::attempt(&mut conn, &hash, CODE_TRIES, call.now)
        .await?
        .filter(|challenge| challenge.step == Step::Patient)
        .ok_or(Error::Unauthenticated(Unproved::CodeWrong))?;
    let subject = challenge.subject;
    let printed = patient::printed_code(&mut conn, subject).await?;
    drop(conn);
    let sent = challenge.code_hash == Some(code_hash(&identity, subject, code));
    let as_printed = || patient::printed_hash(identity.vault(), subject, &factor::plain_code(code));
    if !sent && printed.is_none_or(|kept| kept != as_printed()) {
        return Err(Error::Unauthenticated(Unproved::CodeWrong));
    }

    let mut tx = identity.base.pool.begin().await?;
    if !challenge::finish(&mut tx, &hash).await? {
        return Err(Error::Unauthenticated(Unproved::CodeWrong));
    }
    let whose = match patient::let_in(&mut tx, subject).await?.ok_or(Error::Unauthenticated(Unproved::CodeWrong))? {
        Let::Patient => Whose::Patient(CaseId::from(subject.uuid())),
        Let::Proxy(case) => Whose::Proxy { proxy: subject, case },
    };
    let tokens = session::begin(&identity, &mut tx, whose).await?;
    tx.commit().await?;
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use proto::{
        identity::{
            DismissProxyRequest, IssuePatientCodeRequest, NameProxyRequest, RevokePatientAccessRequest, Role, Tokens,
            VerifyPatientCodeRequest, name_proxy_request::Contact,
        },
        registry::Relation,
    };
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::{Code, Status};

    use crate::{
        fixture::{ACCESS_ID, BIRTH_DATE, PASSWORD, Scene, claims, request_id},
        patient_access::{self, fixture::Cases},
        proxy, sign_in,
    };

    async fn verify(scene: &Scene, challenge: &str, code: &str) -> Result<Tokens, Status> {
        let request = VerifyPatientCodeRequest { challenge: challenge.to_owned(), code: code.to_owned() };
        scene.world.ask_public(&scene.identity, request, sign_in::verify_patient_code).await
    }

    #[tokio::test]
    async fn the_sent_code_opens_the_own_case_once_and_ends_the_rests() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.patient().await?;
        for _ in 0..2 {
            let challenge = scene.sign_in_patient(ACCESS_ID, BIRTH_DATE).await?.challenge;
            let code = scene.sent_code().await?;
            let said = claims(&verify(&scene, &challenge, &code).await?);
            assert_eq!((said.rol, said.cas, said.sub), (i32::from(Role::Patient), Some(case.uuid()), case.uuid()));
            assert_eq!(verify(&scene, &challenge, &code).await.refused().code(), Code::Unauthenticated);
            scene.world.clock.advance(Duration::SECOND);
        }
        // Four attempts altogether, and no rest: each right code began the count anew.
        scene.sign_in_patient(ACCESS_ID, "1980-02-28").await?;
        let before = scene.messages().await?.len();
        scene.sign_in_patient(ACCESS_ID, BIRTH_DATE).await?;
        assert_eq!(scene.messages().await?.len(), before + 1);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let otp = scene.sign_in(&nurse.login, PASSWORD).await?.challenge;
        scene.patient().await?;
        let good = scene.sign_in_patient(ACCESS_ID, BIRTH_DATE).await?.challenge;
        let code = scene.sent_code().await?;
        let wrong = if code == "000000" { "111111" } else { "000000" };
        for (challenge, code, what) in [
            ("nothing", code.as_str(), "no such challenge"),
            (otp.as_str(), code.as_str(), "a challenge of staff"),
            (good.as_str(), wrong, "another code"),
            (good.as_str(), "ABCDEF-ABCDEF", "no code was printed"),
        ] {
            assert_eq!(verify(&scene, challenge, code).await.refused().code(), Code::Unauthenticated, "{what}");
        }
        scene.world.clock.advance(Duration::minutes(10));
        assert_eq!(verify(&scene, &good, &code).await.refused().code(), Code::Unauthenticated, "it has expired");
        Ok(())
    }

    #[tokio::test]
    async fn a_challenge_is_tried_five_times_and_a_sent_code_is_good_for_ten_minutes() -> Outcome {
        let scene = Scene::new().await?;
        scene.patient().await?;
        let challenge = scene.sign_in_patient(ACCESS_ID, BIRTH_DATE).await?.challenge;
        let code = scene.sent_code().await?;
        scene.world.clock.advance(Duration::minutes(10) - Duration::SECOND);
        let wrong = if code == "000000" { "111111" } else { "000000" };
        for _ in 0..4 {
            verify(&scene, &challenge, wrong).await.refused();
        }
        verify(&scene, &challenge, &code).await?;
        let challenge = scene.sign_in_patient(ACCESS_ID, BIRTH_DATE).await?.challenge;
        let code = scene.sent_code().await?;
        let wrong = if code == "000000" { "111111" } else { "000000" };
        for _ in 0..5 {
            verify(&scene, &challenge, wrong).await.refused();
        }
        assert_eq!(verify(&scene, &challenge, &code).await.refused().code(), Code::Unauthenticated);
        Ok(())
    }

    #[tokio::test]
    async fn a_printed_code_stands_for_the_sent_one_and_a_revoked_id_opens_nothing() -> Outcome {
        let cases = Cases::new().await?;
        let scene = &cases.scene;
        let case = cases.patient(&[(scene.centre, Relation::ResponsibleCentre)]).await?;
        let nurse = scene.centre.staff(Role::Nurse);
        let request = IssuePatientCodeRequest { request_id: request_id(), case_id: case.to_string() };
        let code = scene.world.ask(&scene.identity, &nurse, request, patient_access::issue_code).await?.code;
        let challenge = scene.sign_in_patient(ACCESS_ID, BIRTH_DATE).await?.challenge;
        verify(scene, &challenge, &code.to_lowercase()).await?;

        let challenge = scene.sign_in_patient(ACCESS_ID, BIRTH_DATE).await?.challenge;
        let request =
            RevokePatientAccessRequest { request_id: request_id(), case_id: case.to_string(), keep_proxies: false };
        scene.world.ask(&scene.identity, &nurse, request, patient_access::revoke).await?;
        assert_eq!(verify(scene, &challenge, &code).await.refused().code(), Code::Unauthenticated);
        let challenge = scene.sign_in_patient(ACCESS_ID, BIRTH_DATE).await?.challenge;
        assert_eq!(verify(scene, &challenge, &code).await.refused().code(), Code::Unauthenticated);
        Ok(())
    }

    #[tokio::test]
    async fn a_proxy_gets_in_with_the_own_birth_date_and_to_the_case() -> Outcome {
        let cases = Cases::new().await?;
        let scene = &cases.scene;
        let case = cases.patient(&[(scene.centre, Relation::ResponsibleCentre)]).await?;
        let request = NameProxyRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            birth_date: "1955-05-05".to_owned(),
            contact: Some(Contact::Mail("proxy@example.jp".to_owned())),
        };
        let named = scene.world.ask(&scene.identity, &scene.centre.staff(Role::Nurse), request, proxy::name).await?;
        let challenge = scene.sign_in_patient(&named.access_id, "1955-05-05").await?.challenge;
        assert_eq!(scene.messages().await?[0].destination, "proxy@example.jp");
        let said = claims(&verify(scene, &challenge, &scene.sent_code().await?).await?);
        assert_eq!((said.rol, said.cas), (i32::from(Role::Proxy), Some(case.uuid())));
        assert_eq!(said.sub.to_string(), named.proxy_id);

        let begun = scene.sign_in_patient(&named.access_id, "1955-05-05").await?.challenge;
        let code = scene.sent_code().await?;
        let request =
            DismissProxyRequest { request_id: request_id(), case_id: case.to_string(), proxy_id: named.proxy_id };
        scene.world.ask(&scene.identity, &scene.centre.staff(Role::Nurse), request, proxy::dismiss).await?;
        assert_eq!(verify(scene, &begun, &code).await.refused().code(), Code::Unauthenticated, "dismissed");
        let before = scene.messages().await?.len();
        scene.sign_in_patient(&named.access_id, "1955-05-05").await?;
        assert_eq!(scene.messages().await?.len(), before, "no code goes out");
        Ok(())
    }
}
