//! Credentials and tokens.

use proto::identity::Tokens;
use runtime::{Clock, clock};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::Client;

/// What a member of staff signs in with.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Credentials {
    /// The log-in.
    pub login: String,
    /// The password.
    pub password: String,
    /// The secret of the authenticator, base32.
    pub otp_secret: String,
}

/// What somebody has after the first sign-in. Address and codes are shown this once.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// What the person signs in with.
    pub credentials: Credentials,
    /// The authenticator's address, as a QR code carries it.
    pub otpauth_url: String,
    /// Each stands for the authenticator once.
    pub recovery_codes: Vec<String>,
}

/// The tokens of a session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Session {
    /// For the `authorization` header.
    pub access_token: String,
    /// Exchanged for the next tokens; works once.
    pub refresh_token: String,
    /// When the access token ends, Unix seconds.
    pub expires_at: i64,
    /// The version of the terms of use that must be accepted first; 0 where none is due.
    #[serde(default)]
    pub terms_due: i32,
    /// Tells the next sign-in that this device is known.
    #[serde(default)]
    pub device_token: String,
    /// When both factors were last given, Unix seconds.
    #[serde(default)]
    pub authenticated_at: i64,
}

impl Session {
    /// Whether the access token ends within two minutes.
    pub fn ends_soon(&self) -> bool {
        self.expires_at - Clock::system().now().unix_timestamp() <= 120
    }
}

impl Client {
    /// Goes on with new tokens. What an answer leaves out stays as it was.
    pub fn keep(&mut self, tokens: Tokens) {
        let expires_at =
            tokens.expire_time.as_ref().and_then(clock::from_proto).map_or(0, OffsetDateTime::unix_timestamp);
        let held = self.session.take();
        let or_held = |new: String, held: Option<String>| if new.is_empty() { held.unwrap_or_default() } else { new };
        self.session = Some(Session {
            access_token: tokens.access_token,
            refresh_token: or_held(tokens.refresh_token, held.as_ref().map(|held| held.refresh_token.clone())),
            expires_at,
            terms_due: tokens.terms_due,
            device_token: or_held(tokens.device_token, held.as_ref().map(|held| held.device_token.clone())),
            authenticated_at: held.map_or(0, |held| held.authenticated_at),
        });
    }

    /// As [`Self::keep`], after a second factor was given.
    pub(crate) fn keep_authenticated(&mut self, tokens: Tokens) {
        self.keep(tokens);
        if let Some(session) = &mut self.session {
            session.authenticated_at = Clock::system().now().unix_timestamp();
        }
    }
}
