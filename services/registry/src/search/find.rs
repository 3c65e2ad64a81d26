//! `SearchCases`: the cases on the caller's list that carry a key.
//!
//! Whether something is found or not, the same statements are sent and a row of the audit trail is written: of each case that was found,
//! or of the organisation in whose list nothing was.

use std::collections::{BTreeSet, HashMap};

use access::{CaseId, Relations, classes};
use chassis::{Call, Error, Seen};
use proto::registry::{FoundCase, Person, Relation, SearchCasesRequest, SearchCasesResponse};
use runtime::{clock::to_proto, problem::why};
use time::OffsetDateTime;

use super::{index, model::Key, store};
use crate::{
    case::{self, Case},
    person,
    service::Registry,
};

/// The most cases in one answer. Who finds more asks for something else.
const MOST: usize = 50;

pub(crate) async fn find(registry: Registry, call: Call<SearchCasesRequest>) -> Result<SearchCasesResponse, Error> {
    let (base, caller) = (&registry.base, &call.caller);
    if caller.is_citizen() {
        return Err(Error::Denied(why("OWN_CASE_ONLY", "患者は検索できません。", "Patients see their own case only.")));
    }
    let whose = base.whose(caller, &call.request.for_organisation_id, call.now)?;
    let key = Key::read(&call.request, caller.organisation_id)?;
    let index = index::of_key(&base.vault, &key);

    let mut tx = base.pool.begin().await?;
    // Follow-up is entrusted, and ends with the episode.
    let open_only = whose != caller.organisation_id;
    let limit = i64::try_from(MOST).unwrap_or(i64::MAX).saturating_add(1);
    let mut rows = store::find(&mut tx, whose, &key, &index, open_only, limit).await?;
    let more = rows.len() > MOST;
    rows.truncate(MOST);
    let ids: Vec<CaseId> = rows.iter().map(|row| row.case_id).collect();
    let known: HashMap<CaseId, Case> =
        case::find_all(&mut tx, &ids).await?.into_iter().map(|case| (case.id, case)).collect();
    let persons: HashMap<CaseId, person::SealedPerson> = person::of_cases(&mut tx, &ids).await?.into_iter().collect();

    let (mut cases, mut shown, mut seen) = (Vec::new(), Vec::new(), BTreeSet::<Relation>::new());
    for row in &rows {
        let (Some(case), Some(sealed)) = (known.get(&row.case_id), persons.get(&row.case_id)) else { continue };
        let relations = row.relations_of(caller, whose, case, &base.directory, call.now);
        if !key.is_shown_to(&relations) {
            continue;
        }
        let header = header(case, person::open(&base.vault, sealed)?, row.since);
        cases.push(classes::mask(&header, &relations).map_err(Error::Internal)?);
        shown.push(case.id.uuid());
        seen.extend(relations.iter().copied());
    }
    if shown.is_empty() {
        shown.push(whose.uuid());
    }
    call.record(&mut tx, &Seen::by(&Relations::new(seen.into_iter().collect(), caller), shown)).await?;
    tx.commit().await?;
    Ok(SearchCasesResponse { cases, more })
}

fn header(case: &Case, person: Person, listed_at: OffsetDateTime) -> FoundCase {
    let course = &case.course;
    FoundCase {
        case_id: case.id.to_string(),
        name_kanji: person.name_kanji,
        name_kana: person.name_kana,
        birth_date: person.birth_date,
        sex: course.sex.into(),
        age_band: course.age_band.into(),
        role: case.role().into(),
        diagnosis_class: course.diagnosis_class.into(),
        report_date: data::text(course.report_date),
        severity: course.severity.into(),
        placement: course.placement.into(),
        outcome: course.outcome.into(),
        responsible_centre_id: data::text(case.responsible_centre),
        list_time: Some(to_proto(listed_at)),
    }
}

#[cfg(test)]
mod tests {
    use access::{Caller, CaseId};
    use prost_types::FieldMask;
    use proto::{
        identity::{ContractScope, OrganisationKind as Kind, Role},
        notification::Form,
        options::Group,
        registry::{
            GetAccessIdRequest, JoinCaseRequest, NameAndBirthDate, PatientNumber, Person, RecordOutcomeRequest,
            RegisterCaseRequest, Relation, SearchCasesRequest, SearchCasesResponse, UpdatePersonRequest,
            search_cases_request::Key,
        },
    };
    use testing::{Outcome, Refused as _, patient, proxy};
    use time::Duration;
    use tonic::{Code, Status};

    use super::{MOST, find};
    use crate::{
        access_id, case, course, duplicate,
        fixture::{Scene, another_person, form, person, receipt_number, registration, request_id},
        person,
    };

    fn by(key: Key) -> SearchCasesRequest {
        SearchCasesRequest { key: Some(key), ..SearchCasesRequest::default() }
    }

    fn phone(typed: &str) -> Key {
        Key::Phone(typed.to_owned())
    }

    fn name(kana: &str, birth_date: &str) -> Key {
        Key::Name(NameAndBirthDate { kana: kana.to_owned(), birth_date: birth_date.to_owned() })
    }

    fn number(number: &str, organisation_id: String) -> Key {
        Key::PatientNumber(PatientNumber { number: number.to_owned(), organisation_id })
    }

    async fn search(scene: &Scene, who: &Caller, key: Key) -> Result<SearchCasesResponse, Status> {
        scene.ask(who, by(key), find).await
    }

    /// The cases that somebody finds.
    async fn found(scene: &Scene, who: &Caller, key: Key) -> anyhow::Result<Vec<CaseId>> {
        let cases = search(scene, who, key).await?.cases;
        cases.iter().map(|case| Ok(CaseId::parse(&case.case_id)?)).collect()
    }

    /// A form of a clinic that has a number of its own for the person.
    fn numbered(number: &str) -> Form {
        let mut form = form();
        form.subject.as_mut().expect("a subject").clinic_patient_number = number.to_owned();
        form
    }

    async fn correct(scene: &Scene, case: CaseId, path: &str, person: Person) -> Outcome {
        let request = UpdatePersonRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            person: Some(person),
            update_mask: Some(FieldMask { paths: vec![path.to_owned()] }),
            etag: String::new(),
        };
        scene.ask(&scene.nurse, request, person::update).await?;
        Ok(())
    }

    #[tokio::test]
    async fn each_key_finds_the_case_however_it_is_typed() -> Outcome {
        let scene = Scene::new().await?;
        let registered = scene.register(&scene.physician).await?;
        let id = CaseId::parse(&registered.case_id)?;
        let notification = scene.file(scene.clinic, scene.osaka, Some(id), numbered("A-0012")).await?;
        let other = RegisterCaseRequest { person: Some(another_person()), ..registration() };
        scene.ask(&scene.physician, other, case::register).await?;

        let clinic = scene.clinic.id.to_string();
        let receipt = receipt_number(notification);
        for (key, what) in [
            (Key::AccessId(registered.access_id.clone()), "as printed"),
            (Key::AccessId(registered.access_id.to_lowercase().replace('-', "　")), "as read out"),
            (Key::ReceiptNumber(receipt.clone()), "the receipt"),
            (Key::ReceiptNumber(receipt.replace('-', "").to_lowercase()), "without dashes"),
            (number("Ａ−００１２", clinic), "the clinic's own number, full-width"),
            (phone("０９０−１０００−００００"), "full-width, with minus signs"),
            (phone("0081 90 1000 0000"), "from abroad"),
            (phone("+819010000000"), "international"),
            (name("ﾔﾏﾀﾞ ﾀﾛｳ", "1980/1/31"), "half-width"),
            (name("やまだたろう", "昭和55年1月31日"), "hiragana, by era"),
            (name("ヤマダ　タロウ", "Ｓ５５．１．３１"), "full-width era"),
        ] {
            assert_eq!(found(&scene, &scene.nurse, key).await?, [id], "{what}");
        }
        let header = search(&scene, &scene.nurse, phone("09010000000")).await?.cases.remove(0);
        assert_eq!((header.name_kanji.as_str(), header.birth_date.as_str()), ("山田 太郎", "1980-01-31"));
        assert_eq!((header.report_date.as_str(), header.diagnosis_class), ("2020-06-01", 1));
        assert_eq!(header.responsible_centre_id, scene.osaka.id.to_string());
        Ok(())
    }

    #[tokio::test]
    async fn what_others_know_and_what_nobody_knows_are_one_answer_and_one_row_of_the_trail() -> Outcome {
        let scene = Scene::new().await?;
        let id = CaseId::parse(&scene.register(&scene.physician).await?.case_id)?;
        let theirs = search(&scene, &scene.tokyo_nurse, phone("09010000000")).await?;
        let nobodys = search(&scene, &scene.tokyo_nurse, phone("09099990000")).await?;
        assert!(theirs == nobodys && theirs == SearchCasesResponse::default());
        let trail = scene.world.audited("SearchCases").await?;
        assert_eq!(trail.len(), 2);
        assert!(trail.iter().all(|row| row.record == scene.tokyo.id.uuid() && row.groups.is_empty()));
        assert_eq!(trail[0], trail[1]);

        search(&scene, &scene.nurse, phone("09010000000")).await?;
        let hit = scene.world.audited("SearchCases").await?.pop().unwrap();
        assert_eq!((hit.record, hit.user), (id.uuid(), Some(scene.nurse.user_id.uuid())));
        assert!(hit.groups.contains(&(Group::Identity as i16)));
        // The relation ends, and with it what can be found.
        scene.end(id, scene.osaka, Relation::ResponsibleCentre).await?;
        assert!(found(&scene, &scene.nurse, phone("09010000000")).await?.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn a_corrected_person_is_found_by_what_is_right_and_no_longer_by_what_was_wrong() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let new = Person { phone: "06-1234-5678".to_owned(), ..Person::default() };
        correct(&scene, id, "phone", new).await?;
        assert_eq!(found(&scene, &scene.nurse, phone("0612345678")).await?, [id]);
        assert!(found(&scene, &scene.nurse, phone("09010000000")).await?.is_empty());
        assert_eq!(found(&scene, &scene.nurse, name("ヤマダタロウ", "S55.1.31")).await?, [id]);
        let new = Person { birth_date: "1980-02-01".to_owned(), ..Person::default() };
        correct(&scene, id, "birth_date", new).await?;
        assert!(found(&scene, &scene.nurse, name("ヤマダタロウ", "S55.1.31")).await?.is_empty());
        assert_eq!(found(&scene, &scene.nurse, name("ヤマダタロウ", "1980-02-01")).await?, [id]);

        // A filing supplied the telephone of a person who was registered without one.
        let silent = Person { phone: String::new(), ..another_person() };
        let request = RegisterCaseRequest { person: Some(silent), ..registration() };
        let silent = CaseId::parse(&scene.ask(&scene.physician, request, case::register).await?.case_id)?;
        let mut told = form();
        let subject = told.subject.as_mut().unwrap();
        subject.name_kanji = "鈴木 花子".to_owned();
        subject.name_kana = "スズキ ハナコ".to_owned();
        subject.birth_date = "1990-12-24".to_owned();
        subject.phone = "09077770000".to_owned();
        scene.file(scene.clinic, scene.osaka, Some(silent), told).await?;
        assert_eq!(found(&scene, &scene.nurse, phone("090-7777-0000")).await?, [silent]);
        Ok(())
    }

    #[tokio::test]
    async fn a_number_of_an_institution_is_its_own_and_follows_the_form() -> Outcome {
        let scene = Scene::new().await?;
        let id = CaseId::parse(&scene.register(&scene.physician).await?.case_id)?;
        let notification = scene.file(scene.clinic, scene.osaka, Some(id), numbered("12")).await?;
        scene.file(scene.clinic, scene.osaka, Some(id), numbered("12")).await?;
        let clinic = || scene.clinic.id.to_string();
        assert_eq!(found(&scene, &scene.physician, number("12", String::new())).await?, [id], "its own, and once");
        assert_eq!(found(&scene, &scene.nurse, number("12", clinic())).await?, [id]);
        assert!(found(&scene, &scene.nurse, number("12", String::new())).await?.is_empty(), "the centre gave none");
        let hospital = scene.hospital.id.to_string();
        assert!(found(&scene, &scene.nurse, number("12", hospital)).await?.is_empty(), "another one's");

        let single = scene.unrelated().await?;
        let mut form = numbered("77");
        let known = scene.get(&scene.nurse, single).await?.person.unwrap();
        let subject = form.subject.as_mut().unwrap();
        (subject.name_kanji, subject.name_kana) = (known.name_kanji, known.name_kana);
        (subject.birth_date, subject.phone) = (known.birth_date, known.phone);
        let amended = scene.file(scene.osaka, scene.osaka, Some(single), form.clone()).await?;
        form.subject.as_mut().unwrap().clinic_patient_number = "78".to_owned();
        scene.amend(amended, 2, scene.osaka, form).await?;
        assert!(found(&scene, &scene.nurse, number("77", String::new())).await?.is_empty());
        assert_eq!(found(&scene, &scene.nurse, number("78", String::new())).await?, [single]);
        assert_eq!(found(&scene, &scene.nurse, Key::ReceiptNumber(receipt_number(amended))).await?, [single]);

        scene.withdraw(notification).await?;
        let receipt = Key::ReceiptNumber(receipt_number(notification));
        assert_eq!(found(&scene, &scene.nurse, receipt).await?, [id], "somebody still holds the receipt");
        Ok(())
    }

    #[tokio::test]
    async fn a_lost_access_id_finds_nothing_and_cases_that_were_joined_keep_what_led_to_them() -> Outcome {
        let scene = Scene::new().await?;
        let known = CaseId::parse(&scene.register(&scene.nurse).await?.case_id)?;
        let ask = GetAccessIdRequest { case_id: known.to_string() };
        let lost = scene.ask(&scene.nurse, ask, access_id::get).await?.access_id;
        let reissue = proto::registry::ReissueAccessIdRequest { request_id: request_id(), case_id: known.to_string() };
        let new = scene.ask(&scene.nurse, reissue, access_id::reissue).await?.access_id;
        assert!(found(&scene, &scene.nurse, Key::AccessId(lost)).await?.is_empty());
        assert_eq!(found(&scene, &scene.nurse, Key::AccessId(new)).await?, [known]);

        let again = CaseId::parse(&scene.register(&scene.hospital.staff(Role::Physician)).await?.case_id)?;
        let join = JoinCaseRequest {
            request_id: request_id(),
            case_id: again.to_string(),
            etag: String::new(),
            into_case_id: known.to_string(),
        };
        scene.ask(&scene.nurse, join, duplicate::join).await?;
        // The hospital's slip shows the case that it registered; the notification goes to the other one.
        let notification = scene.file(scene.hospital, scene.osaka, Some(again), numbered("5")).await?;
        let hospital = scene.hospital.id.to_string();
        assert_eq!(found(&scene, &scene.nurse, Key::ReceiptNumber(receipt_number(notification))).await?, [known]);
        assert_eq!(found(&scene, &scene.nurse, number("5", hospital)).await?, [known]);
        let mut both = found(&scene, &scene.nurse, phone("09010000000")).await?;
        both.sort_unstable();
        let mut persons = [known, again];
        persons.sort_unstable();
        assert_eq!(both, persons);
        Ok(())
    }

    #[tokio::test]
    async fn many_are_cut_off_newest_first_and_it_is_said_that_there_are_more() -> Outcome {
        let scene = Scene::new().await?;
        let mut cases = Vec::new();
        // People in one home have one telephone.
        for number in 0..=MOST {
            let resident =
                Person { name_kanji: format!("山田 {number}"), phone: "0612345678".to_owned(), ..person() };
            let request = RegisterCaseRequest { person: Some(resident), ..registration() };
            cases.push(CaseId::parse(&scene.ask(&scene.physician, request, case::register).await?.case_id)?);
            scene.world.clock.advance(Duration::seconds(1));
        }
        let answer = search(&scene, &scene.nurse, phone("06-1234-5678")).await?;
        assert!(answer.more);
        let newest: Vec<String> = cases.iter().rev().take(MOST).map(ToString::to_string).collect();
        assert_eq!(answer.cases.iter().map(|case| case.case_id.clone()).collect::<Vec<_>>(), newest);
        assert!(!search(&scene, &scene.nurse, name("ヤマダタロウ", "1999-01-01")).await?.more);
        Ok(())
    }

    #[tokio::test]
    async fn nobody_finds_by_what_is_hidden_from_them_and_sees_no_more_than_the_list_shows() -> Outcome {
        let scene = Scene::new().await?;
        let registered = scene.register(&scene.physician).await?;
        let id = CaseId::parse(&registered.case_id)?;
        scene.file(scene.clinic, scene.osaka, Some(id), numbered("9")).await?;
        let (clinic, access_id) = (scene.clinic.id.to_string(), registered.access_id);

        let no_contact = scene.osaka.narrowed(Role::Clerk, [Group::Contact]);
        assert!(found(&scene, &no_contact, phone("09010000000")).await?.is_empty());
        assert!(found(&scene, &no_contact, Key::AccessId(access_id)).await?.is_empty());
        assert_eq!(found(&scene, &no_contact, name("ヤマダタロウ", "S55.1.31")).await?, [id]);
        let no_names = scene.osaka.narrowed(Role::Clerk, [Group::Identity]);
        assert!(found(&scene, &no_names, name("ヤマダタロウ", "S55.1.31")).await?.is_empty());
        let masked = search(&scene, &no_names, phone("09010000000")).await?.cases.remove(0);
        assert_eq!((masked.name_kanji.as_str(), masked.report_date.as_str()), ("", "2020-06-01"));

        let association = scene.world.body(Kind::MedicalAssociation, 27).await?;
        scene.world.entrust(scene.osaka, association, ContractScope::Followup).await?;
        let contractor = association.staff(Role::Nurse);
        let entrusted = |key| SearchCasesRequest { for_organisation_id: scene.osaka.id.to_string(), ..by(key) };
        let seen = scene.ask(&contractor, entrusted(phone("09010000000")), find).await?.cases.remove(0);
        assert_eq!((seen.name_kanji.as_str(), seen.report_date.as_str()), ("山田 太郎", ""), "as the list shows it");
        assert!(scene.ask(&contractor, entrusted(number("9", clinic)), find).await?.cases.is_empty());
        assert!(search(&scene, &contractor, phone("09010000000")).await?.cases.is_empty(), "it has none of its own");
        let released = RecordOutcomeRequest {
            request_id: request_id(),
            case_id: id.to_string(),
            outcome: 1,
            ..RecordOutcomeRequest::default()
        };
        scene.ask(&scene.nurse, released, course::record_outcome).await?;
        assert!(scene.ask(&contractor, entrusted(phone("09010000000")), find).await?.cases.is_empty(), "it has ended");
        assert_eq!(found(&scene, &scene.nurse, phone("09010000000")).await?, [id]);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let good = || by(phone("09010000000"));
        let others = SearchCasesRequest { for_organisation_id: scene.tokyo.id.to_string(), ..good() };
        for (caller, refused, code, field) in [
            (&patient(case), good(), Code::PermissionDenied, ""),
            (&proxy(case), good(), Code::PermissionDenied, ""),
            (&scene.clinic.staff(Role::Administrator), good(), Code::PermissionDenied, ""),
            (&scene.nurse, others, Code::NotFound, ""),
            (&scene.nurse, SearchCasesRequest::default(), Code::InvalidArgument, "key"),
            (&scene.nurse, by(phone("")), Code::InvalidArgument, "phone"),
            (&scene.nurse, by(phone("12345")), Code::InvalidArgument, "phone"),
            (&scene.nurse, by(Key::AccessId("x".to_owned())), Code::InvalidArgument, "access_id"),
            (&scene.nurse, by(Key::ReceiptNumber("27".to_owned())), Code::InvalidArgument, "receipt_number"),
            (&scene.nurse, by(number("", String::new())), Code::InvalidArgument, "patient_number.number"),
            (&scene.nurse, by(number("　", String::new())), Code::InvalidArgument, "patient_number.number"),
            (&scene.nurse, by(number("1", "x".to_owned())), Code::NotFound, ""),
            (&scene.nurse, by(name("山田", "S55.1.31")), Code::InvalidArgument, "name.kana"),
            (&scene.nurse, by(name("ヤマダ", "S55.2.31")), Code::InvalidArgument, "name.birth_date"),
            (&scene.nurse, by(name("ヤマダ", "")), Code::InvalidArgument, "name.birth_date"),
        ] {
            let status = scene.ask(caller, refused, find).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (code, true), "{field}: {status}");
        }
        assert!(scene.world.audited("SearchCases").await?.is_empty());
        Ok(())
    }
}
