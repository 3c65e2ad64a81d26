//! The survey's rows, their sum and their ratios.

use std::collections::BTreeMap;

use proto::statistics::CareRow;

/// One row per prefecture, of rows that hold its patients and rows that hold its beds and rooms.
pub(crate) fn survey(parts: impl IntoIterator<Item = CareRow>) -> Vec<CareRow> {
    let mut rows: BTreeMap<i32, CareRow> = BTreeMap::new();
    for part in parts {
        let row = rows.entry(part.prefecture).or_default();
        *row = CareRow { prefecture: part.prefecture, ..plus(row, &part) };
    }
    rows.into_values().map(with_ratios).collect()
}

/// The whole of an area.
pub(crate) fn total(rows: &[CareRow]) -> CareRow {
    with_ratios(rows.iter().fold(CareRow::default(), |sum, row| plus(&sum, row)))
}

/// Two rows counted together, without ratios.
fn plus(a: &CareRow, b: &CareRow) -> CareRow {
    CareRow {
        prefecture: 0,
        under_care: a.under_care + b.under_care,
        inpatients: a.inpatients + b.inpatients,
        severe: a.severe + b.severe,
        icu: a.icu + b.icu,
        ventilator: a.ventilator + b.ventilator,
        ecmo: a.ecmo + b.ecmo,
        lodging: a.lodging + b.lodging,
        home: a.home + b.home,
        waiting: a.waiting + b.waiting,
        welfare_facility: a.welfare_facility + b.welfare_facility,
        temporary_facility: a.temporary_facility + b.temporary_facility,
        waiting_for_hospital: a.waiting_for_hospital + b.waiting_for_hospital,
        secured_beds: a.secured_beds + b.secured_beds,
        ready_beds: a.ready_beds + b.ready_beds,
        secured_severe_beds: a.secured_severe_beds + b.secured_severe_beds,
        secured_rooms: a.secured_rooms + b.secured_rooms,
        ready_rooms: a.ready_rooms + b.ready_rooms,
        bed_use_percent: None,
        hospitalised_percent: None,
    }
}

/// 病床使用率 and 入院率, to one decimal as published.
fn with_ratios(row: CareRow) -> CareRow {
    CareRow {
        bed_use_percent: percent(row.inpatients, row.secured_beds),
        hospitalised_percent: percent(row.inpatients, row.under_care),
        ..row
    }
}

/// `None` without a divisor: no beds is not the same as no use of them.
fn percent(part: i64, whole: i64) -> Option<f64> {
    (whole != 0).then(|| (as_float(part) / as_float(whole) * 1_000.0).round() / 10.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts of people are far below 2^52")]
fn as_float(count: i64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use proto::statistics::CareRow;

    use super::{survey, total};

    fn row(prefecture: i32, inpatients: i64, under_care: i64, secured_beds: i64) -> CareRow {
        CareRow { prefecture, inpatients, under_care, secured_beds, ..CareRow::default() }
    }

    #[test]
    fn the_total_carries_its_own_ratios() {
        let sum = total(&[row(13, 1, 3, 4), row(27, 1, 3, 0)]);
        assert_eq!((sum.prefecture, sum.inpatients, sum.under_care), (0, 2, 6));
        assert_eq!((sum.bed_use_percent, sum.hospitalised_percent), (Some(50.0), Some(33.3)));
    }

    #[test]
    fn without_a_divisor_there_is_no_ratio() {
        let nothing = total(&[]);
        assert_eq!((nothing.bed_use_percent, nothing.hospitalised_percent), (None, None));
        let unused = total(&[row(27, 0, 2, 5)]);
        assert_eq!((unused.bed_use_percent, unused.hospitalised_percent), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn patients_and_beds_of_a_prefecture_share_a_row() {
        let rows = survey([row(27, 1, 2, 0), row(13, 0, 1, 0), row(27, 0, 0, 3)]);
        let told: Vec<_> = rows.iter().map(|row| (row.prefecture, row.inpatients, row.secured_beds)).collect();
        assert_eq!(told, [(13, 0, 0), (27, 1, 3)]);
        assert_eq!(rows.iter().map(|row| row.bed_use_percent).collect::<Vec<_>>(), [None, Some(33.3)]);
    }
}
