//! Errors as `google.rpc.Status`, in words a person can act on.

use std::{fmt::Display, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

tokio::task_local! {
    static LANGUAGE: Language;
}

/// The language of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// 日本語, the default.
    #[default]
    Japanese,
    /// English, where the caller prefers it.
    English,
}

impl Language {
    /// From an `accept-language` header: English if it comes before Japanese.
    pub fn from_header(value: Option<&str>) -> Self {
        let preferred =
            value.unwrap_or_default().split(',').map(str::trim).find(|l| l.starts_with("ja") || l.starts_with("en"));
        if preferred.is_some_and(|l| l.starts_with("en")) { Self::English } else { Self::Japanese }
    }

    /// Runs work so that its answers are in this language.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        LANGUAGE.scope(self, work).await
    }

    /// The language of the current call.
    pub fn current() -> Self {
        LANGUAGE.try_with(|language| *language).unwrap_or_default()
    }
}

/// A text in both languages. It never repeats the caller's input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The Japanese text, shown by default.
    pub ja: String,
    /// The English text, shown to callers who prefer it.
    pub en: String,
}

/// Builds a [`Text`] from Japanese and English.
pub fn text(ja: impl Display, en: impl Display) -> Text {
    Text { ja: ja.to_string(), en: en.to_string() }
}

impl Text {
    /// The text in the language of the current call.
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
    /// A violation, with its rule in Japanese and English.
    pub fn new(field: impl Into<String>, ja: impl Display, en: impl Display) -> Self {
        Self { field: field.into(), rule: text(ja, en) }
    }
}

/// `INVALID_ARGUMENT` with every field at fault.
pub fn invalid(violations: &[Violation]) -> Status {
    // Details travel in headers of limited size; twenty are enough.
    let fields: Vec<FieldViolation> = violations
        .iter()
        .take(20)
        .map(|violation| FieldViolation::new(violation.field.clone(), violation.rule.shown()))
        .collect();
    let summary: Vec<String> = fields.iter().map(|f| format!("{}: {}", f.field, f.description)).collect();
    Status::with_error_details(Code::InvalidArgument, summary.join("; "), ErrorDetails::with_bad_request(fields))
}

/// `NOT_FOUND`, in the same words whether the record does not exist or the caller may not see it.
pub fn not_found(resource: &str) -> Status {
    let message = text("見つかりません。", "Not found.");
    Status::with_error_details(Code::NotFound, message.shown(), ErrorDetails::with_resource_info(resource, "", "", ""))
}

/// `PERMISSION_DENIED`, with the reason.
pub fn denied(why: &Text) -> Status {
    Status::permission_denied(why.shown())
}

/// UNAUTHENTICATED, in the same words whatever is wrong with the token, password or code.
pub fn unauthenticated() -> Status {
    Status::unauthenticated(text("サインインしてください。", "Please sign in.").shown())
}

/// `ALREADY_EXISTS`: the request id was used before with another body.
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

/// ABORTED: somebody else changed the record first.
pub fn stale_etag() -> Status {
    Status::aborted(
        text(
            "他の利用者が先に更新しました。読み直してください。",
            "Somebody else has changed this record. Read it again.",
        )
        .shown(),
    )
}

/// `FAILED_PRECONDITION`, with the reason.
pub fn precondition(why: &Text) -> Status {
    Status::failed_precondition(why.shown())
}

/// `FAILED_PRECONDITION`: the current terms of use must be accepted first (`TERMS_DUE`).
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

/// `FAILED_PRECONDITION`: the second factor is not recent enough (`STEP_UP`).
pub fn step_up() -> Status {
    let why = text("この操作にはワンタイムパスワードの再入力が必要です。", "Enter a new one-time code first (StepUp).");
    Status::with_error_details(
        Code::FailedPrecondition,
        why.shown(),
        ErrorDetails::with_precondition_failure_violation("STEP_UP", "session", why.shown()),
    )
}

/// `RESOURCE_EXHAUSTED`, with the delay after which to try again.
pub fn exhausted(retry_after: Duration) -> Status {
    let message = text("混み合っています。しばらくしてから再試行してください。", "Busy. Please try again shortly.");
    Status::with_error_details(
        Code::ResourceExhausted,
        message.shown(),
        ErrorDetails::with_retry_info(Some(retry_after)),
    )
}

/// UNAVAILABLE, with the delay after which to try again.
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
