//! Hears notification. Forms come by claim check, before the transaction.

use std::collections::HashMap;

use async_trait::async_trait;
use chassis::Base;
use data::{Event, Failure, Projection};
use proto::notification::{
    BatchGetFormsRequest, FiledForm, NotificationAcknowledged, NotificationAmended, NotificationFiled,
    NotificationForwarded, NotificationWithdrawn,
    notification_internal_service_client::NotificationInternalServiceClient,
};
use runtime::mesh::Channel;
use sqlx::PgConnection;

use crate::duplicate;

use super::{
    on_notification_acknowledged, on_notification_amended, on_notification_filed, on_notification_forwarded,
    on_notification_withdrawn,
};

/// Forms weigh more than the 4 MiB that tonic takes by itself, many at a time.
const LARGEST: usize = 16 << 20;

/// Hears notification.
pub(crate) struct Hears {
    base: Base,
    notification: NotificationInternalServiceClient<Channel>,
}

impl Hears {
    pub(crate) fn new(base: &Base) -> anyhow::Result<Self> {
        let client = NotificationInternalServiceClient::new(base.channel("notification")?);
        Ok(Self { base: base.clone(), notification: client.max_decoding_message_size(LARGEST) })
    }
}

#[async_trait]
impl Projection for Hears {
    /// The forms, by notification.
    type Fetched = HashMap<String, FiledForm>;

    fn source(&self) -> &'static str {
        "notification"
    }

    async fn fetch(&self, events: &[Event]) -> Result<Self::Fetched, Failure> {
        let filed: Vec<NotificationFiled> = Event::read_all(events)?;
        let amended: Vec<NotificationAmended> = Event::read_all(events)?;
        let filed = filed.into_iter().map(|filed| filed.notification_id);
        let notification_ids: Vec<String> =
            filed.chain(amended.into_iter().map(|amended| amended.notification_id)).collect();
        if notification_ids.is_empty() {
            return Ok(HashMap::new());
        }
        let answer = self.notification.clone().batch_get_forms(BatchGetFormsRequest { notification_ids }).await?;
        let forms = answer.into_inner().forms;
        Ok(forms.into_iter().map(|filed| (filed.notification_id.clone(), filed)).collect())
    }

    async fn apply(&self, tx: &mut PgConnection, events: &[Event], forms: &Self::Fetched) -> Result<(), Failure> {
        // Persons before cases, and all of them at once, as everybody who opens a case does: nobody waits in a circle.
        let mut read = Vec::new();
        for event in events {
            if let Some(filed) = event.read::<NotificationFiled>()? {
                read.push(on_notification_filed::read(&self.base, &filed, &event.traceparent, forms)?);
            }
        }
        let persons: Vec<Vec<u8>> = read.iter().filter_map(|filing| filing.index.clone()).collect();
        duplicate::lock_persons(tx, &persons).await?;

        let (mut filings, mut read) = (Vec::new(), read.into_iter());
        for event in events {
            if let Some(filed) = event.read::<NotificationFiled>()? {
                filings.extend(read.next());
                let notification_id = filed.notification_id;
                if forms.get(&notification_id).is_some_and(|held| held.withdraw_time.is_some()) {
                    // Taken late: it was withdrawn since, and that may have been heard before there was a case.
                    on_notification_filed::take(&self.base, tx, &std::mem::take(&mut filings)).await?;
                    let withdrawn = NotificationWithdrawn { notification_id, ..NotificationWithdrawn::default() };
                    on_notification_withdrawn::take(&self.base, tx, &withdrawn).await?;
                }
            } else if let Some(forwarded) = event.read::<NotificationForwarded>()? {
                // In the order of the log: what was filed before must be there.
                on_notification_filed::take(&self.base, tx, &std::mem::take(&mut filings)).await?;
                on_notification_forwarded::take(&self.base, tx, &forwarded).await?;
            } else if let Some(amended) = event.read::<NotificationAmended>()? {
                on_notification_filed::take(&self.base, tx, &std::mem::take(&mut filings)).await?;
                on_notification_amended::take(&self.base, tx, &amended, forms).await?;
            } else if let Some(acknowledged) = event.read::<NotificationAcknowledged>()? {
                on_notification_filed::take(&self.base, tx, &std::mem::take(&mut filings)).await?;
                on_notification_acknowledged::take(&self.base, tx, &acknowledged).await?;
            } else if let Some(withdrawn) = event.read::<NotificationWithdrawn>()? {
                on_notification_filed::take(&self.base, tx, &std::mem::take(&mut filings)).await?;
                on_notification_withdrawn::take(&self.base, tx, &withdrawn).await?;
            }
        }
        on_notification_filed::take(&self.base, tx, &filings).await
    }

    /// Persons and cases are the registry's own record: nothing is thrown away.
    async fn reset(&self, _: &mut PgConnection) -> sqlx::Result<bool> {
        Ok(false)
    }
}
