//! `GetTerms`: the terms of use and the security leaflet of the day.

use chassis::{Anonymous, Call, Error};
use proto::identity::{GetTermsRequest, Terms};

use super::model;
use crate::service::Identity;

pub(crate) async fn get(_: Identity, call: Call<GetTermsRequest, Anonymous>) -> Result<Terms, Error> {
    let version = model::on(call.today()).ok_or(Error::NotFound("terms"))?;
    Ok(Terms {
        version: version.number,
        effective_date: version.in_force_from.clone(),
        terms: version.terms.clone(),
        security_leaflet: version.security_leaflet.clone(),
    })
}

#[cfg(test)]
mod tests {
    use proto::identity::GetTermsRequest;
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use crate::{fixture::Scene, terms};

    #[tokio::test]
    async fn the_version_of_the_day_is_shown_and_before_the_first_there_is_none() -> Outcome {
        let scene = Scene::new().await?;
        let shown = scene.world.ask_public(&scene.identity, GetTermsRequest {}, terms::get).await?;
        assert_eq!((shown.version, shown.effective_date.as_str()), (1, "2020-05-15"));
        assert!(!shown.terms.is_empty() && !shown.security_leaflet.is_empty());
        scene.world.clock.advance(-Duration::days(30));
        let refused = scene.world.ask_public(&scene.identity, GetTermsRequest {}, terms::get).await.refused();
        assert_eq!(refused.code(), Code::NotFound);
        Ok(())
    }
}
