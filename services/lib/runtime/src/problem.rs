//! Errors as `google.rpc.Status`, in words a person can act on.

use std::{collections::HashMap, fmt::Display, time::Duration};

use proto::options::Switch;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

mod why;

pub use why::{Unproved, Why, why};

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

/// Whose reasons these are, as `google.rpc.ErrorInfo` names it.
pub const DOMAIN: &str = "hersys.go.jp";

fn status(code: Code, why: &Why, mut details: ErrorDetails) -> Status {
    details.set_error_info(why.reason, DOMAIN, HashMap::new());
    Status::with_error_details(code, why.text.shown(), details)
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
    let mut details = ErrorDetails::with_bad_request(fields);
    details.set_error_info("INVALID_FIELDS", DOMAIN, HashMap::new());
    Status::with_error_details(Code::InvalidArgument, summary.join("; "), details)
}

/// `NOT_FOUND`, in the same words whether the record does not exist or the caller may not see it.
pub fn not_found(resource: &str) -> Status {
    let why = why("NOT_FOUND", "見つかりません。", "Not found.");
    status(Code::NotFound, &why, ErrorDetails::with_resource_info(resource, "", "", ""))
}

/// UNIMPLEMENTED: the contract has no such RPC, or it is not for callers from outside.
pub fn no_such_rpc() -> Status {
    let why = why("NO_SUCH_RPC", "該当するRPCがありません。", "There is no such RPC.");
    status(Code::Unimplemented, &why, ErrorDetails::new())
}

/// `PERMISSION_DENIED`, with the reason.
pub fn denied(why: &Why) -> Status {
    status(Code::PermissionDenied, why, ErrorDetails::new())
}

/// UNAUTHENTICATED, with the reason.
pub fn unauthenticated(unproved: Unproved) -> Status {
    status(Code::Unauthenticated, &unproved.why(), ErrorDetails::new())
}

/// `ALREADY_EXISTS`: the request id was used before with another body.
pub fn request_id_reused() -> Status {
    let why = why(
        "REQUEST_ID_REUSED",
        "この request_id は別の内容で使用済みです。新しい request_id を使ってください。",
        "This request_id was used with another body. Choose a new one.",
    );
    let details = ErrorDetails::with_bad_request_violation("request_id", why.text.shown());
    status(Code::AlreadyExists, &why, details)
}

/// `ALREADY_EXISTS`: the request was carried out long ago, and its answer is no longer kept.
pub fn answer_forgotten() -> Status {
    let why = why(
        "ANSWER_FORGOTTEN",
        "この request_id の処理は完了していますが、応答の保存期間が過ぎました。対象の記録を読み直してください。",
        "This request was carried out, but its answer is no longer kept. Read the record.",
    );
    let details = ErrorDetails::with_bad_request_violation("request_id", why.text.shown());
    status(Code::AlreadyExists, &why, details)
}

/// ABORTED: somebody else changed the record first.
pub fn stale_etag() -> Status {
    let why = why(
        "STALE_ETAG",
        "他の利用者が先に更新しました。読み直してください。",
        "Somebody else has changed this record. Read it again.",
    );
    status(Code::Aborted, &why, ErrorDetails::new())
}

/// `FAILED_PRECONDITION`, with the reason.
pub fn precondition(why: &Why) -> Status {
    status(Code::FailedPrecondition, why, ErrorDetails::new())
}

/// `FAILED_PRECONDITION`: the current terms of use must be accepted first (`TERMS_DUE`).
pub fn terms_due() -> Status {
    let why = why(
        "TERMS_DUE",
        "利用規約と情報セキュリティの注意事項への同意が必要です。",
        "Accept the terms of use and the security leaflet first (AcceptTerms).",
    );
    let details = ErrorDetails::with_precondition_failure_violation("TERMS_DUE", "terms", why.text.shown());
    status(Code::FailedPrecondition, &why, details)
}

/// `FAILED_PRECONDITION`: the second factor is not recent enough (`STEP_UP`).
pub fn step_up() -> Status {
    let why = why(
        "STEP_UP",
        "この操作にはワンタイムパスワードの再入力が必要です。",
        "Enter a new one-time code first (StepUp).",
    );
    let details = ErrorDetails::with_precondition_failure_violation("STEP_UP", "session", why.text.shown());
    status(Code::FailedPrecondition, &why, details)
}

/// `RESOURCE_EXHAUSTED`: the mesh has no room now. Carries the delay after which to try again.
pub fn exhausted(retry_after: Duration) -> Status {
    let why =
        why("OVERLOADED", "混み合っています。しばらくしてから再試行してください。", "Busy. Please try again shortly.");
    status(Code::ResourceExhausted, &why, ErrorDetails::with_retry_info(Some(retry_after)))
}

/// `RESOURCE_EXHAUSTED`: this caller asks too much. Carries the delay after which to try again.
pub fn over_quota(retry_after: Duration) -> Status {
    let why = why(
        "QUOTA_EXCEEDED",
        "要求が多すぎます。しばらくしてから再試行してください。",
        "You have made too many requests. Please try again shortly.",
    );
    status(Code::ResourceExhausted, &why, ErrorDetails::with_retry_info(Some(retry_after)))
}

/// UNAVAILABLE, with the delay after which to try again.
pub fn unavailable() -> Status {
    let why = why(
        "UNAVAILABLE",
        "一時的に利用できません。再試行してください。",
        "Temporarily unavailable. Please try again.",
    );
    status(Code::Unavailable, &why, ErrorDetails::with_retry_info(Some(Duration::from_secs(1))))
}

/// UNAVAILABLE: the operations team has switched it off while a wave lasts. Carries the delay after which to try again.
pub fn switched_off(switch: Switch, retry_after: Duration) -> Status {
    let why = match switch {
        Switch::HeavyStatistics => why(
            "SWITCHED_OFF",
            "混雑のため、詳細な集計を一時停止しています。概況の集計は利用できます。",
            "Detailed statistics are switched off while the system is under load. The summary is available.",
        ),
        _ => why(
            "SWITCHED_OFF",
            "混雑のため、大量の出力と処理を一時停止しています。届出・健康観察・患者の照会は利用できます。",
            "Bulk reads and long runs are switched off while the system is under load. Filing, health reports and your own \
             patients' records are available.",
        ),
    };
    status(Code::Unavailable, &why, ErrorDetails::with_retry_info(Some(retry_after)))
}

/// `DEADLINE_EXCEEDED`: the call took longer than it may.
pub fn too_late() -> Status {
    let why = why("DEADLINE_EXCEEDED", "制限時間を超えました。", "The call took longer than its deadline.");
    status(Code::DeadlineExceeded, &why, ErrorDetails::new())
}

/// INTERNAL: a failure the caller can do nothing about. [`INTERNAL`] is its message in every language.
pub fn internal() -> Status {
    status(Code::Internal, &why("INTERNAL", INTERNAL, INTERNAL), ErrorDetails::new())
}

/// The message of our own INTERNAL errors. Any other message under that code comes from tonic's decoder.
pub const INTERNAL: &str = "internal error";

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
