//! Who records, with which authority.

use access::{Caller, OrganisationId, Relations, UserId};
use chassis::{Error, behalf};
use proto::registry::{Authority, Channel, Relation};
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::model::{Content, Fact, FactId, Source};
use crate::case::{self, Case};

/// Who records something about a case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recorder {
    pub organisation: Option<OrganisationId>,
    pub user: Option<UserId>,
    pub on_behalf_of: Option<OrganisationId>,
    pub channel: Channel,
    pub told_at: Option<OffsetDateTime>,
    pub authority: Authority,
    pub at: OffsetDateTime,
}

impl Recorder {
    /// The caller, about a case it has these relations to.
    pub(crate) fn of(caller: &Caller, case: &Case, relations: &Relations, at: OffsetDateTime) -> Self {
        Self {
            organisation: Some(caller.organisation_id),
            user: Some(caller.user_id),
            on_behalf_of: None,
            channel: Channel::Unspecified,
            told_at: None,
            authority: authority(case.responsible_centre == Some(caller.organisation_id), relations),
            at,
        }
    }

    /// What was told, by whom and how. The word of an institution counts as its own, whoever types it in.
    pub(crate) async fn told(self, conn: &mut PgConnection, case: &Case, told: behalf::Told) -> Result<Self, Error> {
        let recorder = Self { channel: told.channel, told_at: told.at, ..self };
        let Some(institution) = told.by else { return Ok(recorder) };
        let held = case::grants_of(conn, &[case.id]).await?;
        let relations: Vec<Relation> = held
            .iter()
            .filter(|grant| grant.organisation_id == institution && grant.until.is_none())
            .map(|grant| grant.relation)
            .collect();
        Ok(Self { on_behalf_of: Some(institution), authority: authority(false, &relations), ..recorder })
    }

    /// A first record about a thing.
    pub(crate) fn fact(&self, case: &Case, content: Content) -> Fact {
        let id = FactId::at(self.at);
        self.about(case, id, id, Some(content), Source::Record)
    }

    /// One more record about the same thing as another.
    pub(crate) fn instead(&self, case: &Case, of: &Fact, content: Option<Content>) -> Fact {
        self.about(case, FactId::at(self.at), of.subject, content, of.source)
    }

    pub(crate) fn about(
        &self,
        case: &Case,
        id: FactId,
        subject: FactId,
        content: Option<Content>,
        source: Source,
    ) -> Fact {
        Fact {
            id,
            case_id: case.id,
            subject,
            content,
            authority: self.authority,
            recorded_at: self.at,
            organisation: self.organisation,
            user: self.user,
            on_behalf_of: self.on_behalf_of,
            channel: self.channel,
            told_at: self.told_at,
            source,
            reason: None,
        }
    }
}

/// What the word of an organisation in these relations weighs.
pub(crate) fn authority(is_responsible: bool, relations: &[Relation]) -> Authority {
    if is_responsible {
        Authority::ResponsibleCentre
    } else if relations.iter().any(|held| {
        matches!(held, Relation::TreatingInstitution | Relation::AttendingInstitution | Relation::LodgingFacility)
    }) {
        Authority::TreatingInstitution
    } else {
        Authority::Reporter
    }
}
