//! The end of an episode ends what was asked for it: a bed is free again, and nobody waits for one.

use access::CaseId;
use data::{Failure, outbox};
use proto::{
    beds::{AdmissionState as State, Destination},
    registry::Outcome,
};
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{
    admission::{self, changed},
    stay,
};

/// Ends the admissions of cases that have ended, each with how.
pub(super) async fn end_with_the_episode(
    conn: &mut PgConnection,
    ended: &[(CaseId, Outcome)],
    now: OffsetDateTime,
) -> Result<(), Failure> {
    if ended.is_empty() {
        return Ok(());
    }
    let ids: Vec<CaseId> = ended.iter().map(|(id, _)| *id).collect();
    for mut admission in admission::lock_open(conn, &ids).await? {
        let outcome = ended.iter().find(|(id, _)| *id == admission.case_id).map(|(_, outcome)| *outcome);
        let over = if admission.state == State::Arrived {
            let died = outcome == Some(Outcome::Died);
            admission.leave(if died { Destination::Died } else { Destination::Discharged }, now)
        } else {
            admission.cancel(now)
        };
        if over.is_err() {
            continue;
        }
        if let Some(id) = admission.stay_id {
            stay::end(conn, id, now).await?;
        }
        admission::save(conn, &admission).await?;
        outbox::add(conn, &changed(&admission, now)).await?;
    }
    Ok(())
}
