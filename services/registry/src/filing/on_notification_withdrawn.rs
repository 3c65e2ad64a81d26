//! On `notification.withdrawn`: what came from it counts no more, from now on. What others recorded stays.

use chassis::Base;
use data::{Failure, outbox};
use proto::{
    notification::NotificationWithdrawn,
    registry::{FilingDoubt, Relation},
};
use sqlx::PgConnection;

use super::{model::NotificationId, store, version::Version, work::to_check};
use crate::{case, fact};

pub(super) async fn take(base: &Base, tx: &mut PgConnection, event: &NotificationWithdrawn) -> Result<(), Failure> {
    let no_case = || Failure::Dead("belongs to no case".to_owned());
    let notification = NotificationId::parse(&event.notification_id)
        .map_err(|_| Failure::Dead("carries a malformed id".to_owned()))?;
    let id = store::case_of(tx, notification).await?.ok_or_else(no_case)?;
    let mut case = case::lock_all(tx, &[id]).await?.pop().ok_or_else(no_case)?;
    let before = fact::of_cases(tx, &[id]).await?;

    let now = base.clock.now();
    case.step(now);
    let added = Version::again(notification, &before, now).map(|version| version.withdraw(&case, &before));
    let added = added.unwrap_or_default();
    if added.facts.is_empty() {
        // It says nothing any more: this was heard before.
        return Ok(());
    }
    let after = [before.clone(), added.facts.clone()].concat();
    case.derive(&after);
    fact::insert(tx, &added.facts).await?;
    if added.differs {
        let doubt = to_check(id, notification, FilingDoubt::DiffersFromCorrection, now);
        outbox::add_all(tx, &[doubt]).await?;
    }
    let held = case::grants_of(tx, &[id]).await?;
    let mut grants = case::moved(&case, &before, &after);
    grants.extend(case::prefectures(&case, &held, &base.directory));
    case::save_one(tx, &case, &grants).await?;
    Ok(case::audit_heard::<NotificationWithdrawn>(tx, "notification", Relation::ReceivingCentre, &[id]).await?)
}
