//! `OpenInEmergency`: a case opens for three hours, found by its id or by the access ID on the patient's slip or phone.

use access::{Caller, CaseId, Relations};
use chassis::{Call, Error, Seen};
use data::outbox;
use japan::access_id::AccessId;
use proto::registry::{
    Case as View, CaseOpenedInEmergency, OpenInEmergencyRequest, Relation, open_in_emergency_request::Case as Named,
};
use runtime::{clock::to_proto, metrics::MANY_EMERGENCIES, problem::why};
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};

use super::{
    model::{OpeningId, WORK_OF_A_DAY, ends},
    store::{self, Opening, REASON},
};
use crate::{
    access_id,
    case::{self, Case, Grant},
    service::Registry,
};

pub(crate) async fn open(registry: Registry, call: Call<OpenInEmergencyRequest>) -> Result<View, Error> {
    let caller = &call.caller;
    let which = Which::read(&registry, call.request.case.as_ref())?;

    // Three hours are over for a repeated answer too.
    let again = async |conn: &mut PgConnection, answer: &View| {
        let case = case::find(conn, CaseId::parse(&answer.case_id)?).await?;
        let relations = case::relations(&registry, conn, &case, caller, registry.base.clock.now()).await?;
        Ok(Seen::by(&relations, [case.id]))
    };
    call.create(&registry.base, again, async |conn| {
        let mut case = which.lock(conn).await?;
        let now = registry.base.clock.now();
        must_be_a_stranger(&registry, conn, &case, caller, now).await?;

        case.step(now);
        let opening = opening(&registry, &call, case.id, now)?;
        store::insert(conn, &opening).await?;
        let granted = Grant::begun(&case, caller.organisation_id, Relation::Emergency);
        let granted = Grant { user_id: caller.user_id, until: Some(opening.until), ..granted };
        case::save_one(conn, &case, &[granted]).await?;
        let before = now - Duration::days(1);
        let of_a_day = store::opened_by(conn, caller.user_id, before, WORK_OF_A_DAY + 1).await?;
        let among_many = of_a_day > WORK_OF_A_DAY;
        outbox::add(conn, &opened(&opening, among_many)).await?;
        tracing::warn!(case_id = %case.id, user_id = %caller.user_id, among_many, "Opening a case in an emergency");
        if among_many {
            MANY_EMERGENCIES.inc();
        }

        let relations = Relations::new(vec![Relation::Emergency], caller);
        let seen = Seen::by(&relations, [case.id]);
        Ok((case::view(&registry.base.vault, conn, case, &relations).await?, seen))
    })
    .await
}

/// Which case is asked for.
enum Which {
    Id(CaseId),
    /// By the blind index of its access ID.
    AccessId(Vec<u8>),
}

impl Which {
    fn read(registry: &Registry, named: Option<&Named>) -> Result<Self, Error> {
        match named {
            Some(Named::CaseId(id)) if !id.is_empty() => Ok(Self::Id(CaseId::parse(id)?)),
            Some(Named::AccessId(typed)) if !typed.is_empty() => {
                let typed = AccessId::parse(typed).ok_or_else(|| {
                    Error::invalid(
                        "access_id",
                        "IDを確認してください",
                        "must be an access ID: its check character is wrong",
                    )
                })?;
                Ok(Self::AccessId(access_id::index(&registry.base.vault, &typed)))
            }
            _ => Err(Error::invalid(
                "case_id",
                "症例かスマホ入力IDを指定してください",
                "is required where no access_id is given",
            )),
        }
    }

    async fn lock(&self, conn: &mut PgConnection) -> Result<Case, Error> {
        let id = match self {
            Self::Id(id) => *id,
            Self::AccessId(hash) => access_id::case_of(conn, hash).await?.ok_or(Error::NotFound("case"))?,
        };
        case::lock_all(conn, &[id]).await?.pop().ok_or(Error::NotFound("case"))
    }
}

/// Nobody needs an emergency for what the organisation sees anyway.
async fn must_be_a_stranger(
    registry: &Registry,
    conn: &mut PgConnection,
    case: &Case,
    caller: &Caller,
    now: OffsetDateTime,
) -> Result<(), Error> {
    match case::relations(registry, conn, case, caller, now).await {
        Ok(held) if held.iter().any(|relation| *relation != Relation::Emergency) => Err(Error::Precondition(why(
            "ALREADY_VISIBLE",
            "すでに閲覧できる症例です。",
            "Your organisation sees this case already.",
        ))),
        Ok(_) | Err(Error::NotFound(_)) => Ok(()),
        Err(other) => Err(other),
    }
}

fn opening(
    registry: &Registry,
    call: &Call<OpenInEmergencyRequest>,
    case_id: CaseId,
    now: OffsetDateTime,
) -> Result<Opening, Error> {
    let id = OpeningId::new();
    Ok(Opening {
        id,
        case_id,
        user_id: call.caller.user_id,
        organisation_id: call.caller.organisation_id,
        at: now,
        until: ends(now),
        reason: registry.base.vault.seal(REASON, id.uuid().as_bytes(), call.request.reason.as_bytes())?,
    })
}

/// The event that lets the centre be told at once.
fn opened(opening: &Opening, among_many: bool) -> CaseOpenedInEmergency {
    CaseOpenedInEmergency {
        case_id: opening.case_id.to_string(),
        opening_id: opening.id.to_string(),
        open_time: Some(to_proto(opening.at)),
        among_many,
    }
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::{
        identity::Role,
        registry::{
            CaseChanged, CaseOpenedInEmergency, GetCaseRequest, OpenInEmergencyRequest, RegisterCaseResponse, Relation,
        },
    };
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use super::{Named, WORK_OF_A_DAY, open};
    use crate::{
        case,
        fixture::{Scene, request_id},
    };

    fn unconscious(case: Named) -> OpenInEmergencyRequest {
        OpenInEmergencyRequest {
            request_id: request_id(),
            case: Some(case),
            reason: "意識不明で救急搬送されたため".to_owned(),
        }
    }

    fn by_slip(registered: &RegisterCaseResponse) -> Named {
        Named::AccessId(registered.access_id.to_lowercase())
    }

    #[tokio::test]
    async fn a_case_opens_for_three_hours_and_is_told_of_at_once() -> Outcome {
        let scene = Scene::new().await?;
        let registered = scene.register(&scene.nurse).await?;
        let id = CaseId::parse(&registered.case_id)?;
        let doctor = scene.hospital.staff(Role::Physician);
        let get = async || scene.ask(&doctor, GetCaseRequest { case_id: id.to_string() }, case::get).await;
        assert_eq!(get().await.refused().code(), Code::NotFound);

        let seen = scene.ask(&doctor, unconscious(by_slip(&registered)), open).await?;
        assert_eq!((seen.case_id, seen.person.unwrap().name_kanji), (id.to_string(), "山田 太郎".to_owned()));
        let told: Vec<CaseOpenedInEmergency> = scene.world.announced().await?;
        assert_eq!((told.len(), &told[0].case_id), (1, &id.to_string()));
        let changed = scene.world.announced::<CaseChanged>().await?.pop().unwrap();
        let granted = |grant: &&proto::registry::Grant| grant.relation == i32::from(Relation::Emergency);
        assert!(changed.grants.iter().find(granted).unwrap().until_time.is_some());

        scene.world.clock.advance(Duration::minutes(179));
        get().await?;
        scene.world.clock.advance(Duration::minutes(1));
        assert_eq!(get().await.refused().code(), Code::NotFound);
        // It may be opened again.
        scene.ask(&doctor, unconscious(Named::CaseId(id.to_string())), open).await?;
        get().await?;
        Ok(())
    }

    #[tokio::test]
    async fn who_opens_very_many_in_a_day_is_told_of_and_not_turned_away() -> Outcome {
        let scene = Scene::new().await?;
        let doctor = scene.hospital.staff(Role::Physician);
        let among_many = async || {
            let told: Vec<CaseOpenedInEmergency> = scene.world.announced().await?;
            Ok::<_, anyhow::Error>(told.iter().map(|told| told.among_many).collect::<Vec<_>>())
        };
        let id = scene.case().await?.to_string();
        // The same patient all day long is one.
        for _ in 0..=WORK_OF_A_DAY {
            scene.ask(&doctor, unconscious(Named::CaseId(id.clone())), open).await?;
        }
        assert!(among_many().await?.iter().all(|many| !many));
        for _ in 0..WORK_OF_A_DAY {
            let other = scene.case().await?.to_string();
            scene.ask(&doctor, unconscious(Named::CaseId(other)), open).await?;
        }
        let told = among_many().await?;
        assert_eq!(told.len(), 2 * usize::try_from(WORK_OF_A_DAY)? + 1);
        assert_eq!(told.iter().filter(|many| **many).count(), 1, "the one beyond");
        // A colleague's first, and one's own a day later, are work.
        scene.ask(&scene.hospital.staff(Role::Physician), unconscious(Named::CaseId(id.clone())), open).await?;
        scene.world.clock.advance(Duration::days(1));
        scene.ask(&doctor, unconscious(Named::CaseId(id.clone())), open).await?;
        assert!(among_many().await?.iter().rev().take(2).all(|many| !many));
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_opening_opens_nothing_and_ends_with_the_first() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let doctor = scene.hospital.staff(Role::Physician);
        let request = unconscious(Named::CaseId(id.to_string()));
        let again = || scene.ask(&doctor, request.clone(), open);
        let answer = again().await?;
        scene.world.clock.advance(Duration::hours(1));
        assert!(again().await? == answer);
        assert_eq!(scene.world.audited("OpenInEmergency").await?.len(), 2);
        assert_eq!(scene.world.announced::<CaseOpenedInEmergency>().await?.len(), 1);
        let other =
            OpenInEmergencyRequest { reason: "別の理由があるためです。".to_owned(), ..request.clone() };
        assert_eq!(scene.ask(&doctor, other, open).await.refused().code(), Code::AlreadyExists);
        scene.world.clock.advance(Duration::hours(2));
        assert_eq!(again().await.refused().code(), Code::NotFound);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?.to_string();
        let doctor = &scene.hospital.staff(Role::Physician);
        let nothing = OpenInEmergencyRequest { case: None, ..unconscious(Named::CaseId(id.clone())) };
        let access_id = |id: &str| unconscious(Named::AccessId(id.to_owned()));
        let case_id = |id: &str| unconscious(Named::CaseId(id.to_owned()));
        for (caller, refused, code, field) in [
            (&scene.hospital.staff(Role::Clerk), case_id(&id), Code::PermissionDenied, ""),
            (doctor, nothing, Code::InvalidArgument, "case_id"),
            (doctor, case_id(""), Code::InvalidArgument, "case_id"),
            (doctor, case_id("x"), Code::NotFound, ""),
            (doctor, case_id(&request_id()), Code::NotFound, ""),
            (doctor, access_id("ABCDE-FGHJK-X"), Code::InvalidArgument, "access_id"),
            (doctor, access_id("00000-00000-0"), Code::NotFound, ""),
            (&scene.physician, case_id(&id), Code::FailedPrecondition, ""),
        ] {
            let status = scene.ask(caller, refused, open).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (code, true), "{field}");
        }
        assert!(scene.world.audited("OpenInEmergency").await?.is_empty());
        Ok(())
    }
}
