//! What notification does not keep for ever. Forms, their versions and receipts are records and stay.

use data::retention::Rule;
use time::macros::date;

use crate::draft;

pub(crate) const RULES: &[Rule] = &[Rule {
    name: "drafts",
    from: date!(2020 - 05 - 01),
    keep: draft::KEPT,
    sql: "delete from draft where draft_id in (
              select draft_id from draft where updated_at < $1 and $3 is not null
              order by updated_at limit $2 for update skip locked)",
}];

#[cfg(test)]
mod tests {
    use data::retention::Sweeper;
    use proto::notification::{GetDraftRequest, SaveDraftRequest};
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use super::RULES;
    use crate::{
        draft,
        fixture::{Scene, form, request_id},
    };

    #[tokio::test]
    async fn a_draft_that_nobody_saves_again_goes_after_thirty_days() -> Outcome {
        let scene = Scene::new().await?;
        let save = async |draft_id: String| {
            let request =
                SaveDraftRequest { request_id: request_id(), draft_id, form: Some(form()), ..Default::default() };
            scene.world.ask(&scene.notifications, &scene.doctor, request, draft::save).await
        };
        let get = async |id: &str| {
            let request = GetDraftRequest { draft_id: id.to_owned() };
            scene.world.ask(&scene.notifications, &scene.doctor, request, draft::get).await
        };
        let left = save(String::new()).await?.draft_id;
        let kept = save(String::new()).await?.draft_id;
        scene.world.clock.advance(Duration::days(20));
        save(kept.clone()).await?;
        let mut sweeper = Sweeper::new(scene.world.base.pool.clone(), scene.world.clock.clone(), RULES.to_vec());
        sweeper.round().await;
        assert!(get(&left).await.is_ok());
        scene.world.clock.advance(Duration::days(11));
        sweeper.round().await;
        assert_eq!(get(&left).await.refused().code(), Code::NotFound);
        assert!(get(&kept).await.is_ok(), "it was saved twenty days later");
        Ok(())
    }
}
