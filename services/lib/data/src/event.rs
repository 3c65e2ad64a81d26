//! An event as it stands in its owner's log.

use prost::Message;
use proto::operations::EventRecord;
use runtime::clock;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Failure;

/// An event of an owner's log: ids and coded facts, never a name.
#[derive(Clone, Debug)]
pub struct Event {
    /// The event.
    pub id: Uuid,
    /// Its place in the owner's log, from 1 without gaps.
    pub seq: i64,
    /// When the log recorded it.
    pub recorded_at: OffsetDateTime,
    /// Its type, such as `case.changed`.
    pub r#type: String,
    /// The protobuf message of that type.
    pub payload: Vec<u8>,
    /// The trace it belongs to.
    pub traceparent: String,
}

impl Event {
    /// Reads the payload.
    ///
    /// # Errors
    /// [`Failure::Dead`] where it is no message of that type: no retry will mend it.
    pub fn decode<M: Message + Default>(&self) -> Result<M, Failure> {
        M::decode(self.payload.as_slice()).map_err(|_| Failure::Dead(format!("payload is no {}", self.r#type)))
    }

    /// The hash that goes into the digest of a day.
    pub fn hash(&self) -> i64 {
        hash(self.id)
    }
}

/// What an event id contributes to the digest of a day: its random half.
pub(crate) fn hash(id: Uuid) -> i64 {
    id.as_u64_pair().1.cast_signed()
}

impl From<Event> for EventRecord {
    fn from(event: Event) -> Self {
        Self {
            event_id: event.id.to_string(),
            seq: event.seq,
            recorded_at: Some(clock::to_proto(event.recorded_at)),
            r#type: event.r#type,
            payload: event.payload,
            traceparent: event.traceparent,
        }
    }
}

impl TryFrom<EventRecord> for Event {
    type Error = Failure;

    fn try_from(record: EventRecord) -> Result<Self, Failure> {
        let malformed = || Failure::Retry("the owner sent a malformed event".to_owned());
        Ok(Self {
            id: Uuid::try_parse(&record.event_id).map_err(|_| malformed())?,
            seq: record.seq,
            recorded_at: record.recorded_at.as_ref().and_then(clock::from_proto).ok_or_else(malformed)?,
            r#type: record.r#type,
            payload: record.payload,
            traceparent: record.traceparent,
        })
    }
}
