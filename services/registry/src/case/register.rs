//! `RegisterCase`: a person with the basic items only, and a case with its access ID. Whose open case the caller knows keeps it.

use std::sync::Arc;

use access::{Caller, CaseId, Relations, directory::Entry};
use chassis::{Call, Error, Seen, behalf};
use data::outbox;
use japan::{access_id::AccessId, municipality::Municipality};
use proto::registry::{CaseRole, FilingDoubt, Person, RegisterCaseRequest, RegisterCaseResponse, Relation};
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
    access_id, duplicate, exposure,
    fact::{self, Content, Exposure, Fact, Recorder},
    filing, person,
    service::Registry,
};

pub(crate) async fn register(
    registry: Registry,
    call: Call<RegisterCaseRequest>,
) -> Result<RegisterCaseResponse, Error> {
    let caller = &call.caller;
    let registration = Registration::read(&registry, &call)?;

    let again = async |conn: &mut PgConnection, answer: &RegisterCaseResponse| {
        let case = store::find(conn, CaseId::parse(&answer.case_id)?).await?;
        let relations = grants::relations(&registry, conn, &case, caller, registry.base.clock.now()).await?;
        // The answer carries the access ID: it is for those who could ask for a new one.
        if !relations.iter().copied().any(sees_access_id) {
            return Err(denied());
        }
        Ok(Seen::by(&relations, [case.id]).on_behalf_of(registration.told.by))
    };
    call.create(&registry.base, again, async |conn| {
        if let Some(index) = registration.index_case_id {
            exposure::index_case(&registry, conn, index, caller).await?;
        }
        let index = person::match_index(&registry.base.vault, &registration.person);
        let known = duplicate::open_of(conn, index.as_deref()).await?;
        let mine = known.iter().find(|known| known.is_worked_on_by(caller.organisation_id, call.now));
        let mine = match mine {
            // What was seen before it was locked may have changed.
            Some(known) => store::lock_all(conn, &[known.id]).await?.pop().filter(Case::is_open),
            None => None,
        };
        match mine {
            Some(case) => registration.goes_on(&registry, &call, conn, case).await,
            // The first one that the caller does not know: nothing of it is told, and its centre is asked.
            None => registration.opens(&registry, &call, conn, known.first()).await,
        }
    })
    .await
}

fn sees_access_id(relation: Relation) -> bool {
    may_record(relation) || relation == Relation::ConsultationCentre
}

/// The relation of whoever registers. A centre that is not responsible for the place has reported the case like anybody else.
fn registered_by(case: &Case, caller: &Caller) -> Relation {
    match relation_of_filer(caller.kind) {
        Relation::ResponsibleCentre if case.responsible_centre != Some(caller.organisation_id) => Relation::Reporter,
        relation => relation,
    }
}

fn answer(case: &Case, access_id: String) -> RegisterCaseResponse {
    RegisterCaseResponse {
        case_id: case.id.to_string(),
        access_id,
        etag: case.version.to_string(),
        responsible_centre_id: data::text(case.responsible_centre),
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

    /// A new case. `known` is an open one that the caller does not know.
    async fn opens(
        &self,
        registry: &Registry,
        call: &Call<RegisterCaseRequest>,
        conn: &mut PgConnection,
        known: Option<&duplicate::Known>,
    ) -> Result<(RegisterCaseResponse, Seen), Error> {
        let (caller, now) = (&call.caller, call.now);
        let new = person::seal_new(&registry.base.vault, &self.person)?;
        person::insert(conn, std::slice::from_ref(&new)).await?;
        let case_id = CaseId::new();
        let (access_id, access) = access_id::mint(&registry.base.vault, case_id)?;
        let indexes: Vec<Vec<u8>> = new.match_index.iter().cloned().collect();
        let previous = store::ended_of(conn, &indexes).await?.pop().map(|(_, id)| id);
        let mut case =
            Case { same_person: known.map(|known| known.id), previous, ..Case::opened(case_id, new.id, access, now) };
        self.fill(&mut case, caller);
        case.step(now);
        let relation = registered_by(&case, caller);
        let relations = Relations::new(vec![relation], caller);
        let recorder = Recorder::of(caller, &case, &relations, now).told(conn, &case, self.told).await?;
        let described = recorder.fact(&case, person::described(&self.person, self.consulted_on));
        let facts: Vec<Fact> = [described.clone()]
            .into_iter()
            .chain(self.exposure().map(|exposure| recorder.fact(&case, exposure).following(&[described])))
            .collect();
        case.derive(&facts);
        save_one(conn, &case, &self.grants(registry, &case, caller, relation)).await?;
        fact::insert(conn, &facts).await?;
        self.list_contact(conn, &case, now).await?;
        if let Some(known) = known {
            let at = known.whom_to_ask(&case);
            outbox::add(conn, &duplicate::to_look_at(at, FilingDoubt::RegisteredTwice, now)).await?;
        }
        Ok((answer(&case, access_id.printed()), Seen::by(&relations, [case_id]).on_behalf_of(self.told.by)))
    }

    /// The open case that the caller knows goes on: what is new about the person is learnt, and nothing is typed twice.
    async fn goes_on(
        &self,
        registry: &Registry,
        call: &Call<RegisterCaseRequest>,
        conn: &mut PgConnection,
        mut case: Case,
    ) -> Result<(RegisterCaseResponse, Seen), Error> {
        let (caller, now) = (&call.caller, call.now);
        let relations = grants::relations(registry, conn, &case, caller, now).await?;
        if !relations.iter().copied().any(sees_access_id) {
            return Err(denied());
        }
        if self.index_case_id == Some(case.id) {
            return Err(Error::invalid(
                "index_case_id",
                "本人の症例は指定できません",
                "must be another case than the person's own",
            ));
        }
        case.step(now);
        let recorder = Recorder::of(caller, &case, &relations, now).told(conn, &case, self.told).await?;
        let before = fact::of_cases(conn, &[case.id]).await?;
        let mut all = before.clone();
        for content in self.exposure().into_iter().chain(self.described(&before)) {
            let fact = recorder.fact(&case, content).following(&all);
            all.push(fact);
        }
        let new = all.split_off(before.len());
        if self.role != CaseRole::CloseContact {
            case.registered_as = CaseRole::Patient;
        }
        case.derive(&[before, new.clone()].concat());
        save_one(conn, &case, &[]).await?;
        fact::insert(conn, &new).await?;
        self.list_contact(conn, &case, now).await?;
        let differs = person::supply(&registry.base.vault, conn, case.id, &self.person).await?;
        let mut doubts = Vec::from_iter(Some(FilingDoubt::PersonDiffers).filter(|_| differs));
        // An institution that did not know of the case does not see it for having told the centre of the person.
        if let Some(institution) = self.told.by {
            let held = grants::of_cases(conn, &[case.id]).await?;
            if !held.iter().any(|grant| filing::may_go_on(grant, institution, now)) {
                doubts.push(FilingDoubt::RegisteredTwice);
            }
        }
        for doubt in doubts {
            outbox::add(conn, &duplicate::to_look_at(case.id, doubt, now)).await?;
        }
        let access_id = access_id::open(&registry.base.vault, &case)?;
        let printed = AccessId::parse(&access_id).map_or(access_id, |id| id.printed());
        Ok((answer(&case, printed), Seen::by(&relations, [case.id]).on_behalf_of(self.told.by)))
    }

    /// What is known of the case from the start.
    fn fill(&self, case: &mut Case, caller: &Caller) {
        let own = || (relation_of_filer(caller.kind) == Relation::ResponsibleCentre).then_some(caller.organisation_id);
        case.responsible_centre = self.centre.as_ref().map(|centre| centre.id).or_else(own);
        case.prefecture = self.prefecture;
        if self.role != CaseRole::Unspecified {
            case.registered_as = self.role;
        }
    }

    /// What is said of sex and age, where that is not known yet.
    fn described(&self, known: &[Fact]) -> Option<Content> {
        let said = person::described(&self.person, self.consulted_on);
        let stands = fact::standing(known);
        Some(said).filter(|said| stands.iter().all(|fact| fact.content.as_ref() != Some(said)))
    }

    /// 濃厚接触, where the person is registered for it.
    fn exposure(&self) -> Option<Content> {
        self.last_contact_on.map(|on| Content::Exposure(Exposure { index: self.index_case_id, on }))
    }

    async fn list_contact(&self, conn: &mut PgConnection, case: &Case, now: OffsetDateTime) -> sqlx::Result<()> {
        match self.index_case_id.filter(|_| self.last_contact_on.is_some()) {
            Some(index) => exposure::listed(conn, index, case.id, now).await,
            None => Ok(()),
        }
    }

    /// Who has a relation to the case from the start.
    fn grants(&self, registry: &Registry, case: &Case, caller: &Caller, relation: Relation) -> Vec<Grant> {
        let mut grants = vec![Grant::begun(case, caller.organisation_id, relation)];
        grants.extend(self.told.by.map(|institution| Grant::begun(case, institution, Relation::Reporter)));
        grants.extend(self.centre.iter().map(|centre| Grant::begun(case, centre.id, Relation::ResponsibleCentre)));
        grants.extend(grants::prefectures(case, &[], &registry.base.directory));
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
        registry::{
            AgeBand, CaseChanged, CaseRole, FilingDoubt, FilingToCheck, Person, RecordOutcomeRequest,
            RegisterCaseRequest, Relation,
        },
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use super::register;
    use crate::fixture::{Scene, another_person, entry, holders, person, registration, request_id};

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
        let second = CaseId::parse(&scene.register(&scene.physician).await?.case_id)?;
        assert_eq!(scene.get(&scene.nurse, second).await?.previous_case_id, first.to_string());
        assert_eq!(scene.get(&scene.physician, second).await?.previous_case_id, "", "nobody learns it by registering");
        Ok(())
    }

    #[tokio::test]
    async fn the_clinic_and_then_the_centre_register_one_case() -> Outcome {
        let scene = Scene::new().await?;
        let first = scene.register(&scene.physician).await?;
        // The centre knows an address, and another spelling of the telephone.
        let known = Person {
            address: "大阪市北区中之島1".to_owned(),
            phone: "０９０−１０００−００００".to_owned(),
            ..person()
        };
        let typed = RegisterCaseRequest { person: Some(known), ..registration() };
        let second = scene.ask(&scene.nurse, typed, register).await?;
        assert_eq!((&second.case_id, &second.access_id), (&first.case_id, &first.access_id));
        let case = scene.get(&scene.physician, CaseId::parse(&first.case_id)?).await?;
        assert_eq!(case.person.unwrap().address, "大阪市北区中之島1");
        assert!(scene.world.announced::<FilingToCheck>().await?.is_empty(), "nothing is doubtful");

        let moved = Person { address: "大阪市西区".to_owned(), ..person() };
        let typed = RegisterCaseRequest { person: Some(moved), ..registration() };
        assert_eq!(scene.ask(&scene.physician, typed, register).await?.case_id, first.case_id);
        let doubts: Vec<FilingToCheck> = scene.world.announced().await?;
        assert_eq!(doubts.iter().map(FilingToCheck::doubt).collect::<Vec<_>>(), [FilingDoubt::PersonDiffers]);
        Ok(())
    }

    #[tokio::test]
    async fn who_knows_a_strangers_name_birth_date_and_telephone_learns_nothing_and_changes_nothing() -> Outcome {
        let scene = Scene::new().await?;
        let known = CaseId::parse(&scene.register(&scene.nurse).await?.case_id)?;
        let before = scene.get(&scene.nurse, known).await?;
        let (announced, doctor) =
            (scene.world.announced::<CaseChanged>().await?.len(), scene.hospital.staff(Role::Physician));
        let of_same_age = Person { birth_date: person().birth_date, ..another_person() };
        let found = scene.register(&doctor).await?;
        let unknown =
            scene.ask(&doctor, RegisterCaseRequest { person: Some(of_same_age), ..registration() }, register).await?;
        assert_eq!((&found.etag, &found.responsible_centre_id), (&unknown.etag, &unknown.responsible_centre_id));
        let (own, other) = (CaseId::parse(&found.case_id)?, CaseId::parse(&unknown.case_id)?);
        let bare = |mut case: proto::registry::Case| {
            (case.case_id, case.person) = (String::new(), None);
            (case.create_time, case.update_time) = (None, None);
            case.grants.iter_mut().for_each(|grant| grant.from_time = None);
            case
        };
        assert!(
            bare(scene.get(&doctor, own).await?) == bare(scene.get(&doctor, other).await?),
            "one looks like the other"
        );
        assert_ne!(own, known);
        assert_eq!(scene.get(&doctor, known).await.refused().code(), Code::NotFound);
        assert!(scene.get(&scene.nurse, known).await? == before);
        assert_eq!(
            scene.world.announced::<CaseChanged>().await?.len(),
            announced + 2,
            "two new cases and nothing else"
        );

        // The centre is asked, and sees which case it may be.
        let doubts: Vec<FilingToCheck> = scene.world.announced().await?;
        assert_eq!(
            doubts.iter().map(|check| (check.doubt(), check.case_id.clone())).collect::<Vec<_>>(),
            [(FilingDoubt::RegisteredTwice, own.to_string())]
        );
        assert_eq!(scene.get(&scene.nurse, own).await?.same_person_case_id, known.to_string());
        Ok(())
    }

    #[tokio::test]
    async fn another_centre_learns_as_little_by_registering_and_the_centre_of_the_case_is_told() -> Outcome {
        let scene = Scene::new().await?;
        let before = scene.case().await?;
        let ended = RecordOutcomeRequest {
            request_id: request_id(),
            case_id: before.to_string(),
            outcome: 1,
            ..RecordOutcomeRequest::default()
        };
        scene.ask(&scene.nurse, ended, crate::course::record_outcome).await?;
        let known = CaseId::parse(&scene.register(&scene.nurse).await?.case_id)?;
        let elsewhere = Person { municipality_code: String::new(), ..person() };
        let request = RegisterCaseRequest { person: Some(elsewhere), ..registration() };
        let own = CaseId::parse(&scene.ask(&scene.tokyo_nurse, request, register).await?.case_id)?;
        let seen = scene.get(&scene.tokyo_nurse, own).await?;
        assert_eq!((seen.same_person_case_id.as_str(), seen.previous_case_id.as_str()), ("", ""));
        assert_eq!(seen.previous_access_id, "");
        let asked: Vec<FilingToCheck> = scene.world.announced().await?;
        assert_eq!(asked.last().map(|check| check.case_id.clone()), Some(known.to_string()));
        Ok(())
    }

    #[tokio::test]
    async fn an_institution_for_which_a_centre_enters_sees_no_case_that_it_did_not_know() -> Outcome {
        let scene = Scene::new().await?;
        let known = scene.case().await?;
        let mute = scene.world.organisation(Kind::Clinic, 27, |clinic| clinic.rights = Rights::View.into()).await?;
        let entered = RegisterCaseRequest { entry: Some(entry(mute.id.to_string())), ..registration() };
        assert_eq!(scene.ask(&scene.nurse, entered, register).await?.case_id, known.to_string());
        assert_eq!(scene.get(&mute.staff(Role::Physician), known).await.refused().code(), Code::NotFound);
        let asked: Vec<FilingToCheck> = scene.world.announced().await?;
        assert_eq!(asked.iter().map(FilingToCheck::doubt).collect::<Vec<_>>(), [FilingDoubt::RegisteredTwice]);
        Ok(())
    }

    #[tokio::test]
    async fn a_close_contact_hangs_on_the_case_it_was_in_contact_with() -> Outcome {
        let scene = Scene::new().await?;
        let index = scene.case().await?;
        let contact = RegisterCaseRequest {
            person: Some(another_person()),
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
        let colleagues = scene.ask(&colleague, request.clone(), register).await?;
        assert_eq!(
            (colleagues.etag.as_str(), colleagues.case_id),
            ("2", answer.case_id.clone()),
            "a request of its own"
        );

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
