//! SQL of the care survey.

use const_format::formatcp;
use proto::{
    beds::Capability,
    registry::{AdmissionNecessity, Outcome, Placement},
    statistics::CareRow,
};
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use crate::fact::{Area, POSITIVE_CLASSES};

const OPEN: i16 = Outcome::Unspecified as i16;
const HOSPITAL: i16 = Placement::Hospital as i16;
const LODGING: i16 = Placement::Lodging as i16;
const HOME: i16 = Placement::Home as i16;
const WELFARE: i16 = Placement::WelfareFacility as i16;
const TEMPORARY: i16 = Placement::TemporaryFacility as i16;
const DISCHARGED: i16 = Placement::Discharged as i16;
const NEEDED: i16 = AdmissionNecessity::Needed as i16;
const GENERAL: i16 = Capability::General as i16;
const ICU: i16 = Capability::Icu as i16;
const VENTILATOR: i16 = Capability::Ventilator as i16;
const ECMO: i16 = Capability::Ecmo as i16;
const ROOM: i16 = Capability::LodgingRoom as i16;

/// 療養先調整中: no placement yet, or waiting for one.
const WAITING: &str = {
    const UNPLACED: i16 = Placement::Unspecified as i16;
    const WAITING: i16 = Placement::Waiting as i16;
    formatcp!("({UNPLACED}, {WAITING})")
};
const SEVERE_BEDS: &str = formatcp!("({ICU}, {VENTILATOR}, {ECMO})");
const BEDS: &str = formatcp!("({GENERAL}, {ICU}, {VENTILATOR}, {ECMO})");

#[derive(FromRow)]
struct PatientsRow {
    #[sqlx(try_from = "i16")]
    prefecture: u8,
    under_care: i64,
    inpatients: i64,
    severe: i64,
    icu: i64,
    ventilator: i64,
    ecmo: i64,
    lodging: i64,
    home: i64,
    welfare_facility: i64,
    temporary_facility: i64,
    waiting: i64,
    waiting_for_hospital: i64,
}

impl From<PatientsRow> for CareRow {
    fn from(row: PatientsRow) -> Self {
        Self {
            prefecture: row.prefecture.into(),
            under_care: row.under_care,
            inpatients: row.inpatients,
            severe: row.severe,
            icu: row.icu,
            ventilator: row.ventilator,
            ecmo: row.ecmo,
            lodging: row.lodging,
            home: row.home,
            welfare_facility: row.welfare_facility,
            temporary_facility: row.temporary_facility,
            waiting: row.waiting,
            waiting_for_hospital: row.waiting_for_hospital,
            ..Self::default()
        }
    }
}

/// The patients under care (療養者: notified as positive, and the episode goes on; 退院した者は数えない) of each prefecture of an area.
pub(crate) async fn patients(conn: &mut PgConnection, area: Area, as_of: OffsetDateTime) -> sqlx::Result<Vec<CareRow>> {
    let rows: Vec<PatientsRow> = sqlx::query_as(formatcp!(
        "select care_prefecture as prefecture,
                count(*) as under_care,
                count(*) filter (where placement = {HOSPITAL}) as inpatients,
                count(*) filter (where placement = {HOSPITAL} and (icu or ventilator or ecmo)) as severe,
                count(*) filter (where placement = {HOSPITAL} and icu) as icu,
                count(*) filter (where placement = {HOSPITAL} and ventilator) as ventilator,
                count(*) filter (where placement = {HOSPITAL} and ecmo) as ecmo,
                count(*) filter (where placement = {LODGING}) as lodging,
                count(*) filter (where placement = {HOME}) as home,
                count(*) filter (where placement = {WELFARE}) as welfare_facility,
                count(*) filter (where placement = {TEMPORARY}) as temporary_facility,
                count(*) filter (where placement in {WAITING}) as waiting,
                count(*) filter (where placement in {WAITING} and admission_necessity = {NEEDED}) as waiting_for_hospital
         from case_fact
         where outcome = {OPEN} and placement <> {DISCHARGED} and diagnosis_class in {POSITIVE_CLASSES} and recorded_to > $1 and recorded_from <= $1
           and ($2::smallint is null or care_prefecture = $2) and ($3::uuid is null or responsible_centre = $3)
         group by care_prefecture"
    ))
    .bind(as_of)
    .bind(area.prefecture().map(i16::from))
    .bind(area.centre())
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(CareRow::from).collect())
}

#[derive(FromRow)]
struct RoomRow {
    #[sqlx(try_from = "i16")]
    prefecture: u8,
    secured_beds: i64,
    ready_beds: i64,
    secured_severe_beds: i64,
    secured_rooms: i64,
    ready_rooms: i64,
}

impl From<RoomRow> for CareRow {
    fn from(row: RoomRow) -> Self {
        Self {
            prefecture: row.prefecture.into(),
            secured_beds: row.secured_beds,
            ready_beds: row.ready_beds,
            secured_severe_beds: row.secured_severe_beds,
            secured_rooms: row.secured_rooms,
            ready_rooms: row.ready_rooms,
            ..Self::default()
        }
    }
}

/// The beds and rooms of each prefecture of an area. A centre has none of its own.
pub(crate) async fn room(conn: &mut PgConnection, area: Area, as_of: OffsetDateTime) -> sqlx::Result<Vec<CareRow>> {
    let rows: Vec<RoomRow> = sqlx::query_as(formatcp!(
        "select prefecture,
                coalesce(sum(secured) filter (where capability in {BEDS}), 0) as secured_beds,
                coalesce(sum(ready) filter (where capability in {BEDS}), 0) as ready_beds,
                coalesce(sum(secured) filter (where capability in {SEVERE_BEDS}), 0) as secured_severe_beds,
                coalesce(sum(secured) filter (where capability = {ROOM}), 0) as secured_rooms,
                coalesce(sum(ready) filter (where capability = {ROOM}), 0) as ready_rooms
         from capacity_fact
         where recorded_to > $1 and recorded_from <= $1 and ($2::smallint is null or prefecture = $2) and $3::uuid is null
         group by prefecture"
    ))
    .bind(as_of)
    .bind(area.prefecture().map(i16::from))
    .bind(area.centre())
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(CareRow::from).collect())
}
