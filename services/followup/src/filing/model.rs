//! A notification (発生届), and the tasks that its present state calls for.

use access::{CaseId, OrganisationId};
use proto::{followup::TaskKind, notification as event, registry::Relation};
use runtime::clock::day_in_japan;
use time::OffsetDateTime;

use super::rules::tasks;
use crate::worklist::{NotificationId, Wanted, source};

/// A notification, as far as it was heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filing {
    pub id: NotificationId,
    /// The place in notification's log of the last event that was heard of it.
    pub seq: i64,
    pub reporter: Option<OrganisationId>,
    /// The centre in whose inbox it is.
    pub centre: Option<OrganisationId>,
    pub case_id: Option<CaseId>,
    /// The centre that is responsible for that case.
    pub responsible: Option<OrganisationId>,
    /// Items that its form asks for and that are missing, by number.
    pub missing: Vec<String>,
    /// Since when something is missing; `None` while nothing is.
    pub lacks_since: Option<OffsetDateTime>,
    /// When it was returned (返戻); `None` once it is amended or accepted.
    pub returned_at: Option<OffsetDateTime>,
    pub withdrawn: bool,
}

impl Filing {
    /// One that was not heard of.
    pub(crate) fn unheard(id: NotificationId) -> Self {
        Self {
            id,
            seq: 0,
            reporter: None,
            centre: None,
            case_id: None,
            responsible: None,
            missing: Vec::new(),
            lacks_since: None,
            returned_at: None,
            withdrawn: false,
        }
    }

    /// These items are missing from a moment on. What was missing before is missing since then.
    pub(super) fn lack(&mut self, missing: &[String], at: OffsetDateTime) {
        missing.clone_into(&mut self.missing);
        self.lacks_since = if missing.is_empty() { None } else { self.lacks_since.or(Some(at)) };
    }

    /// The tasks it calls for.
    pub(crate) fn tasks(&self) -> Vec<Wanted> {
        if self.withdrawn {
            return Vec::new();
        }
        let mut found = Vec::new();
        if let Some(since) = self.lacks_since {
            let due = tasks().missing_items_due(day_in_japan(since));
            let lacks = |desk, relation| Wanted {
                due,
                items: self.missing.clone(),
                ..self.task(desk, relation, TaskKind::ItemsMissing, since, source::<event::NotificationFiled>())
            };
            found.extend(self.reporter.map(|reporter| lacks(reporter, Relation::Reporter)));
            // A centre that filed itself has one desk.
            let seer = self.seer().filter(|(centre, _)| self.reporter != Some(*centre));
            found.extend(seer.map(|(centre, relation)| lacks(centre, relation)));
        }
        if let Some((since, reporter)) = self.returned_at.zip(self.reporter) {
            let returned = source::<event::NotificationReturned>();
            found.push(self.task(reporter, Relation::Reporter, TaskKind::FilingReturned, since, returned));
        }
        found
    }

    /// The centre that sees to what is missing: whoever looks after the person, and until the registry has said to which case this
    /// belongs the one in whose inbox it is. A hand-over leaves the inbox as it is.
    fn seer(&self) -> Option<(OrganisationId, Relation)> {
        let by_case = self.responsible.map(|centre| (centre, Relation::ResponsibleCentre));
        by_case.or_else(|| self.centre.map(|centre| (centre, Relation::ReceivingCentre)))
    }

    fn task(
        &self,
        desk: OrganisationId,
        relation: Relation,
        kind: TaskKind,
        since: OffsetDateTime,
        source: &'static str,
    ) -> Wanted {
        Wanted {
            subject: self.id.uuid(),
            case_id: self.case_id,
            notification_id: Some(self.id),
            desk,
            relation,
            kind,
            since,
            due: None,
            source,
            items: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use access::OrganisationId;
    use proto::followup::TaskKind as Kind;
    use time::{
        OffsetDateTime,
        macros::{date, datetime},
    };

    use super::Filing;
    use crate::worklist::NotificationId;

    /// The last minute of 1 June in Japan.
    const LATE: OffsetDateTime = datetime!(2020-06-01 14:59 UTC);

    fn filed() -> Filing {
        let (reporter, centre) = (Some(OrganisationId::new()), Some(OrganisationId::new()));
        Filing { reporter, centre, ..Filing::unheard(NotificationId::new()) }
    }

    #[test]
    fn missing_items_are_asked_of_whoever_filed_and_watched_by_the_centre_from_the_first_day_they_lack() {
        let mut filing = filed();
        assert!(filing.tasks().is_empty());
        filing.lack(&["7".to_owned(), "12.method".to_owned()], LATE);
        filing.lack(&["7".to_owned()], LATE + time::Duration::days(3));
        let tasks = filing.tasks();
        assert_eq!(tasks.iter().map(|task| Some(task.desk)).collect::<Vec<_>>(), [filing.reporter, filing.centre]);
        for task in &tasks {
            assert_eq!((task.kind, task.since, task.due), (Kind::ItemsMissing, LATE, Some(date!(2020 - 06 - 08))));
            assert_eq!(task.items, ["7"]);
        }
        filing.lack(&[], LATE);
        assert!(filing.tasks().is_empty());
    }

    #[test]
    fn what_was_returned_is_work_of_whoever_filed_it_and_what_was_withdrawn_is_nobodys() {
        let mut filing = Filing { returned_at: Some(LATE), ..filed() };
        let tasks = filing.tasks();
        let tasks: Vec<_> = tasks.iter().map(|task| (Some(task.desk), task.kind)).collect();
        assert_eq!(tasks, [(filing.reporter, Kind::FilingReturned)]);
        filing.lack(&["7".to_owned()], LATE);
        filing.withdrawn = true;
        assert!(filing.tasks().is_empty());
    }

    #[test]
    fn a_centre_that_files_itself_has_one_desk() {
        let mut filing = filed();
        filing.centre = filing.reporter;
        filing.lack(&["7".to_owned()], LATE);
        assert_eq!(filing.tasks().len(), 1);
    }

    #[test]
    fn the_centre_that_is_responsible_for_the_case_sees_to_what_is_missing_wherever_the_form_lies() {
        let mut filing = filed();
        filing.lack(&["7".to_owned()], LATE);
        for responsible in [Some(OrganisationId::new()), filing.centre, None] {
            filing.responsible = responsible;
            let desks: Vec<_> = filing.tasks().iter().map(|task| Some(task.desk)).collect();
            assert_eq!(desks, [filing.reporter, responsible.or(filing.centre)]);
        }
        filing.responsible = filing.reporter;
        assert_eq!(filing.tasks().len(), 1, "whoever filed it looks after the person, too");
    }
}
