//! Whether an organisation works, as its own record says, without waiting for the directory to hear of it.

use std::collections::HashMap;

use access::OrganisationId;
use chassis::Error;
use japan::date;
use proto::identity::{Organisation, Role};
use runtime::problem::Violation;
use sqlx::PgConnection;
use time::Date;

use super::{model::fault, store};

/// What decides whether an organisation works on a day.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    suspended: bool,
    first: Option<Date>,
    last: Option<Date>,
    opens_on: Option<Date>,
    /// Somebody answers for its use of the system (システム利用統括責任者).
    answered_for: bool,
}

impl Standing {
    pub(super) fn of(organisation: &Organisation, answered_for: bool) -> Self {
        let day = |text: &str| date::parse(text).ok();
        Self {
            suspended: organisation.suspended,
            first: day(&organisation.valid_from_date),
            last: day(&organisation.valid_until_date),
            opens_on: day(&organisation.opening_date),
            answered_for,
        }
    }

    /// Whether it is cut off or no longer exists.
    pub(crate) fn is_over(&self, day: Date) -> bool {
        self.suspended || self.last.is_some_and(|last| last < day)
    }

    /// Whether people work in it.
    pub(crate) fn is_open(&self, day: Date) -> bool {
        !self.is_over(day)
            && self.first.is_none_or(|first| first <= day)
            && self.opens_on.is_none_or(|opens| opens <= day)
    }

    /// An ID for a role needs an organisation that goes on. Before anybody but its administrator works there, somebody must answer
    /// for it.
    pub(crate) fn may_employ(&self, field: &str, role: Role, day: Date) -> Result<(), Vec<Violation>> {
        if self.is_over(day) {
            return Err(fault(field, "利用が終了又は停止された機関です", "must be an organisation that is not closed"));
        }
        if !self.answered_for && role != Role::Administrator {
            return Err(fault(
                field,
                "システム利用統括責任者が登録されていない機関です",
                "must be an organisation with a responsible person",
            ));
        }
        Ok(())
    }
}

/// The standing of an organisation.
pub(crate) async fn standing(conn: &mut PgConnection, id: OrganisationId) -> Result<Standing, Error> {
    standings(conn, &[id]).await?.remove(&id).ok_or(Error::NotFound("organisation"))
}

/// The same of several.
pub(crate) async fn standings(
    conn: &mut PgConnection,
    ids: &[OrganisationId],
) -> Result<HashMap<OrganisationId, Standing>, Error> {
    Ok(store::contents(conn, ids).await?.into_iter().map(|(id, held, by)| (id, Standing::of(&held, by))).collect())
}

/// Those of some organisations that are over.
pub(super) async fn closed(
    conn: &mut PgConnection,
    ids: &[OrganisationId],
    today: Date,
) -> Result<Vec<OrganisationId>, Error> {
    let standings = standings(conn, ids).await?;
    Ok(standings.into_iter().filter(|(_, standing)| standing.is_over(today)).map(|(id, _)| id).collect())
}

#[cfg(test)]
mod tests {
    use proto::identity::{Organisation, Role};
    use time::macros::date;

    use super::Standing;

    #[test]
    fn an_organisation_employs_while_it_goes_on_and_somebody_answers_for_it() {
        let today = date!(2020 - 06 - 01);
        let with = |change: fn(&mut Organisation)| {
            let mut organisation = Organisation::default();
            change(&mut organisation);
            Standing::of(&organisation, true)
        };
        let may = |standing: Standing, role| standing.may_employ("x", role, today).is_ok();
        assert!(may(with(|_| {}), Role::Nurse));
        assert!(!may(with(|o| o.suspended = true), Role::Administrator));
        assert!(!may(with(|o| o.valid_until_date = "2020-05-31".to_owned()), Role::Nurse));
        let later = with(|o| o.opening_date = "2020-07-01".to_owned());
        assert!(!later.is_open(today) && may(later, Role::Nurse), "it prepares");
        let nobody = Standing::of(&Organisation::default(), false);
        assert!(may(nobody.clone(), Role::Administrator) && !may(nobody, Role::Nurse));
    }
}
