//! `BatchGetCases`: cases as they would be announced now, for a service that has not heard of them yet.

use std::collections::HashMap;

use access::CaseId;
use chassis::{Call, Error, Service};
use proto::registry::{BatchGetCasesRequest, BatchGetCasesResponse, Grant as GrantView};

use super::{grants, model::Case, store};
use crate::{filing, service::Registry};

pub(crate) async fn batch_get(
    registry: Registry,
    call: Call<BatchGetCasesRequest, Service>,
) -> Result<BatchGetCasesResponse, Error> {
    let ids: Vec<CaseId> = call.request.case_ids.iter().filter_map(|id| CaseId::parse(id).ok()).collect();
    let mut conn = registry.base.pool.acquire().await?;
    let cases = store::find_all(&mut conn, &ids).await?;
    let mut grants: HashMap<CaseId, Vec<GrantView>> = HashMap::new();
    for grant in grants::of_cases(&mut conn, &ids).await? {
        grants.entry(grant.case_id).or_default().push(grant.into());
    }

    let mut notifications: HashMap<CaseId, Vec<String>> = HashMap::new();
    for (case, notification) in filing::notifications_of(&mut conn, &ids).await? {
        notifications.entry(case).or_default().push(notification.to_string());
    }

    let told = |case: &Case| {
        let notifications = notifications.get(&case.id).cloned().unwrap_or_default();
        case.changed(grants.get(&case.id).cloned().unwrap_or_default(), notifications)
    };
    let cases = cases.iter().map(told).collect();
    Ok(BatchGetCasesResponse { cases })
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::registry::{BatchGetCasesRequest, CaseChanged};
    use testing::Outcome;

    use super::batch_get;
    use crate::fixture::Scene;

    #[tokio::test]
    async fn cases_are_told_as_they_were_announced_and_unknown_ones_left_out() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let case_ids = vec![case.to_string(), CaseId::new().to_string(), "x".to_owned()];
        let told =
            scene.world.ask_as_service(&scene.registry, "beds", BatchGetCasesRequest { case_ids }, batch_get).await?;
        assert!(told.cases == scene.world.announced::<CaseChanged>().await?);
        Ok(())
    }
}
