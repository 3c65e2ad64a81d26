//! What statistics hears: every version of every case, and every declared capacity, as facts without a name.

use access::Directory;
use async_trait::async_trait;
use data::{Event, Failure, Projection};
use japan::date;
use proto::{beds::CapacityReported, registry::CaseChanged};
use sqlx::PgConnection;
use time::Date;
use uuid::Uuid;

use crate::{
    care::{self, CapacityFact},
    store::{self, Fact},
};

/// Hears the registry.
pub(crate) struct Hears {
    directory: Directory,
}

impl Hears {
    pub(crate) fn new(directory: Directory) -> Self {
        Self { directory }
    }
}

#[async_trait]
impl Projection for Hears {
    type Fetched = ();

    fn source(&self) -> &'static str {
        "registry"
    }

    async fn fetch(&self, _: &[Event]) -> Result<(), Failure> {
        Ok(())
    }

    async fn apply(&self, tx: &mut PgConnection, events: &[Event], (): &()) -> Result<(), Failure> {
        let facts: Vec<Fact> = events
            .iter()
            .filter(|event| event.r#type == "case.changed")
            .map(|event| fact(event, &self.directory))
            .collect::<Result<_, _>>()?;
        if !facts.is_empty() {
            store::insert_facts(tx, &facts).await?;
        }
        Ok(())
    }

    async fn reset(&self, tx: &mut PgConnection) -> sqlx::Result<bool> {
        sqlx::query("delete from case_fact").execute(tx).await?;
        Ok(true)
    }
}

/// Hears beds.
pub(crate) struct HearsBeds;

#[async_trait]
impl Projection for HearsBeds {
    type Fetched = ();

    fn source(&self) -> &'static str {
        "beds"
    }

    async fn fetch(&self, _: &[Event]) -> Result<(), Failure> {
        Ok(())
    }

    async fn apply(&self, tx: &mut PgConnection, events: &[Event], (): &()) -> Result<(), Failure> {
        let facts: Vec<CapacityFact> = events
            .iter()
            .filter(|event| event.r#type == "capacity.reported")
            .map(capacity_fact)
            .collect::<Result<_, _>>()?;
        if !facts.is_empty() {
            care::insert_capacity(tx, &facts).await?;
        }
        Ok(())
    }

    async fn reset(&self, tx: &mut PgConnection) -> sqlx::Result<bool> {
        sqlx::query("delete from capacity_fact").execute(tx).await?;
        Ok(true)
    }
}

fn capacity_fact(event: &Event) -> Result<CapacityFact, Failure> {
    let reported: CapacityReported = event.decode()?;
    let facility_id =
        Uuid::try_parse(&reported.facility_id).map_err(|_| Failure::Dead("facility_id is malformed".to_owned()))?;
    Ok(CapacityFact { facility_id, recorded_from: event.recorded_at, reported })
}

fn fact(event: &Event, directory: &Directory) -> Result<Fact, Failure> {
    let changed: CaseChanged = event.decode()?;
    let centre = Uuid::try_parse(&changed.responsible_centre_id).ok().and_then(|id| directory.get(id));
    Ok(Fact {
        care_prefecture: centre.map_or(changed.prefecture, |centre| i32::from(centre.prefecture)),
        case_id: Uuid::try_parse(&changed.case_id).map_err(|_| Failure::Dead("case_id is malformed".to_owned()))?,
        version: changed.version,
        recorded_from: event.recorded_at,
        centre_id: Uuid::try_parse(&changed.centre_id).ok(),
        report_date: day(&changed.report_date)?,
        onset_date: day(&changed.onset_date)?,
        test_date: day(&changed.test_date)?,
        changed,
    })
}

fn day(text: &str) -> Result<Option<Date>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    date::parse(text).map(Some).map_err(|_| Failure::Dead("carries an impossible date".to_owned()))
}
