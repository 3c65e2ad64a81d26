//! A list of organisations as CSV: our own columns, or those of the G-MIS list of hospitals.

use chassis::Error;
use proto::identity::{Organisation, OrganisationKind as Kind, Rights};
use runtime::problem::Violation;

use super::model;

/// Rows of one call.
pub(crate) const ROWS: usize = 1_000;

/// A row as read.
pub(super) struct Row {
    /// In the file; the header is line 1.
    pub line: i32,
    /// The organisation, or what is wrong with the row, by its column.
    pub outcome: Result<Loaded, Violation>,
}

/// An organisation of a list.
pub(super) struct Loaded {
    pub organisation: Organisation,
    /// What a second load recognises it by.
    pub natural_key: String,
}

pub(super) fn read(text: &str) -> Result<Vec<Row>, Error> {
    let wrong = |why: String| Error::invalid("csv", "CSV を読めません", why);
    let mut reader = csv::ReaderBuilder::new().from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header = reader.headers().map_err(|_| wrong("must be CSV with a header".to_owned()))?.clone();
    let column = |name: &str| header.iter().position(|column| column.trim() == name);
    let gmis = column("医療機関コード").is_some() && column("医療機関名").is_some();
    if !gmis && (column("kind").is_none() || column("name").is_none()) {
        return Err(wrong("must have a header with kind and name, or with 医療機関コード and 医療機関名".to_owned()));
    }
    let mut rows = Vec::new();
    for (index, record) in reader.records().enumerate() {
        if rows.len() == ROWS {
            return Err(wrong(format!("must have at most {ROWS} rows")));
        }
        let outcome = if let Ok(record) = record {
            let cell = |name: &str| column(name).and_then(|at| record.get(at)).unwrap_or_default().trim().to_owned();
            if gmis { of_gmis(&cell) } else { of_ours(&cell) }
        } else {
            Err(Violation::new("", "列数が見出しと異なります", "must have as many columns as the header"))
        };
        rows.push(Row { line: i32::try_from(index + 2).unwrap_or(i32::MAX), outcome });
    }
    Ok(rows)
}

/// A hospital of the list that the ministry's survey of medical provision (G-MIS) publishes.
fn of_gmis(cell: &impl Fn(&str) -> String) -> Result<Loaded, Violation> {
    let name = cell("医療機関名");
    if name.is_empty() {
        return Err(Violation::new("医療機関名", "必須です", "is required"));
    }
    let (code, municipality) = (cell("医療機関コード"), cell("全国地方公共団体コード"));
    if !model::is_ten_digits(&code) {
        return Err(Violation::new("医療機関コード", "10桁の数字です", "must be ten digits"));
    }
    let prefecture = municipality.get(..2).and_then(|digits| digits.parse().ok()).ok_or_else(|| {
        Violation::new("全国地方公共団体コード", "団体コードが正しくありません", "must be six digits")
    })?;
    let organisation = Organisation {
        kind: Kind::Hospital.into(),
        name,
        prefecture,
        rights: Rights::Entry.into(),
        institution_code: code.clone(),
        local_government_code: municipality,
        ..Organisation::default()
    };
    Ok(Loaded { organisation, natural_key: format!("institution|{code}") })
}

/// A row of our own columns.
fn of_ours(cell: &impl Fn(&str) -> String) -> Result<Loaded, Violation> {
    let kind = Kind::from_str_name(&format!("ORGANISATION_KIND_{}", cell("kind").to_uppercase()))
        .filter(|kind| *kind != Kind::Unspecified)
        .ok_or_else(|| Violation::new("kind", "種別が正しくありません", "must be a kind of organisation"))?;
    let name = cell("name");
    if name.is_empty() || name.chars().count() > 200 {
        return Err(Violation::new("name", "1〜200文字です", "must have 1 to 200 characters"));
    }
    let prefecture = cell("prefecture")
        .parse()
        .ok()
        .filter(|prefecture| (0..=47).contains(prefecture))
        .ok_or_else(|| Violation::new("prefecture", "0〜47の数字です", "must be a number from 0 to 47"))?;
    let rights = match cell("rights").to_lowercase().as_str() {
        "" | "entry" => Rights::Entry,
        "view" => Rights::View,
        "none" => Rights::None,
        _ => {
            let why = ("entry、view、none のいずれかです", "must be entry, view or none");
            return Err(Violation::new("rights", why.0, why.1));
        }
    };
    let code = cell("institution_code");
    let natural_key = if code.is_empty() {
        format!("{}|{prefecture}|{name}", kind.as_str_name())
    } else {
        format!("institution|{code}")
    };
    let organisation = Organisation {
        kind: kind.into(),
        name,
        prefecture,
        rights: rights.into(),
        institution_code: code,
        local_government_code: cell("local_government_code"),
        parent_id: cell("parent"),
        opening_date: cell("opening_date"),
        ..Organisation::default()
    };
    Ok(Loaded { organisation, natural_key })
}

#[cfg(test)]
mod tests {
    use super::{ROWS, Row, read};

    fn fault(row: &Row) -> &str {
        row.outcome.as_ref().err().map_or("", |fault| fault.field.as_str())
    }

    #[test]
    fn both_lists_are_read_and_a_row_at_fault_is_named() {
        let ours = "kind,name,prefecture,institution_code,rights,opening_date\nclinic,なにわ医院,27,,entry,2020-07-01\n\
                    zoo,動物園,27,,,\nclinic,,27,,,\nclinic,遠い医院,99,,,\nclinic,医院,27,,all,\nclinic,短い";
        let rows = read(ours).unwrap();
        assert_eq!(rows[0].outcome.as_ref().ok().unwrap().organisation.opening_date, "2020-07-01");
        let faults: Vec<(i32, &str)> = rows.iter().skip(1).map(|row| (row.line, fault(row))).collect();
        assert_eq!(faults, [(3, "kind"), (4, "name"), (5, "prefecture"), (6, "rights"), (7, "")]);

        let gmis = "\u{feff}医療機関コード,医療機関名,全国地方公共団体コード\n0110117785,創成東病院,011002\n\
                    011011,別の病院,011002\n0110117785,,011002\n0110117785,病院,";
        let rows = read(gmis).unwrap();
        let hospital = rows[0].outcome.as_ref().ok().unwrap();
        assert_eq!((hospital.organisation.prefecture, hospital.natural_key.as_str()), (1, "institution|0110117785"));
        let faults: Vec<&str> = rows.iter().skip(1).map(fault).collect();
        assert_eq!(faults, ["医療機関コード", "医療機関名", "全国地方公共団体コード"]);
    }

    #[test]
    fn a_file_without_our_columns_or_with_too_many_rows_is_refused_whole() {
        assert!(read("a,b\n1,2").is_err());
        let many = format!("kind,name\n{}", "clinic,医院\n".repeat(ROWS + 1));
        assert!(read(&many).is_err());
    }
}
