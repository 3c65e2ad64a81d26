//! Sends rows through the gateway as registrations, notifications and releases. Safe to interrupt and to repeat.

use std::{fs, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use client::{Client, Session, patiently};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::{
    sync::{RwLock, Semaphore},
    task::JoinSet,
};

use crate::wave::Row;

/// What a replay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows sent and answered.
    pub sent: usize,
    /// Rows that an earlier run had finished.
    pub skipped: usize,
}

/// How to replay.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the request ids are derived from.
    pub source: String,
    /// The prefecture of the place names.
    pub prefecture: u8,
    /// Rows under way at once.
    pub at_once: usize,
    /// Where progress is kept; `None` sends everything again.
    pub progress: Option<PathBuf>,
    /// Draws the bar.
    pub bar: bool,
}

/// Replays rows in order, many at once.
///
/// # Errors
/// At the first row that is refused, by its number.
pub async fn run(client: Client, rows: Vec<Row>, plan: &Plan) -> anyhow::Result<Report> {
    let done_before = plan.progress.as_ref().map_or(0, finished);
    let skipped = done_before.min(rows.len());
    let bar = if plan.bar { ProgressBar::new(u64::try_from(rows.len())?) } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} rows  {per_sec}  {eta} left")?);
    bar.set_position(u64::try_from(skipped)?);

    let client = Arc::new(RwLock::new(client));
    let slots = Arc::new(Semaphore::new(plan.at_once));
    let mut tasks: JoinSet<anyhow::Result<usize>> = JoinSet::new();
    let mut marks = Marks::new(skipped);
    for (index, row) in rows.into_iter().enumerate().skip(skipped) {
        let slot = Arc::clone(&slots).acquire_owned().await?;
        let (client, source, prefecture) = (Arc::clone(&client), plan.source.clone(), plan.prefecture);
        tasks.spawn(async move {
            let _slot = slot;
            send(&client, &row, &source, prefecture).await.with_context(|| format!("row {}", row.number))?;
            Ok(index)
        });
        while let Some(done) = tasks.try_join_next() {
            marks.finish(done??);
            bar.inc(1);
        }
        if let Some(file) = plan.progress.as_ref().filter(|_| index % 500 == 0) {
            fs::write(file, marks.all_before().to_string())?;
        }
    }
    while let Some(done) = tasks.join_next().await {
        marks.finish(done??);
        bar.inc(1);
    }
    if let Some(file) = &plan.progress {
        fs::write(file, marks.all_before().to_string())?;
    }
    bar.finish();
    Ok(Report { sent: marks.all_before() - skipped, skipped })
}

async fn send(client: &RwLock<Client>, row: &Row, source: &str, prefecture: u8) -> anyhow::Result<()> {
    if client.read().await.session().is_some_and(Session::ends_soon) {
        client.write().await.keep_fresh().await?;
    }
    let client = client.read().await.clone();
    let mut requests = row.requests(source, prefecture);
    let case = patiently(|| {
        let (mut cases, request) = (client.cases(), client.request(requests.register.clone()));
        async move { cases.register_case(request).await }
    })
    .await
    .context("register")?;
    requests.file.case_id.clone_from(&case.case_id);
    patiently(|| {
        let (mut filing, request) = (client.filing(), client.request(requests.file.clone()));
        async move { filing.file_notification(request).await }
    })
    .await
    .context("file")?;
    if let Some(mut release) = requests.release {
        release.case_id = case.case_id;
        patiently(|| {
            let (mut course, request) = (client.course(), client.request(release.clone()));
            async move { course.record_outcome(request).await }
        })
        .await
        .context("record the release")?;
    }
    Ok(())
}

fn finished(file: &PathBuf) -> usize {
    fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Which rows are done, as far as all before them are.
struct Marks {
    before: usize,
    beyond: std::collections::BTreeSet<usize>,
}

impl Marks {
    fn new(before: usize) -> Self {
        Self { before, beyond: std::collections::BTreeSet::new() }
    }

    fn finish(&mut self, index: usize) {
        self.beyond.insert(index);
        while self.beyond.remove(&self.before) {
            self.before += 1;
        }
    }

    fn all_before(&self) -> usize {
        self.before
    }
}

#[cfg(test)]
mod tests {
    use super::Marks;

    #[test]
    fn progress_never_skips_an_unfinished_row() {
        let mut marks = Marks::new(2);
        marks.finish(4);
        assert_eq!(marks.all_before(), 2);
        marks.finish(2);
        assert_eq!(marks.all_before(), 3);
        marks.finish(3);
        assert_eq!(marks.all_before(), 5);
    }
}
