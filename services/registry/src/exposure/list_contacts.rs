//! `ListContacts`: the contacts of a case, as far as the caller's organisation has a relation to them.

use std::collections::{BTreeSet, HashMap};

use access::{
    CaseId, Relations,
    cases::{self, Held},
};
use chassis::{Call, Error, Seen, page};
use proto::registry::{ListContactsRequest, ListContactsResponse, Relation};

use super::store;
use crate::{
    case::{self, Case},
    course,
    fact::{self, Fact},
    service::Registry,
};

pub(crate) async fn list_contacts(
    registry: Registry,
    call: Call<ListContactsRequest>,
) -> Result<ListContactsResponse, Error> {
    let (request, caller) = (&call.request, &call.caller);
    let index = CaseId::parse(&request.case_id)?;
    let after = page::After::parse(&request.page_token)?;
    let size = page::size(request.page_size);

    let mut tx = registry.base.pool.begin().await?;
    let known = case::find(&mut tx, index).await?;
    let own = case::relations(&registry, &mut tx, &known, caller, call.now).await?;
    let rows = store::page(&mut tx, index, caller.organisation_id, after, size).await?;
    let ids: Vec<CaseId> = rows.iter().map(|row| row.contact).collect();
    let mut found: HashMap<CaseId, Case> =
        case::find_all(&mut tx, &ids).await?.into_iter().map(|case| (case.id, case)).collect();
    let facts = fact::of_cases(&mut tx, &ids).await?;

    let (mut listed, mut seen) = (Vec::new(), own.iter().copied().collect::<BTreeSet<Relation>>());
    for row in &rows {
        let Some(case) = found.remove(&row.contact).filter(|case| still_exposed(&facts, case, index)) else { continue };
        let held = row.relations.iter().map(|relation| Held {
            organisation_id: caller.organisation_id,
            relation: relation.0,
            user_id: None,
            until: None,
        });
        let relations = cases::held(case.known(), held, caller, &registry.base.directory, call.now);
        if !relations.is_empty() {
            seen.extend(relations.iter().copied());
            listed.push((case, relations));
        }
    }
    let shown: Vec<CaseId> = listed.iter().map(|(case, _)| case.id).chain([index]).collect();
    let contacts = case::views(&registry.base.vault, &mut tx, listed).await?;
    call.record(&mut tx, &Seen::by(&Relations::new(seen.into_iter().collect(), caller), shown)).await?;
    tx.commit().await?;

    let next_page_token = page::next(&rows, size, |row| page::After::row(row.since, row.contact).token());
    Ok(ListContactsResponse { contacts, next_page_token })
}

/// An exposure that was withdrawn lists nobody.
fn still_exposed(facts: &[Fact], contact: &Case, index: CaseId) -> bool {
    let stands = fact::standing(facts.iter().filter(|fact| fact.case_id == contact.id));
    course::exposures(&stands).iter().any(|(_, exposure)| exposure.index == Some(index))
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::registry::{CaseRole, ListContactsRequest, Person, RegisterCaseRequest, Relation};
    use testing::{Outcome, Refused as _, patient};
    use tonic::Code;

    use super::list_contacts;
    use crate::{
        case,
        fixture::{Scene, person, registration, request_id},
    };

    fn of(index: CaseId, page_size: i32, token: &str) -> ListContactsRequest {
        ListContactsRequest { case_id: index.to_string(), page_size, page_token: token.to_owned() }
    }

    #[tokio::test]
    async fn newest_first_page_by_page_and_only_those_the_caller_has_a_relation_to() -> Outcome {
        let scene = Scene::new().await?;
        let index = scene.case().await?;
        let mut registered = Vec::new();
        for number in 1..=3 {
            let person = Person { phone: format!("0902000000{number}"), ..person() };
            let contact = RegisterCaseRequest {
                person: Some(person),
                role: CaseRole::CloseContact.into(),
                index_case_id: index.to_string(),
                last_contact_date: "2020-05-20".to_owned(),
                ..registration()
            };
            scene.world.clock.advance(time::Duration::seconds(1));
            registered.push(scene.ask(&scene.nurse, contact, case::register).await?.case_id);
        }
        registered.reverse();
        let first = scene.ask(&scene.nurse, of(index, 2, ""), list_contacts).await?;
        let rest = scene.ask(&scene.nurse, of(index, 2, &first.next_page_token), list_contacts).await?;
        let found: Vec<String> =
            first.contacts.iter().chain(&rest.contacts).map(|contact| contact.case_id.clone()).collect();
        assert_eq!((found, rest.next_page_token.as_str()), (registered.clone(), ""));

        // The clinic knows the index case and none of the contacts; then one of them.
        assert!(scene.ask(&scene.physician, of(index, 0, ""), list_contacts).await?.contacts.is_empty());
        let one = CaseId::parse(&registered[1])?;
        scene.regrant(one, |case| case::Grant::begun(case, scene.clinic.id, Relation::Reporter)).await?;
        let seen = scene.ask(&scene.physician, of(index, 0, ""), list_contacts).await?.contacts;
        assert_eq!(seen.iter().map(|contact| &contact.case_id).collect::<Vec<_>>(), [&registered[1]]);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let index = scene.case().await?;
        for (caller, refused, code, field) in [
            (&scene.tokyo_nurse, of(index, 0, ""), Code::NotFound, ""),
            (&patient(CaseId::new()), of(index, 0, ""), Code::NotFound, ""),
            (&scene.nurse, of(CaseId::new(), 0, ""), Code::NotFound, ""),
            (&scene.nurse, of(index, 0, "x"), Code::InvalidArgument, "page_token"),
            (
                &scene.nurse,
                ListContactsRequest { case_id: request_id(), ..ListContactsRequest::default() },
                Code::NotFound,
                "",
            ),
        ] {
            let status = scene.ask(caller, refused, list_contacts).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (code, true), "{status}");
        }
        Ok(())
    }
}
