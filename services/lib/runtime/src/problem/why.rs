//! Reasons: a word for programs, which never changes, and a text for people.

use std::fmt::Display;

use super::{Text, text};

/// Why something was refused: a word for programs, which never changes, and a text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// `UPPER_SNAKE_CASE`, as `google.rpc.ErrorInfo` carries it.
    pub reason: &'static str,
    /// What the caller reads.
    pub text: Text,
}

/// Builds a [`Why`] from its reason and a text in Japanese and English.
pub fn why(reason: &'static str, ja: impl Display, en: impl Display) -> Why {
    Why { reason, text: text(ja, en) }
}

/// Why somebody is not who they say. None of these tells whether an account exists: what follows a password or a valid
/// signature may say more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproved {
    /// No token, or one that is not ours.
    SignInRequired,
    /// The access token has expired.
    TokenExpired,
    /// The session has ended, or the ID may no longer be used.
    SessionEnded,
    /// Log-in, password, access ID or birth date: which of them is not told.
    CredentialsWrong,
    /// The sign-in took too long, or too many tries.
    ChallengeEnded,
    /// The one-time or recovery code is wrong.
    CodeWrong,
    /// The one-time code is right, but was used already.
    CodeUsed,
    /// Not a `private_key_jwt` that one of the account's keys signed.
    AssertionWrong,
    /// The assertion is meant for somebody else (`aud`).
    AssertionAudience,
    /// The assertion has expired, or is valid for too long (`exp`).
    AssertionExpired,
    /// The assertion was used already (`jti`).
    AssertionUsed,
}

impl Unproved {
    pub(super) fn why(self) -> Why {
        match self {
            Self::SignInRequired => why("SIGN_IN_REQUIRED", "サインインしてください。", "Please sign in."),
            Self::TokenExpired => why(
                "TOKEN_EXPIRED",
                "アクセストークンの有効期限が切れました。",
                "The access token has expired. Refresh it.",
            ),
            Self::SessionEnded => why(
                "SESSION_ENDED",
                "セッションは終了しました。サインインし直してください。",
                "This session has ended. Please sign in again.",
            ),
            Self::CredentialsWrong => why(
                "CREDENTIALS_WRONG",
                "入力された内容が正しくありません。",
                "The log-in, the password or the code is wrong.",
            ),
            Self::ChallengeEnded => why(
                "CHALLENGE_ENDED",
                "サインインの有効期限が切れました。最初からやり直してください。",
                "This sign-in took too long or too many tries. Please start again.",
            ),
            Self::CodeWrong => why("CODE_WRONG", "コードが正しくありません。", "The code is wrong."),
            Self::CodeUsed => why(
                "CODE_USED",
                "このコードは使用済みです。次のコードを待って入力してください。",
                "This code was used already. Wait for the next one.",
            ),
            Self::AssertionWrong => why(
                "ASSERTION_WRONG",
                "アサーションが正しくありません。",
                "The assertion was not signed by a key of this account.",
            ),
            Self::AssertionAudience => why(
                "ASSERTION_AUDIENCE",
                "アサーションの宛先（aud）が正しくありません。",
                "The assertion is meant for another audience (aud).",
            ),
            Self::AssertionExpired => why(
                "ASSERTION_EXPIRED",
                "アサーションの有効期間（exp）が正しくありません。",
                "The assertion has expired or is valid for too long (exp).",
            ),
            Self::AssertionUsed => why(
                "ASSERTION_USED",
                "このアサーションは使用済みです（jti）。",
                "This assertion was used already (jti).",
            ),
        }
    }
}
