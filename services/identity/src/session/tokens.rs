//! The tokens of a session. They are signed behind whatever was waited for: what was revoked meanwhile opens nothing.

use access::token::{AUDIENCE, Claims, ISSUER, LIFETIME, TYPE};
use chassis::Error;
use proto::identity::Tokens;
use runtime::clock;
use runtime::problem::Unproved;
use sqlx::PgConnection;

use super::{
    model::{Holder, Session, Whose},
    store,
};
use crate::{factor, service::Identity, terms};

/// A session begins, now.
pub(crate) async fn begin(identity: &Identity, conn: &mut PgConnection, whose: Whose) -> Result<Tokens, Error> {
    let session = Session::begun(whose, identity.base.clock.now());
    store::insert(conn, &session).await?;
    issue(identity, conn, &session).await
}

/// An access token and a new refresh token.
pub(super) async fn issue(identity: &Identity, conn: &mut PgConnection, session: &Session) -> Result<Tokens, Error> {
    let (refresh_token, hash) = identity.secret()?;
    store::insert_refresh(conn, &hash, session.id, identity.base.clock.now()).await?;
    access_token(identity, conn, session, refresh_token).await
}

/// The access token of a session as role, hidden groups and terms stand now.
pub(super) async fn access_token(
    identity: &Identity,
    conn: &mut PgConnection,
    session: &Session,
    refresh_token: String,
) -> Result<Tokens, Error> {
    let mut holder = Holder {
        id: session.subject,
        session_id: session.id,
        organisation_id: session.organisation_id,
        role: session.role,
        authenticated_at: session.authenticated_at,
        case_id: session.case_id,
        hidden: access::caller::Hidden::default(),
        terms_due: false,
        scopes: None,
        calls_per_second: 0,
    };
    let mut terms_due = 0;
    if session.case_id.is_none() {
        // An ID that was disabled or got another role meanwhile opens nothing.
        let account = factor::find_account(conn, session.subject)
            .await?
            .filter(|account| account.is_in_use() && account.role == session.role)
            .ok_or(Error::Unauthenticated(Unproved::SessionEnded))?;
        terms_due = terms::due(account.role, account.terms_version, identity.base.clock.today_in_japan());
        (holder.hidden, holder.terms_due) = (account.hidden, terms_due > 0);
    }
    Ok(Tokens { refresh_token, terms_due, ..signed(identity, holder)? })
}

/// A signed access token.
///
/// # Errors
/// [`Error::Unauthenticated(Unproved::SessionEnded)`] where the holder's organisation is closed; [`Error::Exhausted`] where the directory has not heard of
/// it yet.
pub(crate) fn signed(identity: &Identity, holder: Holder) -> Result<Tokens, Error> {
    let issued_at = identity.base.clock.now();
    let expires_at = issued_at + LIFETIME;
    let organisation = identity.base.directory.get(holder.organisation_id);
    if holder.case_id.is_none() && organisation.is_none() {
        // A moment after its creation.
        return Err(Error::Exhausted);
    }
    let today = clock::day_in_japan(issued_at);
    if organisation.as_ref().is_some_and(|o| o.suspended || !o.exists.contain(today)) {
        return Err(Error::Unauthenticated(Unproved::SessionEnded));
    }
    let claims = Claims {
        iss: ISSUER.to_owned(),
        aud: AUDIENCE.to_owned(),
        sub: holder.id.uuid(),
        iat: issued_at.unix_timestamp(),
        ims: issued_at.millisecond(),
        exp: expires_at.unix_timestamp(),
        sid: holder.session_id.uuid(),
        org: holder.organisation_id.uuid(),
        knd: organisation.as_ref().map_or(0, |o| o.kind.into()),
        prf: organisation.as_ref().map_or(0, |o| o.prefecture),
        rol: holder.role.into(),
        authenticated: holder.authenticated_at.unix_timestamp(),
        cas: holder.case_id.map(access::CaseId::uuid),
        hid: holder.hidden.bits(),
        due: holder.terms_due,
        scp: holder.scopes,
        cps: holder.calls_per_second,
    };
    Ok(Tokens {
        access_token: identity.base.signer.sign(TYPE, &claims)?,
        expire_time: Some(clock::to_proto(expires_at)),
        ..Tokens::default()
    })
}

#[cfg(test)]
mod tests {
    use access::{OrganisationId, SessionId, UserId, caller::Hidden};
    use proto::identity::{OrganisationKind as Kind, Role};
    use testing::{NOW, Outcome};
    use time::Duration;
    use tonic::{Code, Status};

    use super::{Holder, signed};
    use crate::fixture::{Scene, claims};

    fn holder(organisation_id: OrganisationId) -> Holder {
        Holder {
            id: UserId::new(),
            session_id: SessionId::new(),
            organisation_id,
            role: Role::Nurse,
            authenticated_at: NOW,
            case_id: None,
            hidden: Hidden::from_bits(4),
            terms_due: false,
            scopes: None,
            calls_per_second: 0,
        }
    }

    #[tokio::test]
    async fn a_token_lives_ten_minutes_and_says_what_its_holder_does_not_see() -> Outcome {
        let scene = Scene::new().await?;
        let said = claims(&signed(&scene.identity, holder(scene.hospital.id)).map_err(Status::from)?);
        assert_eq!((said.iat, said.exp), (NOW.unix_timestamp(), (NOW + Duration::minutes(10)).unix_timestamp()));
        assert_eq!((said.knd, said.prf, said.hid), (i32::from(Kind::Hospital), 27, 4));
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let suspended = scene.world.organisation(Kind::Clinic, 27, |new| new.suspended = true).await?.id;
        let over = |new: &mut proto::identity::Organisation| "2020-05-31".clone_into(&mut new.valid_until_date);
        let over = scene.world.organisation(Kind::Clinic, 27, over).await?.id;
        for (organisation, code, what) in [
            (suspended, Code::Unauthenticated, "it is cut off"),
            (over, Code::Unauthenticated, "its days are over"),
            (OrganisationId::new(), Code::ResourceExhausted, "the directory has not heard of it yet"),
        ] {
            let refused = signed(&scene.identity, holder(organisation)).err().map(Status::from);
            assert_eq!(refused.map(|status| status.code()), Some(code), "{what}");
        }
        Ok(())
    }
}
