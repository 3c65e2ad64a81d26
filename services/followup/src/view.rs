//! Follow-up as the API shows it.

use chassis::Error;
use prost::Message as _;
use proto::followup::{
    Alert, AlertLevel, CareVisit, ContactAttempt, Followup, HealthReport, Plan, PlanState, StoredReport,
};
use runtime::clock::to_proto;
use sqlx::PgConnection;
use uuid::Uuid;
use vault::{Place, Vault};

use crate::{
    domain::{Reason, Worry},
    store::{self, AttemptRow, PlanRow, ReportRow},
    worklist::{self, AlertRow},
};

/// What a person wrote to the centre.
pub(crate) const MESSAGE: Place = Place { table: "report", column: "message" };
/// What was said at a call.
pub(crate) const NOTE: Place = Place { table: "contact_attempt", column: "note" };
/// A care visit.
pub(crate) const VISIT: Place = Place { table: "care_visit", column: "sealed" };

/// How many of each are shown.
const LATEST: i64 = 100;

/// Everything about a case.
pub(crate) async fn followup(conn: &mut PgConnection, vault: &Vault, case: Uuid) -> Result<Followup, Error> {
    let plan = store::plans(conn, &[case]).await?.pop();
    let reports = store::reports(conn, case, LATEST).await?;
    let alerts = worklist::alerts(conn, case, LATEST).await?;
    let attempts = store::attempts(conn, case, LATEST).await?;
    let visits = store::visits(conn, case, LATEST).await?;
    Ok(Followup {
        plan: plan.as_ref().map(self::plan),
        reports: reports.iter().map(|row| report(vault, row)).collect::<Result<_, _>>()?,
        alerts: alerts.iter().map(alert).collect(),
        attempts: attempts.iter().map(|row| attempt(vault, row)).collect::<Result<_, _>>()?,
        care_visits: visits.iter().map(|(id, sealed)| visit(vault, *id, sealed)).collect::<Result<_, _>>()?,
    })
}

pub(crate) fn plan(row: &PlanRow) -> Plan {
    Plan {
        case_id: row.case_id.to_string(),
        state: PlanState::try_from(i32::from(row.state)).unwrap_or_default().into(),
        reason: Reason::from_number(row.reason).text().shown().to_owned(),
        next_due_at: row.due_at.map(to_proto),
        last_day: row.last_day.map(|day| day.to_string()).unwrap_or_default(),
        times: row.times.clone(),
        owner_organisation_id: row.owner.map(|id| id.to_string()).unwrap_or_default(),
    }
}

fn report(vault: &Vault, row: &ReportRow) -> Result<StoredReport, Error> {
    let mut answers = HealthReport::decode(row.answers.as_slice()).map_err(|error| Error::Internal(error.into()))?;
    answers.message = text(vault, MESSAGE, row.report_id, row.message.as_deref())?;
    Ok(StoredReport {
        report_id: row.report_id.to_string(),
        at: Some(to_proto(row.at)),
        report: Some(answers),
        by_organisation_id: row.by_organisation.map(|id| id.to_string()).unwrap_or_default(),
        form_version: row.form_version.clone(),
    })
}

pub(crate) fn alert(row: &AlertRow) -> Alert {
    let reasons = row.reasons.iter().filter_map(|n| Worry::from_number(*n));
    Alert {
        alert_id: row.alert_id.to_string(),
        case_id: row.case_id.to_string(),
        level: AlertLevel::try_from(i32::from(row.level)).unwrap_or_default().into(),
        reasons: reasons.map(|worry| worry.text().shown().to_owned()).collect(),
        raised_at: Some(to_proto(row.raised_at)),
        owner_organisation_id: row.owner.map(|id| id.to_string()).unwrap_or_default(),
        owner_user_id: row.owner_user.map(|id| id.to_string()).unwrap_or_default(),
        acknowledged_at: row.acknowledged_at.map(to_proto),
    }
}

fn attempt(vault: &Vault, row: &AttemptRow) -> Result<ContactAttempt, Error> {
    Ok(ContactAttempt {
        at: Some(to_proto(row.at)),
        channel: i32::from(row.channel),
        reached: row.reached,
        note: text(vault, NOTE, row.attempt_id, row.note.as_deref())?,
        by_organisation_id: row.by_organisation.to_string(),
    })
}

fn visit(vault: &Vault, id: Uuid, sealed: &[u8]) -> Result<CareVisit, Error> {
    let plain = vault.open(VISIT, id.as_bytes(), sealed)?;
    CareVisit::decode(plain.as_slice()).map_err(|error| Error::Internal(error.into()))
}

fn text(vault: &Vault, place: Place, id: Uuid, sealed: Option<&[u8]>) -> Result<String, Error> {
    let Some(sealed) = sealed else { return Ok(String::new()) };
    let plain = vault.open(place, id.as_bytes(), sealed)?;
    String::from_utf8(plain).map_err(|error| Error::Internal(error.into()))
}

/// Seals a free text; an empty one is not stored.
pub(crate) fn sealed(vault: &Vault, place: Place, id: Uuid, text: &str) -> Result<Option<Vec<u8>>, Error> {
    if text.is_empty() { Ok(None) } else { Ok(Some(vault.seal(place, id.as_bytes(), text.as_bytes())?)) }
}
