//! How long each step of a sign-in may take, and what an assertion must say.

use serde::Deserialize;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// How long the second factor may take.
pub(super) const CHALLENGE: Duration = Duration::minutes(5);
/// How long a patient may take to type the code that was sent.
pub(super) const PATIENT_CHALLENGE: Duration = Duration::minutes(10);
/// Wrong codes per challenge.
pub(super) const CODE_TRIES: i32 = 5;

/// How long an assertion may be good.
const LIFETIME: Duration = Duration::minutes(5);
/// How far another system's clock may be ahead.
const SKEW: Duration = Duration::seconds(30);

/// What an assertion says (RFC 7523).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Assertion {
    pub iss: Uuid,
    pub sub: Uuid,
    exp: i64,
    iat: i64,
    pub jti: String,
}

impl Assertion {
    /// When it ends, if the account may use it now.
    pub(super) fn good_until(&self, account: Uuid, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let moment = |seconds| OffsetDateTime::from_unix_timestamp(seconds).ok();
        let (issued_at, expires_at) = (moment(self.iat)?, moment(self.exp)?);
        let timely = issued_at <= now + SKEW && now < expires_at && expires_at - issued_at <= LIFETIME;
        let own = self.iss == account && self.sub == account;
        (timely && own && (16..=100).contains(&self.jti.len())).then_some(expires_at)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;
    use uuid::Uuid;

    use super::Assertion;

    #[test]
    fn an_assertion_is_good_for_its_own_account_and_five_minutes() {
        let (now, account) = (datetime!(2020-06-01 00:00 UTC), Uuid::from_u128(1));
        let at = now.unix_timestamp();
        let good = Assertion { iss: account, sub: account, iat: at, exp: at + 300, jti: "0123456789abcdef".to_owned() };
        assert_eq!(good.good_until(account, now), Some(now + time::Duration::minutes(5)));
        for (bad, what) in [
            (Assertion { exp: at + 301, ..good.clone() }, "lives too long"),
            (Assertion { iat: at - 300, exp: at, ..good.clone() }, "is over"),
            (Assertion { iat: at + 31, exp: at + 300, ..good.clone() }, "comes from the future"),
            (Assertion { iss: Uuid::from_u128(2), ..good.clone() }, "is issued by another"),
            (Assertion { sub: Uuid::from_u128(2), ..good.clone() }, "is about another"),
            (Assertion { jti: "short".to_owned(), ..good.clone() }, "can be guessed"),
        ] {
            assert_eq!(bad.good_until(account, now), None, "{what}");
        }
    }
}
