//! Which case a notification belongs to, the registry says with each version of the case.

use access::{CaseId, OrganisationId};
use proto::registry::{CaseChanged, Relation};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    model::Filing,
    store::{self, Claim},
};
use crate::worklist::{self, NotificationId, Wanted};

/// Takes what versions of cases say of their notifications, also before notification itself was heard of them. Returns the
/// notifications for which that changes something, with the tasks that they call for now.
///
/// A version that was asked for runs ahead of the log, so that for a moment two cases say that a notification is theirs. What each of
/// them said last is kept, so that every order of hearing ends with the case that has it.
pub(crate) async fn belong(
    conn: &mut PgConnection,
    cases: &[(CaseId, CaseChanged)],
) -> sqlx::Result<(Vec<Uuid>, Vec<Wanted>)> {
    let ids: Vec<CaseId> = cases.iter().map(|(id, _)| *id).collect();
    let mut said: Vec<Claim> = cases.iter().flat_map(|(id, case)| claims(*id, case)).collect();
    said.sort_unstable();
    said.dedup();
    let mut before = store::claims(conn, &ids).await?;
    before.sort_unstable();
    let new: Vec<Claim> = said.iter().filter(|claim| before.binary_search(claim).is_err()).copied().collect();
    let is_said = |gone: &Claim| {
        let pair = (gone.notification_id, gone.case_id);
        said.binary_search_by_key(&pair, |claim| (claim.notification_id, claim.case_id)).is_ok()
    };
    let gone: Vec<Claim> = before.into_iter().filter(|claim| !is_said(claim)).collect();
    let mut touched: Vec<NotificationId> = new.iter().chain(&gone).map(|claim| claim.notification_id).collect();
    touched.sort_unstable();
    touched.dedup();
    // Most versions of a case say nothing new of its notifications.
    if touched.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }

    // Before what others said is read, or two who say it at once do not see each other.
    store::hold(conn, &touched).await?;
    store::disclaim(conn, &gone).await?;
    store::claim(conn, &new).await?;
    let moved = store::belong(conn, &touched).await?;
    let pairs: Vec<(NotificationId, CaseId)> =
        moved.iter().filter_map(|filing| Some((filing.id, filing.case_id?))).collect();
    worklist::belong_to_cases(conn, &pairs).await?;
    let wanted = moved.iter().flat_map(Filing::tasks).collect();
    Ok((moved.iter().map(|filing| filing.id.uuid()).collect(), wanted))
}

/// What a version of a case says of its notifications.
fn claims(case_id: CaseId, case: &CaseChanged) -> impl Iterator<Item = Claim> {
    let responsible = responsible(case);
    let ids = case.notification_ids.iter().filter_map(|id| NotificationId::parse(id).ok());
    ids.map(move |notification_id| Claim { notification_id, case_id, responsible })
}

/// The centre that is responsible for a case. Its relation decides, because that is what shows it the case.
fn responsible(case: &CaseChanged) -> Option<OrganisationId> {
    let mut grants = case.grants.iter().filter(|grant| grant.until_time.is_none() && grant.user_id.is_empty());
    let grant = grants.find(|grant| grant.relation == i32::from(Relation::ResponsibleCentre))?;
    OrganisationId::parse(&grant.organisation_id).ok()
}

#[cfg(test)]
mod tests {
    use access::{Caller, CaseId};
    use proto::{
        followup::{AssignTaskRequest, TaskKind},
        notification::NotificationFiled,
        registry::{CaseChanged, Outcome as Ended, Relation},
    };
    use testing::Outcome;
    use time::Duration;

    use crate::{
        fixture::{Scene, amended, filed, grant, request_id, until},
        worklist,
    };

    /// The case that a notification belongs to; the clinic did not report it yet.
    fn holding(scene: &Scene, filed: &NotificationFiled) -> CaseChanged {
        CaseChanged {
            notification_ids: vec![filed.notification_id.clone()],
            grants: vec![grant(scene.centre, Relation::ResponsibleCentre)],
            ..scene.known()
        }
    }

    async fn lacking(scene: &Scene, who: &Caller) -> anyhow::Result<Vec<String>> {
        let tasks = scene.tasks(who).await?;
        assert!(tasks.iter().all(|task| task.kind() == TaskKind::ItemsMissing));
        Ok(tasks.into_iter().map(|task| task.case_id).collect())
    }

    /// Who is asked for what is missing of a notification: the two centres.
    async fn seers(scene: &Scene) -> anyhow::Result<(usize, usize)> {
        Ok((lacking(scene, &scene.nurse).await?.len(), lacking(scene, &scene.stranger).await?.len()))
    }

    #[tokio::test]
    async fn a_hand_over_moves_what_is_missing_to_the_centre_that_is_responsible_now_and_back() -> Outcome {
        let scene = Scene::new().await?;
        let first = filed(&scene, &["7"]);
        let known = holding(&scene, &first);
        scene.hear_of_filing(&first).await?;
        scene.hear(&known).await?;
        let due = scene.tasks(&scene.nurse).await?.remove(0).due_date;
        let now = scene.world.clock.now();
        let handed_over = CaseChanged {
            grants: vec![
                until(grant(scene.centre, Relation::ResponsibleCentre), now),
                grant(scene.centre, Relation::FormerCentre),
                grant(scene.other_centre, Relation::ResponsibleCentre),
            ],
            ..known.clone()
        };
        scene.hear(&handed_over).await?;
        assert_eq!(seers(&scene).await?, (0, 1));
        let theirs = scene.tasks(&scene.stranger).await?.remove(0);
        assert_eq!((&theirs.case_id, &theirs.due_date), (&known.case_id, &due), "it is asked for as long as before");
        assert_eq!(lacking(&scene, &scene.physician).await?.len(), 1, "whoever filed it is asked as before");

        // The form still lies in the old centre's inbox.
        scene.world.clock.advance(Duration::days(1));
        scene.hear_of_filing(&amended(&first, 2, &["8"])).await?;
        assert_eq!(seers(&scene).await?, (0, 1));
        assert_eq!(scene.tasks(&scene.stranger).await?[0].missing_items, ["8"]);
        scene.hear(&known).await?;
        assert_eq!(seers(&scene).await?, (1, 0), "back again");
        scene.hear_of_filing(&amended(&first, 3, &[])).await?;
        assert_eq!(seers(&scene).await?, (0, 0));
        Ok(())
    }

    #[tokio::test]
    async fn the_centre_of_the_case_sees_to_it_whichever_is_heard_first_and_without_one_the_inbox() -> Outcome {
        for case_first in [false, true] {
            let scene = Scene::new().await?;
            let first = filed(&scene, &["7"]);
            let elsewhere = CaseChanged {
                grants: vec![
                    grant(scene.other_centre, Relation::ResponsibleCentre),
                    grant(scene.centre, Relation::NotifiedCentre),
                ],
                ..holding(&scene, &first)
            };
            if case_first {
                scene.hear(&elsewhere).await?;
                scene.hear_of_filing(&first).await?;
            } else {
                scene.hear_of_filing(&first).await?;
                assert_eq!(seers(&scene).await?, (1, 0), "the inbox, until the registry has spoken");
                scene.hear(&elsewhere).await?;
            }
            assert_eq!(seers(&scene).await?, (0, 1));
            scene.hear(&CaseChanged { grants: Vec::new(), ..elsewhere }).await?;
            assert_eq!(seers(&scene).await?, (1, 0), "nobody is responsible");
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_notification_ends_with_the_case_that_has_it_in_every_order_in_which_versions_are_heard() -> Outcome {
        let hears = async |order: &[usize]| -> anyhow::Result<bool> {
            let scene = Scene::new().await?;
            let first = filed(&scene, &["7"]);
            scene.hear_of_filing(&first).await?;
            let one = CaseChanged { version: 1, ..holding(&scene, &first) };
            let emptied = CaseChanged {
                version: 2,
                notification_ids: Vec::new(),
                outcome: Ended::EnteredInError.into(),
                ..one.clone()
            };
            let other = CaseChanged {
                version: 7,
                case_id: CaseId::new().to_string(),
                grants: vec![grant(scene.other_centre, Relation::ResponsibleCentre)],
                ..one.clone()
            };
            let versions = [&one, &emptied, &other];
            for index in order {
                scene.world.hear(&scene.hears(), versions[*index]).await?;
            }
            Ok(lacking(&scene, &scene.stranger).await? == [other.case_id] && seers(&scene).await? == (0, 1))
        };
        // 2 is the case it was joined into: heard in turn, or asked for before the log of the other one was heard.
        for order in [[0, 1, 2], [0, 2, 1], [2, 0, 1], [1, 0, 2], [1, 2, 0], [2, 1, 0]] {
            assert!(hears(&order).await?, "{order:?}");
        }
        assert!(hears(&[2, 0, 1, 0, 2]).await?, "and again");
        Ok(())
    }

    #[tokio::test]
    async fn whoever_filed_it_reads_the_case_only_where_a_relation_to_it_says_so() -> Outcome {
        let scene = Scene::new().await?;
        let first = filed(&scene, &["7"]);
        let joined = holding(&scene, &first);
        scene.hear_of_filing(&first).await?;
        scene.hear(&joined).await?;
        assert_eq!(lacking(&scene, &scene.nurse).await?, [joined.case_id.as_str()]);
        assert_eq!(lacking(&scene, &scene.physician).await?, [""], "a stranger's case until the centre accepts");
        let audited = scene.world.audited("ListWorklist").await?;
        let theirs: Vec<_> = audited.iter().filter(|row| row.user == Some(scene.physician.user_id.uuid())).collect();
        assert!(!theirs.is_empty() && theirs.iter().all(|row| row.record.to_string() == first.notification_id));

        let assign = async || {
            let task_id = scene.tasks(&scene.physician).await?.remove(0).task_id;
            let user_id = scene.physician.user_id.to_string();
            let request = AssignTaskRequest { request_id: request_id(), task_id, user_id, etag: String::new() };
            scene.world.ask(&scene.followup, &scene.physician, request, worklist::assign).await
        };
        let assigned = assign().await?;
        assert_eq!((assigned.case_id.as_str(), &assigned.notification_id), ("", &first.notification_id));

        let mut accepted = joined.clone();
        accepted.grants.push(grant(scene.clinic, Relation::Reporter));
        scene.hear(&accepted).await?;
        assert_eq!(lacking(&scene, &scene.physician).await?, [joined.case_id.as_str()]);
        assert_eq!(assign().await?.case_id, joined.case_id);
        Ok(())
    }
}
