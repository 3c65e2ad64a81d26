//! `IssuePatientCode`: a code to print for a person with neither phone nor mail. The previous one expires.

use chassis::{Call, Error, Held, Seen};
use proto::identity::{IssuePatientCodeRequest, IssuePatientCodeResponse};
use runtime::problem::why;
use sqlx::PgConnection;

use super::{case_of, store};
use crate::{
    factor::{drawn_code, plain_code},
    patient::printed_hash,
    service::Identity,
};

/// Sixty random bits.
const CHARACTERS: usize = 12;

pub(crate) async fn issue_code(
    identity: Identity,
    call: Call<IssuePatientCodeRequest>,
) -> Result<IssuePatientCodeResponse, Error> {
    if call.caller.is_citizen() {
        return Err(Error::Denied(why(
            "STAFF_ONLY",
            "医療機関または保健所が発行します。",
            "Only staff issue printed codes.",
        )));
    }
    let (case_id, relations) = case_of(&identity, &call.caller, &call.request.case_id, call.now).await?;

    let lock = async |_: &mut PgConnection| Ok(Held::new((), Seen::by(&relations, [case_id])));
    call.change(&identity.base, lock, async |change| {
        let code = drawn_code(CHARACTERS)?;
        let hash = printed_hash(identity.vault(), case_id, &plain_code(&code));
        if !store::set_code(&mut change.tx, case_id, &hash).await? {
            // The registration is a moment old: its credential is on the way.
            return Err(Error::Unavailable);
        }
        Ok(IssuePatientCodeResponse { code })
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::{Caller, CaseId};
    use proto::{
        identity::{IssuePatientCodeRequest, IssuePatientCodeResponse, Role},
        registry::Relation,
    };
    use testing::{Outcome, Refused as _};
    use tonic::{Code, Status};

    use crate::{
        fixture::request_id,
        patient_access::{self, fixture::Cases},
    };

    async fn issue(
        cases: &Cases,
        caller: &Caller,
        request: IssuePatientCodeRequest,
    ) -> Result<IssuePatientCodeResponse, Status> {
        cases.scene.world.ask(&cases.scene.identity, caller, request, patient_access::issue_code).await
    }

    fn asked(case: CaseId) -> IssuePatientCodeRequest {
        IssuePatientCodeRequest { request_id: request_id(), case_id: case.to_string() }
    }

    #[tokio::test]
    async fn a_repeated_request_shows_the_same_code_as_long_as_the_relation_lasts() -> Outcome {
        let cases = Cases::new().await?;
        let nurse = cases.scene.centre.staff(Role::Nurse);
        let case = cases.patient(&[(cases.scene.centre, Relation::ResponsibleCentre)]).await?;
        let request = asked(case);
        let first = issue(&cases, &nurse, request.clone()).await?;
        assert_eq!(first.code.len(), 13, "twelve characters in two groups");
        assert!(issue(&cases, &nurse, request.clone()).await? == first);
        let audited = cases.scene.world.audited("IssuePatientCode").await?;
        assert_eq!((audited.len(), audited[0].record), (2, case.uuid()));
        let another = issue(&cases, &cases.scene.centre.staff(Role::Nurse), request.clone()).await?;
        assert_ne!(another.code, first.code);
        let other = cases.patient_of(&[(cases.scene.centre, Relation::ResponsibleCentre)]);
        let reused = IssuePatientCodeRequest { case_id: other.to_string(), ..request.clone() };
        assert_eq!(issue(&cases, &nurse, reused).await.refused().code(), Code::AlreadyExists);

        cases.relate(case, &[]);
        assert_eq!(issue(&cases, &nurse, request).await.refused().code(), Code::NotFound);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let cases = Cases::new().await?;
        let (centre, prefecture) = (cases.scene.centre, cases.scene.prefecture);
        let case = cases.patient(&[(centre, Relation::ResponsibleCentre)]).await?;
        let lodged = cases.patient_of(&[(cases.scene.hospital, Relation::LodgingFacility)]);
        let on_the_way = cases.patient_of(&[(centre, Relation::ResponsibleCentre)]);
        for (caller, case, code) in [
            (prefecture.staff(Role::Analyst), case, Code::PermissionDenied),
            (testing::patient(case), case, Code::PermissionDenied),
            (cases.scene.hospital.staff(Role::Nurse), case, Code::NotFound),
            (centre.staff(Role::Nurse), CaseId::new(), Code::NotFound),
            (cases.scene.hospital.staff(Role::Nurse), lodged, Code::PermissionDenied),
            (centre.staff(Role::Nurse), on_the_way, Code::Unavailable),
        ] {
            assert_eq!(issue(&cases, &caller, asked(case)).await.refused().code(), code);
        }
        Ok(())
    }
}
