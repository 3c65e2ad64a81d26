//! The observation form (健康観察票), and the reports made with it.

mod form;
mod model;
mod store;
mod submit;

pub(crate) use form::form;
pub(crate) use store::latest;
pub(crate) use submit::submit;

use access::CaseId;
use chassis::Error;
use japan::date;
use prost::Message as _;
use proto::followup::{HealthReport, StoredReport};
use runtime::clock::to_proto;
use sqlx::PgConnection;
use time::Date;
use vault::{Place, Vault};

use crate::free_text;
use model::Report;
pub(crate) use model::ReportId;

/// What a person wrote to the centre.
pub(crate) const MESSAGE: Place = Place { table: "report", column: "message" };

/// A report as the API shows it.
pub(crate) fn shown(vault: &Vault, report: &Report) -> Result<StoredReport, Error> {
    let mut answers = answers(report)?;
    answers.message = free_text::open(vault, MESSAGE, report.id.uuid(), report.message.as_deref())?;
    Ok(StoredReport {
        report_id: report.id.to_string(),
        create_time: Some(to_proto(report.at)),
        by_organisation_id: data::text(report.by_organisation),
        form_version: report.form_version.clone(),
        report: Some(answers),
    })
}

/// The day since which symptoms are relieved. The latest report decides: symptoms that came back end a relief.
pub(crate) async fn relief(conn: &mut PgConnection, case: CaseId) -> Result<Option<Date>, Error> {
    let Some(latest) = latest(conn, case, 1).await?.pop() else { return Ok(None) };
    Ok(date::parse(&answers(&latest)?.relief_date).ok())
}

/// The coded answers.
fn answers(report: &Report) -> Result<HealthReport, Error> {
    HealthReport::decode(report.answers.as_slice()).map_err(|error| Error::Internal(error.into()))
}
