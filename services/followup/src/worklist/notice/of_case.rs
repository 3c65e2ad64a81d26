//! What a version of a case calls for, by its complete set of grants: one pure function, so that no order of hearing matters.

use access::{CaseId, OrganisationId};
use proto::{
    followup::TaskKind,
    registry::{CaseChanged, Grant, Outcome, Relation},
};
use runtime::clock;
use time::OffsetDateTime;

use crate::worklist::model::{Wanted, source};

/// A grant, read.
#[derive(Clone, Copy)]
struct Held {
    organisation: OrganisationId,
    relation: Relation,
    /// `None` where the event does not tell.
    from: Option<OffsetDateTime>,
    until: Option<OffsetDateTime>,
}

impl Held {
    /// `None` for a relation of one user, and for what cannot be read.
    fn of(grant: &Grant) -> Option<Self> {
        Some(Self {
            organisation: OrganisationId::parse(&grant.organisation_id).ok().filter(|_| grant.user_id.is_empty())?,
            relation: data::code(grant.relation),
            from: grant.from_time.as_ref().and_then(clock::from_proto).map(to_micros),
            until: grant.until_time.as_ref().and_then(clock::from_proto).map(to_micros),
        })
    }

    fn lasts(&self) -> bool {
        self.until.is_none()
    }

    /// Whether it begins at that very moment: by the same version of the case.
    fn begins(&self, at: Option<OffsetDateTime>) -> bool {
        self.from.is_some() && self.from == at
    }
}

/// As PostgreSQL keeps a moment: what is compared with a kept one has its grain.
fn to_micros(moment: OffsetDateTime) -> OffsetDateTime {
    moment.replace_microsecond(moment.microsecond()).unwrap_or(moment)
}

/// The notices that a version of a case calls for.
pub(crate) fn of_case(id: CaseId, case: &CaseChanged) -> Vec<Wanted> {
    let grants: Vec<Held> = case.grants.iter().filter_map(Held::of).collect();
    // Who is offered a case answers, whatever became of the person. The rest has no work in it any more when the episode is over.
    let goes_on = case.outcome == i32::from(Outcome::Unspecified);
    let wanted = |held: &Held| {
        let kind = kind(held, &grants, case).filter(|kind| goes_on || *kind == TaskKind::TransferOffered)?;
        Some(Wanted {
            subject: id.uuid(),
            case_id: Some(id),
            notification_id: None,
            desk: held.organisation,
            relation: held.relation,
            kind,
            since: held.from.unwrap_or(OffsetDateTime::UNIX_EPOCH),
            due: None,
            source: source::<CaseChanged>(),
            items: Vec::new(),
        })
    };
    let mut found: Vec<Wanted> = grants.iter().filter(|held| held.lasts()).filter_map(wanted).collect();
    // A facility that is lodging and treats is told once.
    found.sort_by_key(|task| (task.desk, task.kind, task.since, task.relation));
    found.dedup_by_key(|task| (task.desk, task.kind, task.since));
    found
}

/// What a relation in force tells its holder.
fn kind(held: &Held, grants: &[Held], case: &CaseChanged) -> Option<TaskKind> {
    match held.relation {
        Relation::IncomingCentre => Some(TaskKind::TransferOffered),
        Relation::ResponsibleCentre if was_not_asked(held, grants) => Some(TaskKind::CaseHandedOver),
        Relation::TreatingInstitution | Relation::AttendingInstitution | Relation::LodgingFacility
            if !placed_by_itself(held, grants) =>
        {
            Some(TaskKind::PatientPlaced)
        }
        Relation::Reporter if case.referred_to_id == held.organisation.to_string() => Some(TaskKind::Referred),
        _ => None,
    }
}

/// Whether a centre became responsible by no doing of its own: at the moment another one ceased to be, without having been offered the
/// case, and without a notification in its inbox that tells of it.
fn was_not_asked(held: &Held, grants: &[Held]) -> bool {
    let own = |relation| {
        grants.iter().filter(move |grant| grant.organisation == held.organisation && grant.relation == relation)
    };
    let replaces = grants.iter().any(|grant| {
        grant.organisation != held.organisation
            && grant.relation == Relation::ResponsibleCentre
            && held.begins(grant.until)
    });
    let accepted = own(Relation::IncomingCentre).any(|grant| held.begins(grant.until));
    let forwarded = own(Relation::ReceivingCentre).any(|grant| held.begins(grant.from));
    replaces && !accepted && !forwarded
}

/// Whether a facility has the person by its own report: both relations began at one moment.
fn placed_by_itself(held: &Held, grants: &[Held]) -> bool {
    grants.iter().any(|grant| {
        grant.organisation == held.organisation && grant.relation == Relation::Reporter && held.begins(grant.from)
    })
}

#[cfg(test)]
mod tests {
    use access::{CaseId, OrganisationId};
    use proptest::{collection::vec, prelude::*};
    use proto::{
        followup::TaskKind as Kind,
        registry::{CaseChanged, Grant, Outcome, Relation as R},
    };
    use runtime::clock::to_proto;
    use time::{Duration, OffsetDateTime, macros::datetime};
    use uuid::Uuid;

    use super::of_case;

    fn body(number: u8) -> OrganisationId {
        Uuid::from_u128(u128::from(number) + 1).into()
    }

    fn hour(hours: u8) -> OffsetDateTime {
        datetime!(2020-06-01 00:00 UTC) + Duration::hours(hours.into())
    }

    fn grant((organisation, relation, from, until): (u8, R, u8, Option<u8>)) -> Grant {
        Grant {
            organisation_id: body(organisation).to_string(),
            relation: relation.into(),
            from_time: Some(to_proto(hour(from))),
            until_time: until.map(|until| to_proto(hour(until))),
            user_id: String::new(),
        }
    }

    fn case(grants: &[(u8, R, u8, Option<u8>)]) -> CaseChanged {
        CaseChanged { grants: grants.iter().copied().map(grant).collect(), ..CaseChanged::default() }
    }

    fn told(case: &CaseChanged) -> Vec<(OrganisationId, Kind, OffsetDateTime)> {
        let id = CaseId::from(Uuid::from_u128(99));
        of_case(id, case).into_iter().map(|task| (task.desk, task.kind, task.since)).collect()
    }

    #[test]
    fn each_relation_tells_its_holder_what_it_brings() {
        let centre = (0, R::ResponsibleCentre, 0, None);
        for (what, grants, expected) in [
            ("a case of its own", vec![centre], vec![]),
            ("offered", vec![centre, (1, R::IncomingCentre, 2, None)], vec![(1, Kind::TransferOffered, 2)]),
            ("declined", vec![centre, (1, R::IncomingCentre, 2, Some(3))], vec![]),
            (
                "accepted",
                vec![
                    (0, R::ResponsibleCentre, 0, Some(3)),
                    (0, R::FormerCentre, 3, None),
                    (1, R::IncomingCentre, 2, Some(3)),
                    (1, R::ResponsibleCentre, 3, None),
                ],
                vec![],
            ),
            (
                "taken over from a centre that closed",
                vec![(0, R::ResponsibleCentre, 0, Some(3)), (1, R::ResponsibleCentre, 3, None)],
                vec![(1, Kind::CaseHandedOver, 3)],
            ),
            (
                "forwarded with its notification",
                vec![
                    (0, R::ResponsibleCentre, 0, Some(3)),
                    (1, R::ReceivingCentre, 3, None),
                    (1, R::ResponsibleCentre, 3, None),
                ],
                vec![],
            ),
            ("in hospital", vec![centre, (2, R::TreatingInstitution, 4, None)], vec![(2, Kind::PatientPlaced, 4)]),
            ("in lodging", vec![centre, (2, R::LodgingFacility, 4, None)], vec![(2, Kind::PatientPlaced, 4)]),
            (
                "looked after by its own physician",
                vec![centre, (2, R::AttendingInstitution, 4, None)],
                vec![(2, Kind::PatientPlaced, 4)],
            ),
            ("named no more", vec![centre, (2, R::AttendingInstitution, 4, Some(5))], vec![]),
            ("the stay is over", vec![centre, (2, R::LodgingFacility, 4, Some(5))], vec![]),
            (
                "filed by the hospital that treats",
                vec![centre, (2, R::Reporter, 4, None), (2, R::TreatingInstitution, 4, None)],
                vec![],
            ),
            (
                "in hospital, and named by the centre in the same breath",
                vec![centre, (2, R::TreatingInstitution, 4, None), (2, R::AttendingInstitution, 4, None)],
                vec![(2, Kind::PatientPlaced, 4)],
            ),
            ("read by its prefecture", vec![centre, (3, R::Prefecture, 1, None)], vec![]),
        ] {
            let expected: Vec<_> =
                expected.into_iter().map(|(desk, kind, since)| (body(desk), kind, hour(since))).collect();
            assert_eq!(told(&case(&grants)), expected, "{what}");
        }
    }

    #[test]
    fn a_referral_is_told_to_whom_the_person_was_referred_last() {
        let mut referred = case(&[(4, R::Reporter, 1, None), (5, R::Reporter, 2, None)]);
        assert!(told(&referred).is_empty(), "they reported");
        referred.referred_to_id = body(5).to_string();
        assert_eq!(told(&referred), [(body(5), Kind::Referred, hour(2))]);
        referred.referred_to_id = body(4).to_string();
        assert_eq!(told(&referred), [(body(4), Kind::Referred, hour(1))]);
    }

    #[test]
    fn the_end_of_the_episode_leaves_an_offer_only() {
        let mut over = case(&[
            (0, R::ResponsibleCentre, 0, None),
            (1, R::IncomingCentre, 2, None),
            (2, R::TreatingInstitution, 4, None),
        ]);
        over.outcome = Outcome::Released.into();
        assert_eq!(told(&over), [(body(1), Kind::TransferOffered, hour(2))]);
    }

    #[test]
    fn what_one_user_opened_in_an_emergency_tells_nobody() {
        let mut opened = case(&[(2, R::TreatingInstitution, 4, None)]);
        opened.grants[0].user_id = Uuid::nil().to_string();
        assert!(told(&opened).is_empty());
    }

    fn grants() -> impl Strategy<Value = Vec<(u8, R, u8, Option<u8>)>> {
        let relation = (1_i32..=16).prop_map(|number| R::try_from(number).unwrap_or_default());
        vec((0_u8..3, relation, 0_u8..4, proptest::option::of(0_u8..6)), 0..8)
    }

    proptest! {
        #[test]
        fn no_order_of_grants_matters_and_nobody_is_told_twice(grants in grants(), turn in 0_usize..8) {
            let mut turned = grants.clone();
            turned.rotate_left(turn % grants.len().max(1));
            turned.reverse();
            let one = told(&case(&grants));
            prop_assert_eq!(&one, &told(&case(&turned)));
            let mut keys = one.clone();
            keys.dedup();
            prop_assert_eq!(&one, &keys, "sorted, and each once");
            for (desk, _, since) in one {
                let begun = |(organisation, _, from, until): &(u8, R, u8, Option<u8>)| {
                    body(*organisation) == desk && hour(*from) == since && until.is_none()
                };
                prop_assert!(grants.iter().any(begun), "a notice without a relation in force");
            }
        }
    }
}
