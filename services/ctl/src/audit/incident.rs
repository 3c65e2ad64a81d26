//! The material for an incident report.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use client::Client;

use super::search::{Question, groups, moment, search};

/// The report of an incident: whose records, which fields, by whom, between when. Ids only: those who
/// may see names put them in.
///
/// # Errors
/// When the question names nobody, or a service does not answer.
pub async fn incident(client: &Client, question: &Question) -> anyhow::Result<String> {
    if question.user.is_empty() && question.record.is_empty() {
        bail!("name a user or a record");
    }
    let rows = search(client, question).await?;
    let mut affected: BTreeMap<&str, (BTreeSet<String>, usize)> = BTreeMap::new();
    let (mut actors, mut moments) = (BTreeMap::<(&str, &str), usize>::new(), Vec::new());
    for (_, row) in rows.iter().filter(|(_, row)| !row.field_groups.is_empty()) {
        let (fields, count) = affected.entry(&row.record_id).or_default();
        fields.extend(groups(row));
        *count += 1;
        let actor = if row.user_id.is_empty() { row.service.as_str() } else { row.user_id.as_str() };
        *actors.entry((actor, &row.organisation_id)).or_default() += 1;
        moments.push(moment(row.call_time.as_ref()));
    }
    moments.sort_unstable();
    let mut text = String::from("# 漏えい等の報告の資料 / Material for an incident report\n\n");
    let mut add = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    add(format!("- 期間 / window: {} 〜 {}", moments.first().map_or("–", |m| m), moments.last().map_or("–", |m| m)));
    add(format!("- 影響を受けた記録 / records affected: {}", affected.len()));
    add(format!("- 行為者 / actors: {}", actors.len()));
    add("- 報告期限 / due: 速報 3〜5日以内、確報 30日以内（不正の目的のおそれがあるときは60日以内）".to_owned());
    add("\n| 記録 / record | 項目群 / field groups | 回数 / times |\n|---|---|---|".to_owned());
    for (record, (fields, count)) in &affected {
        add(format!("| {record} | {} | {count} |", fields.iter().cloned().collect::<Vec<_>>().join(", ")));
    }
    add("\n| 行為者 / actor | 機関 / organisation | 回数 / times |\n|---|---|---|".to_owned());
    for ((actor, organisation), count) in &actors {
        add(format!("| {actor} | {organisation} | {count} |"));
    }
    Ok(text)
}
