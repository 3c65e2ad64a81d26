//! Organisations: who supervises whom, and what never changes about one.

use access::OrganisationId;
use proto::identity::{Organisation, OrganisationKind as Kind};
use runtime::problem::Violation;

/// An organisation as a rule looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub id: OrganisationId,
    pub kind: Kind,
    /// 0 for national bodies.
    pub prefecture: u8,
    /// The body that supervises it.
    pub parent_id: Option<OrganisationId>,
}

/// Whether an administrator's organisation supervises another: ministry → prefecture, city → centre → institutions.
pub(super) fn supervises(above: &Body, below: &Body) -> bool {
    if above.id == below.id {
        return true;
    }
    match above.kind {
        Kind::Ministry => true,
        Kind::Prefecture => {
            below.prefecture == above.prefecture && !matches!(below.kind, Kind::Ministry | Kind::Prefecture)
        }
        // A city keeps centres and institutions of its own prefecture; a centre the institutions it works with.
        Kind::City | Kind::HealthCentre => {
            let beneath = match below.kind {
                Kind::HealthCentre => above.kind == Kind::City,
                Kind::Ministry | Kind::Prefecture | Kind::City | Kind::InformationCentre | Kind::Unspecified => false,
                _ => true,
            };
            beneath && below.prefecture == above.prefecture && below.parent_id == Some(above.id)
        }
        _ => false,
    }
}

/// Whether a body of this kind may be created under another.
pub(super) fn may_create(above: &Body, below: &Body) -> bool {
    above.id != below.id && supervises(above, below) && below.kind != Kind::Ministry
}

/// Whether the last digit of a ten-digit institution code (医療機関コード) is the check digit of the others: weights 2 and 1 in
/// turn, the digits of the products added, up to the next multiple of ten. Saitama, Chiba, Tokyo and Kanagawa compute it over
/// the last seven digits, the others over all ten. Codes outside of both rules exist, so this warns and never refuses.
pub(super) fn institution_code_checks(code: &str) -> bool {
    let digits: Option<Vec<u32>> = code.chars().map(|c| c.to_digit(10)).collect();
    let Some(digits) = digits.filter(|digits| digits.len() == 10) else { return false };
    let seven_only = code.get(..2).is_some_and(|prefecture| matches!(prefecture, "11" | "12" | "13" | "14"));
    let (skipped, mut weight) = if seven_only { (3, 1) } else { (0, 2) };
    let mut sum = 0;
    for digit in digits.iter().skip(skipped).take(9 - skipped) {
        let product = digit * weight;
        sum += product / 10 + product % 10;
        weight = 3 - weight;
    }
    digits.last().is_some_and(|last| *last == (10 - sum % 10) % 10)
}

/// A new organisation as a rule looks at it: what never changes about it must hold from the start.
pub(super) fn new_body(organisation: &Organisation, maker: OrganisationId) -> Result<Body, Vec<Violation>> {
    let kind: Kind = data::code(organisation.kind);
    if kind == Kind::Unspecified {
        return Err(fault("kind", "必須です", "is required"));
    }
    let national = matches!(kind, Kind::Ministry | Kind::InformationCentre | Kind::ExternalSystem);
    let prefecture = u8::try_from(organisation.prefecture)
        .ok()
        .filter(|prefecture| *prefecture != 0 || national)
        .ok_or_else(|| fault("prefecture", "都道府県は必須です", "is required for this kind"))?;
    let parent = OrganisationId::optional(&organisation.parent_id)
        .map_err(|_| fault("parent_id", "UUID を指定してください", "must be a UUID"))?;
    Ok(Body { id: OrganisationId::new(), kind, prefecture, parent_id: Some(parent.unwrap_or(maker)) })
}

pub(super) fn is_ten_digits(code: &str) -> bool {
    code.len() == 10 && code.bytes().all(|b| b.is_ascii_digit())
}

/// A field of an organisation that breaks a rule.
pub(super) fn fault(field: &str, ja: &str, en: impl std::fmt::Display) -> Vec<Violation> {
    vec![Violation::new(format!("organisation.{field}"), ja, en)]
}

#[cfg(test)]
mod tests {
    use access::OrganisationId;
    use proto::identity::{Organisation, OrganisationKind as Kind};

    use super::{Body, institution_code_checks, may_create, new_body, supervises};

    fn body(kind: Kind, prefecture: u8, parent_id: Option<OrganisationId>) -> Body {
        Body { id: OrganisationId::new(), kind, prefecture, parent_id }
    }

    #[test]
    fn supervision_follows_the_law_and_never_goes_up() {
        let ministry = body(Kind::Ministry, 0, None);
        let osaka = body(Kind::Prefecture, 27, Some(ministry.id));
        let tokyo = body(Kind::Prefecture, 13, Some(ministry.id));
        let centre = body(Kind::HealthCentre, 27, Some(osaka.id));
        let clinic = body(Kind::Clinic, 27, Some(centre.id));
        for (above, below) in [(ministry, osaka), (osaka, centre), (osaka, clinic), (centre, clinic), (clinic, clinic)]
        {
            assert!(supervises(&above, &below));
            assert!(above.id == below.id || !supervises(&below, &above));
        }
        assert!(!supervises(&tokyo, &centre));
        assert!(!supervises(&osaka, &tokyo));
        assert!(!supervises(&clinic, &body(Kind::Clinic, 27, Some(clinic.id))));
        let city = body(Kind::City, 27, Some(osaka.id));
        for (kind, prefecture) in
            [(Kind::Prefecture, 13), (Kind::Prefecture, 27), (Kind::City, 27), (Kind::HealthCentre, 13)]
        {
            assert!(!may_create(&city, &body(kind, prefecture, Some(city.id))), "{kind:?} {prefecture}");
        }
        assert!(may_create(&city, &body(Kind::HealthCentre, 27, Some(city.id))));
        assert!(!may_create(&centre, &body(Kind::HealthCentre, 27, Some(centre.id))));
        assert!(!may_create(&osaka, &body(Kind::Prefecture, 27, None)));
        assert!(!may_create(&ministry, &body(Kind::Ministry, 0, None)));
    }

    #[test]
    fn the_check_digit_of_an_institution_code_follows_its_prefecture() {
        for good in ["0110117785", "0110515913"] {
            assert!(institution_code_checks(good), "{good}");
        }
        for bad in ["0110117784", "011011778", "01101177８5", ""] {
            assert!(!institution_code_checks(bad), "{bad}");
        }
    }

    #[test]
    fn what_never_changes_must_hold_from_the_start() {
        let maker = OrganisationId::new();
        let clinic = Organisation { kind: Kind::Clinic.into(), prefecture: 27, ..Organisation::default() };
        assert_eq!(new_body(&clinic, maker).unwrap().parent_id, Some(maker));
        for (field, bad) in [
            ("kind", Organisation { kind: 0, ..clinic.clone() }),
            ("prefecture", Organisation { prefecture: 0, ..clinic.clone() }),
            ("parent_id", Organisation { parent_id: "x".to_owned(), ..clinic.clone() }),
        ] {
            assert_eq!(new_body(&bad, maker).unwrap_err()[0].field, format!("organisation.{field}"));
        }
    }
}
