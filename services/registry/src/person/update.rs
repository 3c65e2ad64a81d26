//! `UpdatePerson`: corrects the basic items that the mask names.

use chassis::{Call, Error};
use data::outbox;
use proto::registry::{Case as View, FilingDoubt, PersonCorrected, Relation, UpdatePersonRequest};
use runtime::clock::day_in_japan;

use super::{
    model::{Mask, corrected, described},
    seal::{open, seal},
    store,
};
use crate::{
    case, duplicate,
    fact::{self, Fact, Recorder},
    service::Registry,
};

pub(crate) async fn update(registry: Registry, call: Call<UpdatePersonRequest>) -> Result<View, Error> {
    let (request, vault) = (&call.request, &registry.base.vault);
    let mask = Mask::read(request.update_mask.as_ref().map_or(&[][..], |mask| &mask.paths))?;
    let given = request.person.clone().unwrap_or_default();

    case::change(&registry, &call, &request.case_id, may_correct, async |change| {
        let (id, today) = (change.held.case.id, day_in_japan(change.now));
        let (_, held) = store::of_cases(&mut change.tx, &[id]).await?.pop().ok_or(Error::NotFound("case"))?;
        let person = corrected(&open(vault, &held)?, &given, &mask, today)?;
        let sealed = seal(vault, held.id, &person)?;
        if sealed.match_index != held.match_index {
            // Whoever this turns out to be may have a case already.
            let known = duplicate::open_of(&mut change.tx, sealed.match_index.as_deref()).await?;
            if let Some(known) = known.iter().find(|known| known.id != id) {
                let at = known.whom_to_ask(&change.held.case);
                change.held.case.same_person = Some(known.id);
                let check = duplicate::to_look_at(at, FilingDoubt::RegisteredTwice, change.now);
                outbox::add(&mut change.tx, &check).await?;
            }
        }
        store::replace(&mut change.tx, &sealed).await?;

        let case = &change.held.case;
        let on = case.course.diagnosis_date.or(case.course.report_date).unwrap_or(today);
        let description = described(&person, on);
        // The basic items are one record: whoever may correct them says what they say of sex and age.
        let recorder = Recorder::of(&call.caller, case, &change.relations, change.now);
        let fact = match fact::described(&change.held.facts) {
            Some(held) => {
                let authority = recorder.authority.max(held.authority);
                Fact { authority, ..recorder.instead(case, held, Some(description)) }
            }
            None => recorder.fact(case, description),
        };
        change.held.record(fact);
        outbox::add(&mut change.tx, &PersonCorrected { case_id: id.to_string() }).await?;
        Ok(())
    })
    .await
}

/// Who treats a person writes about the stay, not about who the person is.
fn may_correct(relation: Relation) -> bool {
    case::may_record(relation) && !matches!(relation, Relation::TreatingInstitution | Relation::AttendingInstitution)
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use prost_types::FieldMask;
    use proto::{
        beds::{AdmissionState, Capability},
        identity::Role,
        options::Group,
        registry::{AgeBand, CaseChanged, FilingDoubt, FilingToCheck, Person, PersonCorrected, UpdatePersonRequest},
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use super::update;
    use crate::{
        fixture::{Scene, form, request_id},
        stay::fixture::told,
    };

    fn correction(case: CaseId, paths: &[&str], person: Person) -> UpdatePersonRequest {
        UpdatePersonRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            person: Some(person),
            update_mask: Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }),
            etag: String::new(),
        }
    }

    fn phone() -> Person {
        Person { phone: "０６－１２３４－５６７８".to_owned(), ..Person::default() }
    }

    #[tokio::test]
    async fn a_mask_of_one_field_changes_that_field_and_demands_no_other() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let corrected = scene.ask(&scene.nurse, correction(id, &["phone"], phone()), update).await?;
        let person = corrected.person.unwrap();
        assert_eq!((person.phone.as_str(), person.name_kanji.as_str()), ("0612345678", "山田 太郎"));
        assert_eq!(scene.world.announced::<PersonCorrected>().await?.len(), 1);

        // A record that was filed without kana and birth date takes a telephone too.
        let mut incomplete = form();
        let subject = incomplete.subject.as_mut().unwrap();
        (subject.name_kana, subject.birth_date, subject.phone) = (String::new(), String::new(), String::new());
        scene.file(scene.clinic, scene.osaka, None, incomplete).await?;
        let filed = scene.world.announced::<CaseChanged>().await?.pop().unwrap();
        let request = correction(CaseId::parse(&filed.case_id)?, &["phone"], phone());
        assert_eq!(scene.ask(&scene.nurse, request, update).await?.person.unwrap().phone, "0612345678");
        Ok(())
    }

    #[tokio::test]
    async fn every_field_can_be_corrected_and_the_coded_facts_follow() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let new = Person {
            name_kanji: "髙﨑 花子".to_owned(),
            name_kana: "タカサキ ハナコ".to_owned(),
            birth_date: "2000-01-01".to_owned(),
            sex: 2,
            address: "東京都".to_owned(),
            phone: "0312345678".to_owned(),
            mail: "h@example.jp".to_owned(),
            municipality_code: "131016".to_owned(),
            stated_age_band: 0,
        };
        let all = [
            "name_kanji",
            "name_kana",
            "birth_date",
            "sex",
            "address",
            "phone",
            "mail",
            "municipality_code",
            "stated_age_band",
        ];
        let corrected = scene.ask(&scene.nurse, correction(id, &all, new.clone()), update).await?;
        assert!(corrected.person == Some(new));
        let announced = scene.world.announced::<CaseChanged>().await?.pop().unwrap();
        assert_eq!((announced.age_band, announced.sex), (i32::from(AgeBand::AgeBand20s), 2));
        Ok(())
    }

    #[tokio::test]
    async fn whoever_a_correction_makes_of_a_person_may_be_known_already() -> Outcome {
        let scene = Scene::new().await?;
        scene.case().await?;
        let other = scene.case().await?;
        let same = Person { phone: "09010000000".to_owned(), ..Person::default() };
        scene.ask(&scene.nurse, correction(other, &["phone"], same), update).await?;
        let asked: Vec<FilingToCheck> = scene.world.announced().await?;
        let asked: Vec<_> = asked.iter().map(|check| (check.doubt(), check.case_id.clone())).collect();
        assert_eq!(asked, [(FilingDoubt::RegisteredTwice, other.to_string())]);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        scene
            .refuses_as_every_change(
                (&scene.nurse, id),
                |case, etag| UpdatePersonRequest { etag: etag.to_owned(), ..correction(case, &["phone"], phone()) },
                update,
            )
            .await?;

        let treated = scene.case().await?;
        let accepted = told(treated, scene.hospital, AdmissionState::Accepted, Capability::General);
        scene.world.hear(&crate::stay::Hears, &accepted).await?;
        let ward = scene.hospital.staff(Role::Physician);
        let narrowed = scene.osaka.narrowed(Role::Clerk, [Group::Contact]);
        let empty = Person::default;
        for (caller, refused, code, field) in [
            (&scene.nurse, correction(id, &[], phone()), Code::InvalidArgument, "update_mask"),
            (&scene.nurse, correction(id, &["case_id"], phone()), Code::InvalidArgument, "update_mask"),
            (&scene.nurse, correction(id, &["name_kanji"], empty()), Code::InvalidArgument, "person.name_kanji"),
            (&scene.nurse, correction(id, &["name_kana"], empty()), Code::InvalidArgument, "person.name_kana"),
            (&scene.nurse, correction(id, &["birth_date"], empty()), Code::InvalidArgument, "person.birth_date"),
            (
                &scene.nurse,
                correction(id, &["phone"], Person { phone: "x".to_owned(), ..empty() }),
                Code::InvalidArgument,
                "person.phone",
            ),
            (
                &scene.nurse,
                correction(id, &["mail"], Person { mail: "x".to_owned(), ..empty() }),
                Code::InvalidArgument,
                "person.mail",
            ),
            (&narrowed, correction(id, &["phone"], phone()), Code::InvalidArgument, "person.phone"),
            (&narrowed, correction(id, &["phone"], empty()), Code::InvalidArgument, "update_mask.phone"),
            (&ward, correction(treated, &["municipality_code"], empty()), Code::PermissionDenied, ""),
        ] {
            let status = scene.ask(caller, refused, update).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (code, true), "{field}: {status}");
        }
        Ok(())
    }
}
