//! `UpdateSection`: the answers of a section are others from now on; those before are kept.

use access::{
    OrganisationId,
    policy::{self, Sight},
};
use chassis::{Call, Error, behalf};
use prost::Message as _;
use proto::{
    options::Group,
    registry::{Answer, Case as View, Findings, Relation, UpdateSectionRequest},
};
use runtime::problem::why;

use super::{
    ANSWERS,
    definitions::{self, Section},
    model, opened,
    store::{self, Stored},
};
use crate::{
    case::{self, Case, Grant, Locked},
    service::Registry,
};

/// Who is named in these answers has a relation to the case, from then on and as long as it is named: 居住地の保健所 reads along;
/// フォローアップ担当 and かかりつけ treat the person.
const NAMED: [(&str, Relation); 3] = [
    ("residence_centre", Relation::ResidenceCentre),
    ("followup_institution", Relation::AttendingInstitution),
    ("family_institution", Relation::AttendingInstitution),
];

pub(crate) async fn update(registry: Registry, call: Call<UpdateSectionRequest>) -> Result<View, Error> {
    let (base, request) = (&registry.base, &call.request);
    let section = definitions::latest().section(&request.section_id).ok_or_else(no_such_section)?;
    let answers = model::check(&base.directory, section, &request.answers, call.today()).map_err(Error::Invalid)?;
    let told = behalf::told(base, &call, request.entry.as_ref())?;

    case::change_as(&registry, &call, (&request.case_id, told), case::may_enter, async |change| {
        may_write(section, &change.relations)?;
        let id = change.held.case.id;
        let held = store::of_cases(&mut change.tx, &[id]).await?;
        let held = held.into_iter().find(|held| held.section == section.id);
        let revision = held.as_ref().map_or(0, |held| held.revision);
        if !request.section_etag.is_empty() && request.section_etag != revision.to_string() {
            return Err(Error::StaleEtag);
        }

        let others = held.as_ref().is_some_and(|held| held.organisation != call.caller.organisation_id);
        let before = held.map(|held| opened(&base.vault, &held)).transpose()?.unwrap_or_default().answers;
        let Locked { case, grants, .. } = &mut change.held;
        let named = named(case, &before, &answers);
        may_replace(&change.relations, !named.is_empty(), others)?;
        grants.extend(named);
        let plain = Findings { answers: answers.clone() }.encode_to_vec();
        let stored = Stored {
            case_id: id,
            section: section.id.clone(),
            revision: revision + 1,
            answers: base.vault.seal(ANSWERS, id.uuid().as_bytes(), &plain)?,
            recorded_at: change.now,
            organisation: call.caller.organisation_id,
            user: call.caller.user_id,
            on_behalf_of: told.by,
        };
        store::insert(&mut change.tx, &stored).await?;
        Ok(())
    })
    .await
}

fn no_such_section() -> Error {
    Error::invalid("section_id", "存在しない区分です", "must be a section of GetItemDefinitions")
}

/// The field group of a section decides who writes it, as it decides who sees it.
fn may_write(section: &Section, relations: &access::Relations) -> Result<(), Error> {
    let group = section.group();
    let followed = matches!(group, Group::Followup | Group::Identity | Group::Unspecified);
    // Who would not see what is there does not replace it.
    let full = |relation: &Relation| policy::sight(*relation, group) == Sight::Full;
    let writes = relations.iter().any(|relation| policy::writes(*relation, group) && full(relation));
    if writes && !followed && !relations.hidden().hides(group) {
        return Ok(());
    }
    Err(Error::Denied(why(
        "GROUP_DOES_NOT_ALLOW",
        "この区分を記入する権限がありません。",
        "You may not write this section.",
    )))
}

/// What naming others does to the relations.
fn named(case: &Case, before: &[Answer], after: &[Answer]) -> Vec<Grant> {
    let all = |answers: &[Answer]| -> Vec<(OrganisationId, Relation)> {
        let of = |(item, relation): &(&str, Relation)| Some((model::organisation(answers, item)?, *relation));
        NAMED.iter().filter_map(of).collect()
    };
    let (before, after) = (all(before), all(after));
    let ended = before.iter().filter(|held| !after.contains(held));
    let ended = ended.map(|(organisation, relation)| Grant::ended(case, *organisation, *relation));
    let begun = after.iter().filter(|given| !before.contains(given));
    let begun = begun.map(|(organisation, relation)| Grant::begun(case, *organisation, *relation));
    ended.chain(begun).collect()
}

/// Whom a case is shown to is for the centre at work to say; a prefecture replaces nobody else's answers.
fn may_replace(relations: &access::Relations, changes_sight: bool, others: bool) -> Result<(), Error> {
    let works = |relation: &Relation| matches!(relation, Relation::ResponsibleCentre | Relation::ReceivingCentre);
    if relations.iter().any(works) {
        return Ok(());
    }
    if changes_sight {
        return Err(Error::Denied(why(
            "CENTRE_NAMES_THEM",
            "症例を閲覧できる機関の指定は、担当保健所が行います。",
            "Naming an institution that then sees the case is for the centre at work.",
        )));
    }
    if others && relations.iter().all(|relation| *relation == Relation::Prefecture) {
        return Err(Error::Denied(why(
            "RECORDED_BY_OTHERS",
            "他の機関が記入した区分です。",
            "Another organisation has filled in this section.",
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use access::{Caller, CaseId};
    use proto::{
        identity::Role,
        options::Group,
        registry::{Answer, Case as View, Entry, Relation, UpdateSectionRequest},
    };
    use testing::{Outcome, Refused as _};
    use tonic::{Code, Status};

    use super::update;
    use crate::fixture::{Scene, holders, request_id};

    fn answer(item: &str, values: &[&str]) -> Answer {
        Answer { item: item.to_owned(), values: values.iter().map(|value| (*value).to_owned()).collect() }
    }

    fn section(case: CaseId, section_id: &str, answers: &[Answer]) -> UpdateSectionRequest {
        UpdateSectionRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            section_id: section_id.to_owned(),
            section_etag: String::new(),
            answers: answers.to_vec(),
            entry: None,
        }
    }

    async fn write(scene: &Scene, caller: &Caller, request: UpdateSectionRequest) -> Result<View, Status> {
        scene.ask(caller, request, update).await
    }

    #[tokio::test]
    async fn answers_are_kept_in_their_normal_form_and_shown_to_whom_their_group_is_shown() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let answers = [
            answer("infection_link", &["yes"]),
            answer("travel_from", &["R2.5.13"]),
            answer("behaviour", &[" 5月20日 会食 "]),
            answer("contact_times", &["2020-05-20 18時頃", "R2.5.21 昼"]),
            answer("travel_place", &[""]),
        ];
        let case = write(&scene, &scene.nurse, section(id, "source", &answers)).await?;
        let [shown] = case.epidemiology_sections.as_slice() else { panic!("one section") };
        assert_eq!((shown.section_id.as_str(), shown.etag.as_str()), ("source", "1"));
        let told: Vec<String> =
            shown.answers.iter().map(|answer| format!("{}={}", answer.item, answer.values.join("|"))).collect();
        let stored = [
            "infection_link=yes",
            "travel_from=2020-05-13",
            "behaviour=5月20日 会食",
            "contact_times=2020-05-20 18時頃|2020-05-21 昼",
        ];
        assert_eq!(told, stored);
        write(
            &scene,
            &scene.nurse,
            section(id, "reachability", &[answer("second_phone", &["０６−６２０８ー０００１"])]),
        )
        .await?;

        // A hospital sees nothing of exposure; it does of how the person is reached.
        scene
            .regrant(id, |case| crate::case::Grant::begun(case, scene.hospital.id, Relation::TreatingInstitution))
            .await?;
        let ward = scene.get(&scene.hospital.staff(Role::Physician), id).await?;
        assert!(ward.epidemiology_sections.is_empty());
        assert_eq!(ward.contact_sections[0].answers[0].values, ["0662080001"]);
        Ok(())
    }

    #[tokio::test]
    async fn two_people_on_two_sections_are_not_in_each_others_way_and_on_one_they_are() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let based_on = |etag: &str, request| UpdateSectionRequest { section_etag: etag.to_owned(), ..request };
        let employer = |name: &str| section(id, "background", &[answer("employer", &[name])]);
        write(&scene, &scene.nurse, based_on("0", employer("甲社"))).await?;
        let history = section(id, "medical_history", &[answer("smoking", &["no"])]);
        write(&scene, &scene.physician, based_on("0", history)).await?;
        write(&scene, &scene.nurse, based_on("1", employer("乙社"))).await?;
        let stale = write(&scene, &scene.nurse, based_on("1", employer("丙社"))).await.refused();
        assert_eq!(stale.code(), Code::Aborted);
        let case = scene.get(&scene.nurse, id).await?;
        assert_eq!(case.epidemiology_sections[0].answers[0].values, ["乙社"]);
        Ok(())
    }

    #[tokio::test]
    async fn the_centre_of_the_residence_reads_along_as_long_as_it_is_named() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let named = |values: &[&str]| section(id, "background", &[answer("residence_centre", values)]);
        assert_eq!(scene.get(&scene.tokyo_nurse, id).await.refused().code(), Code::NotFound);
        let tokyo = scene.tokyo.id.to_string();
        let case = write(&scene, &scene.nurse, named(&[&tokyo])).await?;
        assert_eq!(holders(&case, Relation::ResidenceCentre), [tokyo]);
        scene.get(&scene.tokyo_nurse, id).await?;
        let refused = write(&scene, &scene.tokyo_nurse, named(&[])).await.refused();
        assert_eq!(refused.code(), Code::PermissionDenied, "it reads");
        write(&scene, &scene.nurse, named(&[])).await?;
        assert_eq!(scene.get(&scene.tokyo_nurse, id).await.refused().code(), Code::NotFound);
        Ok(())
    }

    #[tokio::test]
    async fn who_is_named_for_follow_up_or_as_family_doctor_sees_the_case_as_long_as_it_is_named() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let carers = |answers: &[Answer]| section(id, "carers", answers);
        let (hospital, doctor) = (scene.hospital.id.to_string(), scene.hospital.staff(Role::Physician));
        let by = |item: &str| carers(&[answer(item, &[&hospital]), answer("emergency_institution", &["救急病院"])]);
        for item in ["followup_institution", "family_institution"] {
            let case = write(&scene, &scene.nurse, by(item)).await?;
            assert_eq!(holders(&case, Relation::AttendingInstitution), std::slice::from_ref(&hospital));
            scene.get(&doctor, id).await?;
        }
        write(&scene, &scene.nurse, carers(&[answer("family_institution", &["やまだ医院"])])).await?;
        assert_eq!(scene.get(&doctor, id).await.refused().code(), Code::NotFound, "a name is nobody's relation");

        // Where the person lies, the ward sees the case, whoever is named beside it.
        let placed = proto::registry::RecordPlacementRequest {
            request_id: request_id(),
            case_id: id.to_string(),
            placement: proto::registry::Placement::Hospital.into(),
            since_date: "2020-06-01".to_owned(),
            facility_id: hospital.clone(),
            ..proto::registry::RecordPlacementRequest::default()
        };
        scene.ask(&scene.nurse, placed, crate::course::record_placement).await?;
        write(&scene, &scene.nurse, by("followup_institution")).await?;
        write(&scene, &scene.nurse, carers(&[])).await?;
        scene.get(&doctor, id).await?;

        // Neither the prefecture nor who reported the case says who sees it, and the prefecture replaces nobody's answers.
        let coordinator = scene.prefecture.staff(Role::Coordinator);
        for caller in [&coordinator, &scene.physician] {
            let refused = write(&scene, caller, by("followup_institution")).await.refused();
            assert_eq!(refused.code(), Code::PermissionDenied);
        }
        let emptied = write(&scene, &coordinator, section(id, "background", &[])).await.refused();
        assert_eq!(emptied.code(), Code::PermissionDenied, "it sees no answers of exposure");
        write(&scene, &scene.nurse, section(id, "carers", &[answer("emergency_institution", &["救急病院"])])).await?;
        let emptied = write(&scene, &coordinator, section(id, "carers", &[])).await.refused();
        assert_eq!(emptied.code(), Code::PermissionDenied);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_missing_is_told_with_who_fills_it_in() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        assert!(scene.get(&scene.nurse, id).await?.missing_items.is_empty(), "the basic items are there");
        scene.file(scene.clinic, scene.osaka, Some(id), crate::fixture::form()).await?;
        let missing = |case: &View| case.missing_items.iter().map(|item| item.item_id.clone()).collect::<Vec<_>>();
        let before = missing(&scene.get(&scene.nurse, id).await?);
        assert!(before.contains(&"infection_link".to_owned()));
        let linked = section(id, "source", &[answer("infection_link", &["unknown"])]);
        let after = missing(&write(&scene, &scene.nurse, linked).await?);
        assert_eq!(after.len(), before.len() - 1, "unknown is an answer");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let source = |case, answers: &[Answer]| section(case, "source", answers);
        let request = |case, _: &str| source(case, &[]);
        let stranger = scene.handed_over().await?;
        for (caller, refused, code) in [
            (&scene.nurse, request(CaseId::new(), ""), Code::NotFound),
            (&scene.tokyo_nurse, request(id, ""), Code::NotFound),
            (&scene.nurse, request(stranger, ""), Code::PermissionDenied),
        ] {
            assert_eq!(write(&scene, caller, refused).await.refused().code(), code);
        }
        let clinic = Entry { on_behalf_of_id: scene.clinic.id.to_string(), ..Entry::default() };
        for (refused, field) in [
            (section(id, "nothing", &[]), "section_id"),
            (source(id, &[answer("employer", &["x"])]), "answers[0]"),
            (source(id, &[answer("infection_link", &["maybe"])]), "answers[0]"),
            (source(id, &[answer("infection_link", &["yes", "no"])]), "answers[0]"),
            (source(id, &[answer("travel_from", &["2020-06-02"])]), "answers[0]"),
            (source(id, &[answer("infection_link", &["yes"]), answer("infection_link", &["no"])]), "answers[1]"),
            (source(id, &[answer("contact_times", &["昨日 会食"])]), "answers[0]"),
            (section(id, "reachability", &[answer("second_phone", &["123"])]), "answers[0]"),
            (section(id, "medical_history", &[answer("pregnancy_weeks", &["many"])]), "answers[0]"),
            (section(id, "background", &[answer("residence_centre", &[&scene.clinic.id.to_string()])]), "answers[0]"),
            (UpdateSectionRequest { entry: Some(clinic), ..source(id, &[]) }, "entry.channel"),
        ] {
            let status = write(&scene, &scene.nurse, refused).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (Code::InvalidArgument, true), "{field}");
        }
        let narrowed = scene.osaka.narrowed(Role::Clerk, [Group::Epidemiology]);
        let refused = write(&scene, &narrowed, source(id, &[])).await.refused();
        assert_eq!(refused.code(), Code::PermissionDenied, "what the ID does not see it does not write");
        Ok(())
    }
}
