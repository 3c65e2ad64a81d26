//! What went wrong, in words a person can act on, as `google.rpc.Status`.

use std::{fmt::Display, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

tokio::task_local! {
    static LANGUAGE: Language;
}

/// The language of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// 日本語
    #[default]
    Japanese,
    /// English
    English,
}

impl Language {
    /// From an `accept-language` header: English where it comes before Japanese.
    pub fn from_header(value: Option<&str>) -> Self {
        let preferred =
            value.unwrap_or_default().split(',').map(str::trim).find(|l| l.starts_with("ja") || l.starts_with("en"));
        if preferred.is_some_and(|l| l.starts_with("en")) { Self::English } else { Self::Japanese }
    }

    /// Runs work whose answers are in this language.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        LANGUAGE.scope(self, work).await
    }

    /// The language of the call at hand.
    pub fn current() -> Self {
        LANGUAGE.try_with(|language| *language).unwrap_or_default()
    }
}

/// A text in both languages. Never holds what the caller sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// 日本語
    pub ja: String,
    /// English
    pub en: String,
}

/// A text in both languages.
pub fn text(ja: impl Display, en: impl Display) -> Text {
    Text { ja: ja.to_string(), en: en.to_string() }
}

impl Text {
    /// In the language of the call at hand.
    pub fn shown(&self) -> &str {
        match Language::current() {
            Language::Japanese => &self.ja,
            Language::English => &self.en,
        }
    }
}

/// A field that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field, as a path such as `form.subject.birth_date`.
    pub field: String,
    /// The rule it breaks.
    pub rule: Text,
}

impl Violation {
    /// A field and the rule it breaks.
    pub fn new(field: impl Into<String>, ja: impl Display, en: impl Display) -> Self {
        Self { field: field.into(), rule: text(ja, en) }
    }
}

/// `INVALID_ARGUMENT` with every field at fault.
pub fn invalid(violations: &[Violation]) -> Status {
    // Details travel in headers of limited size; the first twenty tell enough.
    let fields: Vec<FieldViolation> = violations
        .iter()
        .take(20)
        .map(|violation| FieldViolation::new(violation.field.clone(), violation.rule.shown()))
        .collect();
    let summary: Vec<String> = fields.iter().map(|f| format!("{}: {}", f.field, f.description)).collect();
    Status::with_error_details(Code::InvalidArgument, summary.join("; "), ErrorDetails::with_bad_request(fields))
}

/// `NOT_FOUND`, in the same words whether the thing does not exist or is not the caller's to see.
pub fn not_found(resource: &str) -> Status {
    let message = text("見つかりません。", "Not found.");
    Status::with_error_details(Code::NotFound, message.shown(), ErrorDetails::with_resource_info(resource, "", "", ""))
}

/// `PERMISSION_DENIED`.
pub fn denied(why: &Text) -> Status {
    Status::permission_denied(why.shown())
}

/// UNAUTHENTICATED, in the same words whatever is wrong with the proof.
pub fn unauthenticated() -> Status {
    Status::unauthenticated(text("サインインしてください。", "Please sign in.").shown())
}

/// `ALREADY_EXISTS`: a request id used again for something else.
pub fn request_id_reused() -> Status {
    let why = text(
        "この request_id は別の内容で使用済みです。新しい request_id を使ってください。",
        "This request_id was used with another body. Choose a new one.",
    );
    Status::with_error_details(
        Code::AlreadyExists,
        why.shown(),
        ErrorDetails::with_bad_request_violation("request_id", why.shown()),
    )
}

/// ABORTED: somebody else changed the record.
pub fn stale_etag() -> Status {
    Status::aborted(
        text("他の利用者が先に更新しました。読み直してください。", "Somebody changed this first. Read it again.")
            .shown(),
    )
}

/// `FAILED_PRECONDITION`.
pub fn precondition(why: &Text) -> Status {
    Status::failed_precondition(why.shown())
}

/// `FAILED_PRECONDITION`: the terms of use of the day come first (`TERMS_DUE`).
pub fn terms_due() -> Status {
    let why = text(
        "利用規約と情報セキュリティの注意事項への同意が必要です。",
        "Accept the terms of use and the security leaflet first (AcceptTerms).",
    );
    Status::with_error_details(
        Code::FailedPrecondition,
        why.shown(),
        ErrorDetails::with_precondition_failure_violation("TERMS_DUE", "terms", why.shown()),
    )
}

/// `FAILED_PRECONDITION`: the second factor was given too long ago for this (`STEP_UP`).
pub fn step_up() -> Status {
    let why =
        text("この操作にはワンタイムパスワードの再入力が必要です。", "This asks for a fresh one-time code (StepUp).");
    Status::with_error_details(
        Code::FailedPrecondition,
        why.shown(),
        ErrorDetails::with_precondition_failure_violation("STEP_UP", "session", why.shown()),
    )
}

/// `RESOURCE_EXHAUSTED` with the time after which it is worth trying again.
pub fn exhausted(retry_after: Duration) -> Status {
    let message = text("混み合っています。しばらくしてから再試行してください。", "Busy. Please try again shortly.");
    Status::with_error_details(
        Code::ResourceExhausted,
        message.shown(),
        ErrorDetails::with_retry_info(Some(retry_after)),
    )
}

/// UNAVAILABLE with the time after which it is worth trying again.
pub fn unavailable() -> Status {
    let message = text("一時的に利用できません。再試行してください。", "Temporarily unavailable. Please try again.");
    Status::with_error_details(
        Code::Unavailable,
        message.shown(),
        ErrorDetails::with_retry_info(Some(Duration::from_secs(1))),
    )
}

#[cfg(test)]
mod tests {
    use super::Language;

    #[test]
    fn the_preferred_language_wins() {
        assert_eq!(Language::from_header(None), Language::Japanese);
        assert_eq!(Language::from_header(Some("en-US,en;q=0.9,ja;q=0.8")), Language::English);
        assert_eq!(Language::from_header(Some("ja,en;q=0.5")), Language::Japanese);
        assert_eq!(Language::from_header(Some("fr, en")), Language::English);
    }
}
