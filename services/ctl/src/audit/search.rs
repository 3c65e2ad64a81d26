//! Who touched a record, and what an account touched.

use client::{Client, pages};
use proto::{
    Timestamp,
    operations::{AuditRow, SearchAuditRequest},
    options::Group,
};
use runtime::clock;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Whom or what a search is about.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Who touched this record?
    pub record: String,
    /// What did this account touch?
    pub user: String,
    /// From this moment on.
    pub from: Option<OffsetDateTime>,
    /// Before this moment.
    pub until: Option<OffsetDateTime>,
}

/// Every row of every service that answers a question, newest first per service.
///
/// # Errors
/// When a service does not answer, or the caller may not read the trail.
pub async fn search(client: &Client, question: &Question) -> anyhow::Result<Vec<(&'static str, AuditRow)>> {
    let mut found = Vec::new();
    for service in proto::SERVICES.iter().copied() {
        let rows = pages(async |page_token| {
            let request = SearchAuditRequest {
                record_id: question.record.clone(),
                user_id: question.user.clone(),
                from_time: question.from.map(clock::to_proto),
                until_time: question.until.map(clock::to_proto),
                page_size: 1_000,
                page_token,
            };
            let page = client.audit().search_audit(client.operation(service, request)).await?.into_inner();
            Ok((page.rows, page.next_page_token))
        })
        .await?;
        found.extend(rows.into_iter().map(|row| (service, row)));
    }
    Ok(found)
}

/// A row in one line.
pub fn line(service: &str, row: &AuditRow) -> String {
    let who = if row.user_id.is_empty() { &row.service } else { &row.user_id };
    format!(
        "{}  {service}  {}  {who}  {}  {}",
        moment(row.call_time.as_ref()),
        row.rpc,
        row.record_id,
        groups(row).join(",")
    )
}

pub(super) fn moment(at: Option<&Timestamp>) -> String {
    at.and_then(clock::from_proto).and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}

pub(super) fn groups(row: &AuditRow) -> Vec<String> {
    row.field_groups
        .iter()
        .filter_map(|number| Group::try_from(*number).ok())
        .map(|group| group.as_str_name().trim_start_matches("GROUP_").to_lowercase())
        .collect()
}
