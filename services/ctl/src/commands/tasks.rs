//! The list of tasks of your organisation: who does what about which case or notification by when.

use clap::{Subcommand, ValueEnum};
use client::{Client, pages};
use proto::followup::{
    AssignTaskRequest, CompleteTaskRequest, ListWorklistRequest, Task, TaskAssignment, TaskKind, WatchWorklistRequest,
};
use uuid::Uuid;

use crate::{
    console::{say, timestamp},
    failure::Usage,
};

#[derive(Subcommand)]
pub(crate) enum Tasks {
    /// List what there is to do, most urgent first.
    List {
        /// Only one kind, such as `items-missing` or `transfer-offered`.
        #[arg(long)]
        kind: Option<String>,
        /// Only yours, or only nobody's.
        #[arg(long, value_enum)]
        of: Option<Whose>,
        /// Only tasks about this case.
        #[arg(long)]
        case: Option<Uuid>,
    },
    /// Make a task the work of a user of your organisation; of nobody where none is named.
    Assign { task: Uuid, user: Option<Uuid> },
    /// Close a notice: it was seen, and what it asks for was done.
    Done { task: Uuid },
    /// Print tasks as they come onto the list, until interrupted.
    Watch,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Whose {
    Mine,
    Nobody,
}

pub(crate) async fn run(client: &Client, command: Tasks) -> anyhow::Result<()> {
    match command {
        Tasks::List { kind, of, case } => list(client, kind.as_deref(), of, case).await,
        Tasks::Assign { task, user } => {
            let request = AssignTaskRequest {
                request_id: Uuid::now_v7().to_string(),
                task_id: task.to_string(),
                etag: String::new(),
                user_id: user.map(|user| user.to_string()).unwrap_or_default(),
            };
            let done = client.worklist().assign_task(client.request(request)).await?.into_inner();
            say(format_args!("{}", line(&done)))
        }
        Tasks::Done { task } => {
            let request = CompleteTaskRequest {
                request_id: Uuid::now_v7().to_string(),
                task_id: task.to_string(),
                etag: String::new(),
            };
            let done = client.worklist().complete_task(client.request(request)).await?.into_inner();
            say(format_args!("{} done", done.task_id))
        }
        Tasks::Watch => watch(client).await,
    }
}

async fn list(client: &Client, kind: Option<&str>, of: Option<Whose>, case: Option<Uuid>) -> anyhow::Result<()> {
    let assignment = match of {
        None => TaskAssignment::Unspecified,
        Some(Whose::Mine) => TaskAssignment::Mine,
        Some(Whose::Nobody) => TaskAssignment::Unassigned,
    };
    let kind = kind.map(read).transpose()?.unwrap_or_default();
    let tasks = pages(async |page_token| {
        let request = ListWorklistRequest {
            page_size: 200,
            page_token,
            kind: kind.into(),
            assignment: assignment.into(),
            case_id: case.map(|case| case.to_string()).unwrap_or_default(),
            ..ListWorklistRequest::default()
        };
        let page = client.worklist().list_worklist(client.request(request)).await?.into_inner();
        Ok((page.tasks, page.next_page_token))
    })
    .await?;
    tasks.iter().try_for_each(|task| say(format_args!("{}", line(task))))
}

async fn watch(client: &Client) -> anyhow::Result<()> {
    let mut stream = client.worklist().watch_worklist(client.request(WatchWorklistRequest {})).await?.into_inner();
    while let Some(message) = stream.message().await? {
        message.tasks.iter().try_for_each(|task| say(format_args!("{}", line(task))))?;
    }
    Ok(())
}

/// `items-missing` is `TASK_KIND_ITEMS_MISSING`.
fn read(kind: &str) -> anyhow::Result<TaskKind> {
    let name = format!("TASK_KIND_{}", kind.to_uppercase().replace('-', "_"));
    TaskKind::from_str_name(&name).ok_or_else(|| Usage(format!("there is no kind of task {kind:?}")).into())
}

fn line(task: &Task) -> String {
    let since = task.since_time.as_ref().map(timestamp).unwrap_or_default();
    let about = [("症例", &task.case_id), ("届出", &task.notification_id)];
    let about: Vec<String> =
        about.iter().filter(|(_, id)| !id.is_empty()).map(|(noun, id)| format!("{noun} {id}")).collect();
    let due = match (task.due_date.as_str(), task.is_overdue) {
        ("", _) => String::new(),
        (day, true) => format!("  期限 {day} 超過"),
        (day, false) => format!("  期限 {day}"),
    };
    let assignee = if task.assignee_user_id.is_empty() { "未割当" } else { task.assignee_user_id.as_str() };
    let missing = task.missing_items.join(" ");
    format!(
        "{}  {since}  {}  {}  {}{due}  {assignee}  {missing}",
        task.task_id,
        name(task.kind()),
        about.join(" "),
        task.name_kanji
    )
}

fn name(kind: TaskKind) -> &'static str {
    match kind {
        TaskKind::Unspecified => "－",
        TaskKind::ItemsMissing => "未記入項目",
        TaskKind::FilingToCheck => "届出の確認",
        TaskKind::FilingReturned => "返戻",
        TaskKind::MissedReport => "健康観察未入力",
        TaskKind::Referred => "紹介",
        TaskKind::Caution => "要注意",
        TaskKind::CaseHandedOver => "担当の引継ぎ",
        TaskKind::TransferOffered => "移管の申し出",
        TaskKind::PatientPlaced => "入院・入所",
        TaskKind::Alert => "警報",
        TaskKind::EmergencyAccess => "緊急閲覧",
        TaskKind::EmergencyAccessOfMany => "緊急閲覧（多数）",
    }
}

#[cfg(test)]
mod tests {
    use proto::followup::{Task, TaskKind};

    use super::{line, read};

    #[test]
    fn a_kind_is_read_by_its_name_and_another_is_refused() {
        assert_eq!(read("items-missing").unwrap(), TaskKind::ItemsMissing);
        assert!(read("nothing").is_err());
    }

    #[test]
    fn a_line_says_by_when_and_of_whom() {
        let task = Task {
            kind: TaskKind::ItemsMissing.into(),
            notification_id: "n".to_owned(),
            due_date: "2020-06-08".to_owned(),
            is_overdue: true,
            missing_items: vec!["7".to_owned()],
            ..Task::default()
        };
        let line = line(&task);
        for part in ["未記入項目", "届出 n", "期限 2020-06-08 超過", "未割当", "7"] {
            assert!(line.contains(part), "{line}");
        }
    }
}
