//! `RegisterCase`: a person with the basic items only, and a case with its access ID.

use std::sync::Arc;

use access::{Caller, CaseId, Relations, directory::Entry};
use chassis::{Call, Error, Seen, behalf};
use japan::municipality::Municipality;
use proto::registry::{CaseRole, Person, RegisterCaseRequest, RegisterCaseResponse, Relation};
use sqlx::PgConnection;
use time::{Date, OffsetDateTime};

use super::{
    change::{denied, may_record},
    grants::{self, Grant},
    model::{Case, relation_of_filer},
    parse::optional_date,
    save::save_one,
    store,
};
use crate::{
    access_id,
    fact::{self, Recorder},
    person,
    service::Registry,
};

pub(crate) async fn register(
    registry: Registry,
    call: Call<RegisterCaseRequest>,
) -> Result<RegisterCaseResponse, Error> {
    let (caller, now) = (&call.caller, call.now);
    let registration = Registration::read(&registry, &call)?;

    let again = async |conn: &mut PgConnection, answer: &RegisterCaseResponse| {
        let case = store::find(conn, CaseId::parse(&answer.case_id)?).await?;
        let relations = grants::relations(&registry, conn, &case, caller, registry.base.clock.now()).await?;
        // The answer carries the access ID: it is for those who could ask for a new one.
        let may = |relation| may_record(relation) || relation == Relation::ConsultationCentre;
        if !relations.iter().copied().any(may) {
            return Err(denied());
        }
        Ok(Seen::by(&relations, [case.id]).on_behalf_of(registration.told.by))
    };
    call.create(&registry.base, again, async |conn| {
        if let Some(index) = registration.index_case_id {
            // Whoever names a case must be one of those who know it.
            let index = store::find(conn, index).await?;
            grants::relations(&registry, conn, &index, caller, registry.base.clock.now()).await?;
        }
        let new = person::seal_new(&registry.base.vault, &registration.person)?;
        person::insert(conn, std::slice::from_ref(&new)).await?;
        let case_id = CaseId::new();
        let (access_id, access) = access_id::mint(&registry.base.vault, case_id)?;
        let indexes: Vec<Vec<u8>> = new.match_index.iter().cloned().collect();
        let previous = store::ended_of(conn, &indexes).await?.pop().map(|(_, id)| id);
        let mut case = Case { previous, ..Case::opened(case_id, new.id, access, now) };
        registration.fill(&mut case, caller);
        case.step(now);
        let relation = registered_by(&case, caller);
        let relations = Relations::new(vec![relation], caller);
        let told = registration.told;
        let recorder = Recorder::of(caller, &case, &relations, now).told(conn, &case, told).await?;
        let described = person::described(&registration.person, registration.consulted_on);
        let facts = [recorder.fact(&case, described)];
        case.derive(&facts);
        save_one(conn, &case, &registration.grants(&registry, &case, caller, relation)).await?;

        fact::insert(conn, &facts).await?;

        let answer = RegisterCaseResponse {
            case_id: case_id.to_string(),
            access_id: access_id.printed(),
            etag: case.version.to_string(),
            responsible_centre_id: data::text(case.responsible_centre),
        };
        let seen = Seen::by(&relations, [case_id]);
        Ok((answer, seen.on_behalf_of(told.by)))
    })
    .await
}

/// The relation of whoever registers. A centre that is not responsible for the place has reported the case like anybody else.
fn registered_by(case: &Case, caller: &Caller) -> Relation {
    match relation_of_filer(caller.kind) {
        Relation::ResponsibleCentre if case.responsible_centre != Some(caller.organisation_id) => Relation::Reporter,
        relation => relation,
    }
}

/// What is to be registered, read and checked.
struct Registration {
    person: Person,
    /// The day the person was first seen.
    consulted_on: Date,
    role: CaseRole,
    index_case_id: Option<CaseId>,
    last_contact_on: Option<Date>,
    told: behalf::Told,
    /// The centre of the person's whereabouts.
    centre: Option<Arc<Entry>>,
    prefecture: u8,
}

impl Registration {
    fn read(registry: &Registry, call: &Call<RegisterCaseRequest>) -> Result<Self, Error> {
        let (request, today) = (&call.request, call.today());
        let consulted_on = optional_date("consultation_date", &request.consultation_date, today)?.unwrap_or(today);
        let (person, checked) = person::check(request.person.clone().unwrap_or_default(), today)?;
        let role = data::code(request.role);
        let last_contact_on = optional_date("last_contact_date", &request.last_contact_date, today)?;
        if role == CaseRole::CloseContact && last_contact_on.is_none() {
            return Err(Error::invalid(
                "last_contact_date",
                "濃厚接触者には最終接触日が必要です",
                "is required of a close contact",
            ));
        }
        let index_case_id = CaseId::optional(&request.index_case_id)?;
        let told = behalf::told(&registry.base, call, request.entry.as_ref())?;

        let (centre, prefecture) = centre(registry, checked.municipality.as_ref(), &call.caller, call.now);
        Ok(Self { person, consulted_on, role, index_case_id, last_contact_on, told, centre, prefecture })
    }

    /// What is known of the case from the start.
    fn fill(&self, case: &mut Case, caller: &Caller) {
        let own = || (relation_of_filer(caller.kind) == Relation::ResponsibleCentre).then_some(caller.organisation_id);
        case.responsible_centre = self.centre.as_ref().map(|centre| centre.id).or_else(own);
        case.prefecture = self.prefecture;
        if self.role != CaseRole::Unspecified {
            case.role = self.role;
        }
        (case.index_case_id, case.last_contact_on) = (self.index_case_id, self.last_contact_on);
    }

    /// Who has a relation to the case from the start.
    fn grants(&self, registry: &Registry, case: &Case, caller: &Caller, relation: Relation) -> Vec<Grant> {
        let mut grants = vec![Grant::begun(case, caller.organisation_id, relation)];
        grants.extend(self.told.by.map(|institution| Grant::begun(case, institution, Relation::Reporter)));
        grants.extend(self.centre.iter().map(|centre| Grant::begun(case, centre.id, Relation::ResponsibleCentre)));
        let prefecture = registry.base.directory.prefecture(case.prefecture);
        grants.extend(prefecture.map(|prefecture| Grant::begun(case, prefecture, Relation::Prefecture)));
        grants
    }
}

/// The centre of a person's whereabouts and its prefecture; where nothing is known of them, the caller's prefecture.
fn centre(
    registry: &Registry,
    place: Option<&Municipality>,
    caller: &Caller,
    now: OffsetDateTime,
) -> (Option<Arc<Entry>>, u8) {
    let prefecture = place.map_or(caller.prefecture, Municipality::prefecture);
    let directory = &registry.base.directory;
    let centre = directory
        .centre_for(place.map(Municipality::as_str), prefecture, now)
        .or_else(|| directory.open_prefecture(prefecture, now));
    let prefecture = centre.as_ref().map_or(prefecture, |centre| centre.prefecture);
    (centre, prefecture)
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use japan::access_id::AccessId;
    use proto::{
        identity::{OrganisationKind as Kind, Rights, Role},
        registry::{AgeBand, CaseChanged, CaseRole, Person, RecordOutcomeRequest, RegisterCaseRequest, Relation},
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use super::register;
    use crate::fixture::{Scene, entry, holders, person, registration, request_id};

    #[tokio::test]
    async fn a_person_and_a_case_are_there_and_the_centre_of_the_whereabouts_is_responsible() -> Outcome {
        let scene = Scene::new().await?;
        let answer = scene.register(&scene.physician).await?;
        assert!(AccessId::parse(&answer.access_id).is_some());
        assert_eq!((answer.etag.as_str(), &answer.responsible_centre_id), ("1", &scene.osaka.id.to_string()));

        let case = scene.get(&scene.nurse, CaseId::parse(&answer.case_id)?).await?;
        let known = case.person.clone().unwrap();
        assert_eq!((known.birth_date.as_str(), known.phone.as_str()), ("1980-01-31", "09010000000"));
        assert_eq!(holders(&case, Relation::Reporter), [scene.clinic.id.to_string()]);
        assert_eq!(holders(&case, Relation::ResponsibleCentre), [scene.osaka.id.to_string()]);
        assert_eq!(holders(&case, Relation::Prefecture), [scene.prefecture.id.to_string()]);
        let announced: Vec<CaseChanged> = scene.world.announced().await?;
        assert_eq!((announced.len(), announced[0].version, announced[0].grants.len()), (1, 1, 3));
        assert_eq!(announced[0].age_band, i32::from(AgeBand::AgeBand40s));
        assert_eq!(scene.world.audited("RegisterCase").await?.len(), 1);
        Ok(())
    }

    #[tokio::test]
    async fn who_fell_ill_before_has_a_new_case_that_knows_the_old_one() -> Outcome {
        let scene = Scene::new().await?;
        let first = scene.case().await?;
        let ended = RecordOutcomeRequest {
            request_id: request_id(),
            case_id: first.to_string(),
            outcome: 1,
            ..RecordOutcomeRequest::default()
        };
        scene.ask(&scene.nurse, ended, crate::course::record_outcome).await?;
        let second = scene.case().await?;
        assert_eq!(scene.get(&scene.nurse, second).await?.previous_case_id, first.to_string());
        assert_eq!(scene.get(&scene.physician, second).await?.previous_case_id, "", "nobody learns it by registering");
        Ok(())
    }

    #[tokio::test]
    async fn a_close_contact_hangs_on_the_case_it_was_in_contact_with() -> Outcome {
        let scene = Scene::new().await?;
        let index = scene.case().await?;
        let contact = RegisterCaseRequest {
            role: CaseRole::CloseContact.into(),
            index_case_id: index.to_string(),
            last_contact_date: "R2.5.30".to_owned(),
            ..registration()
        };
        let answer = scene.ask(&scene.nurse, contact, register).await?;
        let case = scene.get(&scene.nurse, CaseId::parse(&answer.case_id)?).await?;
        assert_eq!((case.index_case_id, case.last_contact_date.as_str()), (index.to_string(), "2020-05-30"));
        Ok(())
    }

    #[tokio::test]
    async fn a_centre_enters_for_an_institution_without_rights_and_both_see_the_case() -> Outcome {
        let scene = Scene::new().await?;
        let mute = scene.world.organisation(Kind::Clinic, 27, |clinic| clinic.rights = Rights::View.into()).await?;
        let entered = RegisterCaseRequest { entry: Some(entry(mute.id.to_string())), ..registration() };
        let answer = scene.ask(&scene.nurse, entered, register).await?;
        let case = scene.get(&mute.staff(Role::Physician), CaseId::parse(&answer.case_id)?).await?;
        assert_eq!(holders(&case, Relation::Reporter), [mute.id.to_string()]);
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_request_is_decided_anew() -> Outcome {
        let scene = Scene::new().await?;
        let request = registration();
        let again = || scene.ask(&scene.physician, request.clone(), register);
        let answer = again().await?;
        assert!(again().await? == answer);
        assert_eq!(scene.world.audited("RegisterCase").await?.len(), 2, "a repeated answer is a disclosure");
        assert_eq!(scene.world.announced::<CaseChanged>().await?.len(), 1);

        let other =
            RegisterCaseRequest { person: Some(Person { phone: String::new(), ..person() }), ..request.clone() };
        assert_eq!(scene.ask(&scene.physician, other, register).await.refused().code(), Code::AlreadyExists);
        let colleague = scene.clinic.staff(Role::Physician);
        assert!(scene.ask(&colleague, request.clone(), register).await? != answer, "another user's request is another");

        scene.end(CaseId::parse(&answer.case_id)?, scene.clinic, Relation::Reporter).await?;
        assert_eq!(again().await.refused().code(), Code::NotFound, "after the relation ended");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let elsewhere = scene
            .ask(
                &scene.tokyo_nurse,
                RegisterCaseRequest {
                    person: Some(Person { municipality_code: String::new(), ..person() }),
                    ..registration()
                },
                register,
            )
            .await?;
        let with = |person: Person| RegisterCaseRequest { person: Some(person), ..registration() };
        let consulted = |day: &str| RegisterCaseRequest { consultation_date: day.to_owned(), ..registration() };
        let contact = |day: &str| RegisterCaseRequest {
            role: CaseRole::CloseContact.into(),
            last_contact_date: day.to_owned(),
            ..registration()
        };
        let index = |id: &str| RegisterCaseRequest { index_case_id: id.to_owned(), ..registration() };
        let behalf = |id: String| RegisterCaseRequest { entry: Some(entry(id)), ..registration() };
        let (nurse, physician) = (&scene.nurse, &scene.physician);
        for (caller, refused, code, field) in [
            (&scene.clinic.staff(Role::Administrator), registration(), Code::PermissionDenied, ""),
            (
                physician,
                with(Person { name_kanji: String::new(), ..person() }),
                Code::InvalidArgument,
                "person.name_kanji",
            ),
            (
                physician,
                with(Person { birth_date: "2020-06-02".to_owned(), ..person() }),
                Code::InvalidArgument,
                "person.birth_date",
            ),
            (physician, consulted("2020-06-02"), Code::InvalidArgument, "consultation_date"),
            (physician, consulted("いつか"), Code::InvalidArgument, "consultation_date"),
            (physician, contact(""), Code::InvalidArgument, "last_contact_date"),
            (physician, contact("2020-06-02"), Code::InvalidArgument, "last_contact_date"),
            (physician, index("x"), Code::NotFound, ""),
            (physician, index(&request_id()), Code::NotFound, ""),
            (physician, index(&elsewhere.case_id), Code::NotFound, ""),
            (physician, behalf(scene.hospital.id.to_string()), Code::PermissionDenied, ""),
            (nurse, behalf(scene.clinic.id.to_string()), Code::InvalidArgument, "entry.channel"),
            (nurse, behalf("x".to_owned()), Code::InvalidArgument, "entry.on_behalf_of_id"),
        ] {
            let status = scene.ask(caller, refused, register).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (code, true), "{field}");
        }
        Ok(())
    }
}
