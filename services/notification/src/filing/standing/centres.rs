//! Which centres have a case, and which left it, as its grants say.

use access::OrganisationId;
use proto::registry::{CaseChanged, Grant, Relation};
use runtime::clock;
use time::OffsetDateTime;

/// The relations of a centre that a notification of the case reached.
const HAVE: [Relation; 3] = [Relation::ReceivingCentre, Relation::ResponsibleCentre, Relation::NotifiedCentre];
/// Those of one at work on the case.
const WORK: [Relation; 2] = [Relation::ReceivingCentre, Relation::ResponsibleCentre];

/// The centres that a notification of the case may have reached.
pub(super) fn that_have(case: &CaseChanged) -> Vec<OrganisationId> {
    organisations(case, |grant| lasts(grant) && HAVE.contains(&grant.relation()))
}

/// The centre responsible now. Where several are said to be, the one that the case names.
pub(super) fn responsible(case: &CaseChanged) -> Option<OrganisationId> {
    let held = organisations(case, |grant| lasts(grant) && grant.relation() == Relation::ResponsibleCentre);
    let named = OrganisationId::parse(&case.responsible_centre_id).ok();
    named.filter(|named| held.contains(named)).or(held.first().copied())
}

/// The centres that had the case and work on it no more, each with the moment from which on.
pub(super) fn that_left(case: &CaseChanged) -> Vec<(OrganisationId, OffsetDateTime)> {
    let had = |grant: &Grant| HAVE.contains(&grant.relation()) || grant.relation() == Relation::FormerCentre;
    let mut centres = organisations(case, had);
    centres.sort_unstable();
    centres.dedup();
    centres.into_iter().filter_map(|centre| Some((centre, left(case, centre)?))).collect()
}

/// Since when a centre that had the case works on it no more. `None` where it works on it, and where it never had it.
///
/// A relation that ended and began anew keeps the moment it began first. So what counts is when the last one of them ended.
pub(super) fn left(case: &CaseChanged, centre: OrganisationId) -> Option<OffsetDateTime> {
    let id = centre.to_string();
    let own = || case.grants.iter().filter(|grant| grant.organisation_id == id);
    if own().any(|grant| lasts(grant) && WORK.contains(&grant.relation())) {
        return None;
    }
    let moments = own().filter_map(|grant| match grant.relation() {
        Relation::FormerCentre if lasts(grant) => grant.from_time.as_ref(),
        relation if HAVE.contains(&relation) => grant.until_time.as_ref(),
        _ => None,
    });
    moments.filter_map(clock::from_proto).max()
}

fn lasts(grant: &Grant) -> bool {
    grant.until_time.is_none()
}

fn organisations(case: &CaseChanged, wanted: impl Fn(&Grant) -> bool) -> Vec<OrganisationId> {
    let held = case.grants.iter().filter(|grant| wanted(grant));
    held.filter_map(|grant| OrganisationId::parse(&grant.organisation_id).ok()).collect()
}

#[cfg(test)]
mod tests {
    use access::OrganisationId;
    use proto::registry::{CaseChanged, Grant, Relation};
    use runtime::clock::to_proto;
    use time::{Duration, OffsetDateTime, macros::datetime};

    use super::left;

    const NOW: OffsetDateTime = datetime!(2020-06-01 12:00 UTC);

    #[test]
    fn a_centre_left_when_the_last_of_its_relations_ended_and_not_while_it_works() {
        use Relation::{FormerCentre, IncomingCentre, NotifiedCentre, ReceivingCentre, Reporter, ResponsibleCentre};
        let at = |hours: i64| NOW + Duration::hours(hours);
        for (held, expected, what) in [
            (&[(ResponsibleCentre, 0, None)][..], None, "it works on it"),
            (&[(ResponsibleCentre, 0, Some(2)), (FormerCentre, 2, None)], Some(2), "it handed it over"),
            (&[(ResponsibleCentre, 0, None), (FormerCentre, 2, None)], None, "it came back"),
            (&[(ResponsibleCentre, 0, Some(6)), (FormerCentre, 2, None)], Some(6), "it came back and went again"),
            (&[(ReceivingCentre, 0, Some(3)), (ResponsibleCentre, 0, None)], None, "one of two ended"),
            (&[(NotifiedCentre, 1, Some(4)), (FormerCentre, 4, None)], Some(4), "it read along and forwarded"),
            (&[(NotifiedCentre, 5, None), (FormerCentre, 2, None)], Some(2), "it reads along since"),
            (&[(ResponsibleCentre, 0, Some(2)), (IncomingCentre, 3, None)], Some(2), "it is offered to it again"),
            (&[(NotifiedCentre, 1, None)], None, "it reads along"),
            (&[(Reporter, 1, Some(2))], None, "it only reported"),
            (&[], None, "nothing"),
        ] {
            let centre = OrganisationId::new();
            let grant = |(relation, from, until): &(Relation, i64, Option<i64>)| Grant {
                organisation_id: centre.to_string(),
                relation: (*relation).into(),
                from_time: Some(to_proto(at(*from))),
                until_time: until.map(|until| to_proto(at(until))),
                user_id: String::new(),
            };
            let case = CaseChanged { grants: held.iter().map(grant).collect(), ..CaseChanged::default() };
            assert_eq!(left(&case, centre), expected.map(at), "{what}");
            assert_eq!(left(&case, OrganisationId::new()), None);
        }
    }
}
