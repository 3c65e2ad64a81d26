//! `GetJwks`: the public keys that prove tokens.

use chassis::{Anonymous, Call, Error};
use proto::identity::{GetJwksRequest, Jwks};

use crate::service::Identity;

pub(crate) async fn get_jwks(identity: Identity, _: Call<GetJwksRequest, Anonymous>) -> Result<Jwks, Error> {
    Ok(Jwks { jwks_json: identity.base.signer.live_jwks() })
}

#[cfg(test)]
mod tests {
    use access::token;
    use proto::identity::{GetJwksRequest, Role};
    use testing::Outcome;

    use crate::{fixture::Scene, sign_in};

    #[tokio::test]
    async fn the_key_that_signs_is_among_them() -> Outcome {
        let scene = Scene::new().await?;
        let answer = scene.world.ask_public(&scene.identity, GetJwksRequest {}, sign_in::get_jwks).await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let kid = jsonwebtoken::decode_header(&nurse.tokens.access_token)?.kid.unwrap();
        assert!(token::keys_of(&answer.jwks_json)?.contains_key(&kid));
        Ok(())
    }
}
