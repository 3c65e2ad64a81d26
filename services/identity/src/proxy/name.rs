//! `NameProxy`: a proxy of a patient gets an access ID. Named by somebody who sees less than a proxy does, it waits for a centre.

use access::classes;
use chassis::{Call, Error, Seen};
use japan::{access_id::AccessId, date, phone};
use proto::identity::{NameProxyRequest, NameProxyResponse, name_proxy_request::Contact};
use sqlx::PgConnection;

use super::{
    CONTACT,
    model::{self, ProxyId},
    store::{self, NewProxy},
};
use crate::{message, patient, patient_access::case_of, service::Identity};

pub(crate) async fn name(identity: Identity, call: Call<NameProxyRequest>) -> Result<NameProxyResponse, Error> {
    let (request, caller) = (&call.request, &call.caller);
    let (case_id, relations) = case_of(&identity, caller, &request.case_id, call.now).await?;
    let refused = classes::unwritable(request, &relations);
    if !refused.is_empty() {
        return Err(Error::Invalid(refused));
    }
    model::may_hand_on(caller.hidden).map_err(Error::Denied)?;
    let birth_date = date::parse(&request.birth_date)
        .map_err(|why| Error::invalid("birth_date", "生年月日を確認してください", why))?;
    let contact = contact(request)?;

    let again = async |_: &mut PgConnection, answer: &NameProxyResponse| {
        let id = ProxyId::parse(&answer.proxy_id)?;
        Ok(Seen::by(&relations, [case_id.uuid(), id.uuid()]))
    };
    let in_force = model::shows_all_that_a_proxy_sees(&relations);
    call.create(&identity.base, again, async |conn| {
        store::lock_proxies_of(conn, case_id).await?;
        model::may_add(store::count(conn, case_id).await?).map_err(Error::Precondition)?;
        let (id, access_id) = (ProxyId::new(), drawn()?);
        let vault = identity.vault();
        let new = NewProxy {
            id,
            case_id,
            access_hash: patient::access_hash(vault, &access_id),
            birth_hash: patient::birth_hash(vault, id, &birth_date.to_string()),
            contact: vault.seal(CONTACT, id.uuid().as_bytes(), contact.as_bytes())?,
            named_by: caller.user_id,
            named_at: call.now,
            confirmed_at: in_force.then_some(call.now),
        };
        store::insert(conn, &new).await?;
        let answer = NameProxyResponse {
            proxy_id: id.to_string(),
            access_id: access_id.printed(),
            state: model::state(in_force).into(),
        };
        Ok((answer, Seen::by(&relations, [case_id.uuid(), id.uuid()])))
    })
    .await
}

/// Where the codes go.
fn contact(request: &NameProxyRequest) -> Result<String, Error> {
    match &request.contact {
        Some(Contact::Phone(number)) if !number.is_empty() => {
            phone::normalise(number).filter(|number| phone::takes_messages(number)).ok_or_else(|| {
                Error::invalid(
                    "phone",
                    "SMSを受信できる電話番号を入力してください（固定電話にはコードを送れません）",
                    "must be a telephone number that takes text messages: the codes go there",
                )
            })
        }
        Some(Contact::Mail(address)) if message::is_mail(address) => Ok(address.clone()),
        Some(Contact::Mail(address)) if !address.is_empty() => {
            Err(Error::invalid("mail", "メールアドレスを確認してください", "must be a mail address"))
        }
        _ => Err(Error::invalid(
            "phone",
            "電話番号かメールアドレスが必要です",
            "is required, or a mail address: the codes go there",
        )),
    }
}

fn drawn() -> Result<AccessId, Error> {
    let mut bytes = [0; 10];
    getrandom::fill(&mut bytes).map_err(|error| Error::Internal(anyhow::anyhow!("draw an ID: {error}")))?;
    Ok(AccessId::from_random(bytes))
}

#[cfg(test)]
mod tests {
    use access::{Caller, CaseId};
    use proto::{
        identity::{NameProxyRequest, NameProxyResponse, Role, name_proxy_request::Contact},
        options::Group,
        registry::Relation,
    };
    use testing::{Outcome, Refused as _};
    use tonic::{Code, Status};

    use crate::{fixture::request_id, patient_access::fixture::Cases, proxy};

    fn asked(case: CaseId) -> NameProxyRequest {
        NameProxyRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            birth_date: "昭和25年1月1日".to_owned(),
            contact: Some(Contact::Phone("090-1234-5678".to_owned())),
        }
    }

    async fn name(cases: &Cases, caller: &Caller, request: NameProxyRequest) -> Result<NameProxyResponse, Status> {
        cases.scene.world.ask(&cases.scene.identity, caller, request, proxy::name).await
    }

    #[tokio::test]
    async fn a_proxy_signs_in_with_the_own_id_and_birth_date_and_the_code_goes_to_the_own_contact() -> Outcome {
        let cases = Cases::new().await?;
        let case = cases.patient(&[]).await?;
        let by_mail =
            NameProxyRequest { contact: Some(Contact::Mail("daughter@example.jp".to_owned())), ..asked(case) };
        let named = name(&cases, &testing::patient(case), by_mail).await?;
        let audited = cases.scene.world.audited("NameProxy").await?;
        let records: Vec<String> = audited.iter().map(|row| row.record.to_string()).collect();
        assert_eq!(records, [case.to_string(), named.proxy_id]);

        cases.scene.sign_in_patient(&named.access_id, "1950-01-01").await?;
        let operator = cases.scene.ministry.staff(Role::Operator);
        let list = proto::identity::ListMessagesRequest::default();
        let sent = cases.scene.world.ask(&cases.scene.identity, &operator, list, crate::message::list).await?;
        assert_eq!(sent.messages[0].destination, "daughter@example.jp");
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_request_shows_the_same_id_as_long_as_the_relation_lasts() -> Outcome {
        let cases = Cases::new().await?;
        let nurse = cases.scene.centre.staff(Role::Nurse);
        let case = cases.patient(&[(cases.scene.centre, Relation::ResponsibleCentre)]).await?;
        let request = asked(case);
        let first = name(&cases, &nurse, request.clone()).await?;
        assert!(name(&cases, &nurse, request.clone()).await? == first);
        assert_eq!(cases.scene.world.audited("NameProxy").await?.len(), 4);
        let another = name(&cases, &cases.scene.centre.staff(Role::Nurse), request.clone()).await?;
        assert_ne!(another.access_id, first.access_id);
        let reused = NameProxyRequest { birth_date: "1951-01-01".to_owned(), ..request.clone() };
        assert_eq!(name(&cases, &nurse, reused).await.refused().code(), Code::AlreadyExists);
        cases.relate(case, &[]);
        assert_eq!(name(&cases, &nurse, request).await.refused().code(), Code::NotFound);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let cases = Cases::new().await?;
        let (centre, hospital) = (cases.scene.centre, cases.scene.hospital);
        let case = cases.patient(&[(centre, Relation::ResponsibleCentre)]).await?;
        let lodged = cases.patient_of(&[(hospital, Relation::LodgingFacility)]);
        let consulted = cases.patient_of(&[(hospital, Relation::ConsultationCentre)]);
        let full = cases.patient_of(&[(centre, Relation::ResponsibleCentre)]);
        let nurse = centre.staff(Role::Nurse);
        for _ in 0..10 {
            name(&cases, &nurse, asked(full)).await?;
        }
        let with = |contact| NameProxyRequest { contact, ..asked(case) };
        let phone = |number: &str| with(Some(Contact::Phone(number.to_owned())));
        let mail = |address: &str| with(Some(Contact::Mail(address.to_owned())));
        let narrow = |group| centre.narrowed(Role::Nurse, [group]);
        for (caller, request, code, field) in [
            (cases.scene.prefecture.staff(Role::Analyst), asked(case), Code::PermissionDenied, ""),
            (testing::proxy(case), asked(case), Code::PermissionDenied, ""),
            (testing::patient(full), asked(case), Code::NotFound, ""),
            (hospital.staff(Role::Nurse), asked(case), Code::NotFound, ""),
            (hospital.staff(Role::Nurse), asked(lodged), Code::PermissionDenied, ""),
            (narrow(Group::Clinical), asked(case), Code::PermissionDenied, ""),
            (narrow(Group::Identity), asked(case), Code::InvalidArgument, "birth_date"),
            (narrow(Group::Contact), asked(case), Code::InvalidArgument, "phone"),
            (
                nurse.clone(),
                NameProxyRequest { birth_date: "soon".to_owned(), ..asked(case) },
                Code::InvalidArgument,
                "birth_date",
            ),
            (nurse.clone(), phone("abc"), Code::InvalidArgument, "phone"),
            (nurse.clone(), phone(""), Code::InvalidArgument, "phone"),
            (nurse.clone(), with(None), Code::InvalidArgument, "phone"),
            (nurse.clone(), mail("nowhere"), Code::InvalidArgument, "mail"),
            (nurse.clone(), asked(full), Code::FailedPrecondition, ""),
        ] {
            let status = name(&cases, &caller, request).await.refused();
            assert_eq!(status.code(), code, "{field}: {status}");
            assert!(status.message().starts_with(field), "{field}: {status}");
        }
        name(&cases, &hospital.staff(Role::Nurse), asked(consulted)).await?;
        Ok(())
    }
}
