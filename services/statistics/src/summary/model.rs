//! The sum of the prefectures.

use proto::statistics::SummaryRow;

/// The whole of an area.
pub(crate) fn total(rows: &[SummaryRow]) -> SummaryRow {
    rows.iter().fold(SummaryRow::default(), |sum, row| SummaryRow {
        prefecture: 0,
        tested: sum.tested + row.tested,
        positive: sum.positive + row.positive,
        open: sum.open + row.open,
        released: sum.released + row.released,
        died: sum.died + row.died,
    })
}

#[cfg(test)]
mod tests {
    use proto::statistics::SummaryRow;

    use super::total;

    #[test]
    fn a_total_adds_every_column_and_is_of_no_prefecture() {
        let row = SummaryRow { prefecture: 27, tested: 1, positive: 2, open: 3, released: 4, died: 5 };
        let twice = SummaryRow { prefecture: 0, tested: 2, positive: 4, open: 6, released: 8, died: 10 };
        assert!(total(&[row, row]) == twice);
        assert!(total(&[]) == SummaryRow::default());
    }
}
