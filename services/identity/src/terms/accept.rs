//! `AcceptTerms`: a person accepts the version in force, and gets tokens that are good for everything else.

use chassis::{Call, Error};
use proto::identity::{AcceptTermsRequest, Tokens};

use super::{model, store};
use crate::{service::Identity, session};

pub(crate) async fn accept(identity: Identity, call: Call<AcceptTermsRequest>) -> Result<Tokens, Error> {
    let version = call.request.version;
    if model::on(call.today()).is_none_or(|in_force| in_force.number != version) {
        return Err(Error::invalid("version", "現在の版ではありません", "must be the version in force"));
    }

    let mut conn = identity.base.pool.acquire().await?;
    store::accept(&mut conn, call.caller.user_id, version, call.now).await?;
    drop(conn);
    session::renew(&identity, &call.request.refresh_token).await
}

#[cfg(test)]
mod tests {
    use proto::identity::{AcceptTermsRequest, Role, Tokens};
    use testing::{Outcome, Refused as _};
    use tonic::{Code, Status};

    use crate::{
        fixture::{Person, Scene, claims},
        terms,
    };

    async fn accept(scene: &Scene, person: &Person, version: i32, refresh_token: &str) -> Result<Tokens, Status> {
        let request = AcceptTermsRequest { version, refresh_token: refresh_token.to_owned() };
        scene.world.ask(&scene.identity, &person.caller, request, terms::accept).await
    }

    #[tokio::test]
    async fn what_was_accepted_is_no_longer_due() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        assert_eq!(nurse.tokens.terms_due, 1);
        let tokens = accept(&scene, &nurse, 1, &nurse.tokens.refresh_token).await?;
        assert_eq!((tokens.terms_due, claims(&tokens).due), (0, false));
        let (later, _) = scene.session(&nurse).await?;
        assert_eq!(later.terms_due, 0);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        for (version, token, code, field) in [
            (2, nurse.tokens.refresh_token.as_str(), Code::InvalidArgument, "version"),
            (1, "nothing", Code::Unauthenticated, ""),
        ] {
            let refused = accept(&scene, &nurse, version, token).await.refused();
            assert_eq!((refused.code(), refused.message().starts_with(field)), (code, true), "{field}");
        }
        Ok(())
    }
}
