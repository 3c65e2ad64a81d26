//! `ListFacts`: every record of a case, oldest first.

use access::{CaseId, classes};
use chassis::{Call, Error, Seen, page};
use prost::Message as _;
use proto::registry::{Fact as View, FactStanding, ListFactsRequest, ListFactsResponse, fact_content::Content};

use super::{model::Fact, standing, store, view::shown};
use crate::{case, service::Registry};

pub(crate) async fn list(registry: Registry, call: Call<ListFactsRequest>) -> Result<ListFactsResponse, Error> {
    let id = CaseId::parse(&call.request.case_id)?;
    let after = page::After::parse(&call.request.page_token)?;
    let size = page::size(call.request.page_size);

    let mut tx = registry.base.pool.begin().await?;
    let case = case::find(&mut tx, id).await?;
    let relations = case::relations(&registry, &mut tx, &case, &call.caller, call.now).await?;
    let facts = store::of_cases(&mut tx, &[id]).await?;
    call.record(&mut tx, &Seen::by(&relations, [id])).await?;
    tx.commit().await?;

    let latest = standing::latest(&facts);
    let standing_of = |fact: &Fact| match latest.get(&fact.subject) {
        Some(counts) if counts.content.is_none() => FactStanding::Withdrawn,
        Some(counts) if counts.id == fact.id => FactStanding::Stands,
        _ => FactStanding::Replaced,
    };
    // One case has few facts: they are paged as they are shown.
    let first = call.request.page_token.is_empty();
    let size_of_page = usize::try_from(size).unwrap_or(usize::MAX);
    let rows: Vec<&Fact> = facts.iter().filter(|fact| first || fact.id.uuid() > after.id).take(size_of_page).collect();
    let next_page_token = page::next(&rows, size, |fact| page::After::row(fact.recorded_at, fact.id).token());
    let mut shown_facts = Vec::new();
    for fact in rows {
        let view = shown(&registry.base.vault, fact, standing_of(fact))?;
        let view = classes::mask(&view, &relations).map_err(Error::Internal)?;
        // Of what somebody may not see, not even that it is there.
        if says_anything(&view) || fact.content.is_none() {
            shown_facts.push(view);
        }
    }
    // The withdrawal of what stands on another page is shown, too.
    let mut seen: Vec<String> = Vec::new();
    for fact in facts.iter().filter(|fact| fact.content.is_some()) {
        let view = shown(&registry.base.vault, fact, standing_of(fact))?;
        let view = classes::mask(&view, &relations).map_err(Error::Internal)?;
        seen.extend(says_anything(&view).then_some(view.subject_fact_id));
    }
    shown_facts.retain(|fact| says_anything(fact) || seen.contains(&fact.subject_fact_id));
    Ok(ListFactsResponse { facts: shown_facts, next_page_token })
}

fn says_anything(fact: &View) -> bool {
    let content = fact.content.as_ref().and_then(|content| content.content.as_ref());
    content.is_some_and(|content| match content {
        Content::Report(report) => report.encoded_len() > 0,
        Content::Day(day) => day.encoded_len() > 0,
        Content::Test(test) => test.encoded_len() > 0,
        Content::Stay(stay) => stay.encoded_len() > 0,
        Content::State(state) => state.encoded_len() > 0,
        Content::Necessity(need) => need.encoded_len() > 0,
        Content::Ending(ending) => ending.encoded_len() > 0,
        Content::Description(description) => description.encoded_len() > 0,
        Content::Findings(findings) => findings.encoded_len() > 0,
        Content::Exposure(exposure) => exposure.encoded_len() > 0,
    })
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::{
        identity::Role,
        options::Group,
        registry::{
            JudgeAdmissionRequest, ListFactsRequest, Placement, RecordPlacementRequest, WithdrawFactRequest,
            fact_content::Content,
        },
    };
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use super::list;
    use crate::{
        course,
        fixture::{Scene, request_id},
    };

    #[tokio::test]
    async fn every_record_is_listed_oldest_first_page_by_page() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        for _ in 0..4 {
            scene.world.clock.advance(Duration::minutes(1));
            let case_id = id.to_string();
            let judged =
                JudgeAdmissionRequest { request_id: request_id(), case_id, necessity: 1, ..Default::default() };
            scene.ask(&scene.nurse, judged, course::judge_admission).await?;
        }
        let whole = scene.facts(&scene.nurse, id).await?;
        assert_eq!(whole.len(), 5);
        assert!(whole.iter().map(|fact| fact.record_time.map(|at| at.seconds)).is_sorted());
        let (mut paged, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListFactsRequest { case_id: id.to_string(), page_size: 2, page_token };
            let page = scene.ask(&scene.nurse, request, list).await?;
            paged.extend(page.facts);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert!(paged == whole);
        assert_eq!(scene.world.audited("ListFacts").await?.len(), 4);
        Ok(())
    }

    #[tokio::test]
    async fn a_withdrawal_on_another_page_than_what_it_withdraws_is_listed() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let judged = JudgeAdmissionRequest {
            request_id: request_id(),
            case_id: id.to_string(),
            necessity: 1,
            ..Default::default()
        };
        scene.ask(&scene.nurse, judged, course::judge_admission).await?;
        let judged = scene.facts(&scene.nurse, id).await?.pop().unwrap();
        let withdrawn = WithdrawFactRequest {
            request_id: request_id(),
            case_id: id.to_string(),
            fact_id: judged.fact_id,
            reason: "誤り".to_owned(),
            ..WithdrawFactRequest::default()
        };
        scene.ask(&scene.nurse, withdrawn, crate::fact::withdraw).await?;
        let (mut paged, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListFactsRequest { case_id: id.to_string(), page_size: 1, page_token };
            let page = scene.ask(&scene.nurse, request, list).await?;
            paged.extend(page.facts);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(paged.len(), 3);
        assert!(paged[2].content.is_none() && paged[2].subject_fact_id == paged[1].subject_fact_id);
        Ok(())
    }

    #[tokio::test]
    async fn of_what_somebody_may_not_see_not_even_that_it_is_there() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let placed = RecordPlacementRequest {
            request_id: request_id(),
            case_id: id.to_string(),
            placement: Placement::Home.into(),
            since_date: "2020-06-01".to_owned(),
            ..RecordPlacementRequest::default()
        };
        scene.ask(&scene.nurse, placed, course::record_placement).await?;
        let narrowed = scene.osaka.narrowed(Role::Clerk, [Group::Clinical]);
        let seen = scene.facts(&narrowed, id).await?;
        let of = |fact: &proto::registry::Fact| fact.content.clone().and_then(|content| content.content);
        assert!(seen.len() == 1 && matches!(of(&seen[0]), Some(Content::Stay(_))));
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let token = ListFactsRequest { case_id: id.to_string(), page_token: "x".to_owned(), page_size: 0 };
        assert_eq!(scene.ask(&scene.nurse, token, list).await.refused().code(), Code::InvalidArgument);
        for (caller, id) in [(&scene.nurse, CaseId::new()), (&scene.tokyo_nurse, id)] {
            assert_eq!(scene.facts(caller, id).await.refused().code(), Code::NotFound);
        }
        Ok(())
    }
}
