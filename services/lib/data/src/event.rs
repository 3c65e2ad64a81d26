//! An event as it stands in its owner's log.

use prost::{Message, Name};
use proto::operations::EventRecord;
use runtime::clock;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Failure;

/// An event of an owner's log: ids and coded facts, never a name.
#[derive(Clone, Debug)]
pub struct Event {
    /// Identifies the event in every service that handles it.
    pub id: Uuid,
    /// Its place in the owner's log, from 1 without gaps.
    pub seq: i64,
    /// When its owner's relay stamped it.
    pub recorded_at: OffsetDateTime,
    /// Its type, such as `case.changed`.
    pub r#type: String,
    /// The protobuf message of that type, encoded.
    pub payload: Vec<u8>,
    /// The trace it continues, as a W3C `traceparent`.
    pub traceparent: String,
}

impl Event {
    /// Whether its payload is of this message type.
    pub fn is<M: Name>(&self) -> bool {
        proto::event(&M::full_name()) == Some(self.r#type.as_str())
    }

    /// Reads the payload; `None` if the event is of another type.
    ///
    /// # Errors
    /// [`Failure::Dead`] when the payload does not decode: no retry will help.
    pub fn read<M: Message + Name + Default>(&self) -> Result<Option<M>, Failure> {
        if !self.is::<M>() {
            return Ok(None);
        }
        let dead = |_| Failure::Dead(format!("payload is not a {} message", self.r#type));
        M::decode(self.payload.as_slice()).map(Some).map_err(dead)
    }

    /// Reads the events of this type, in order, and skips the others.
    ///
    /// # Errors
    /// [`Failure::Dead`] when a payload does not decode.
    pub fn read_all<M: Message + Name + Default>(events: &[Self]) -> Result<Vec<M>, Failure> {
        events.iter().filter_map(|event| event.read().transpose()).collect()
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
            record_time: Some(clock::to_proto(event.recorded_at)),
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
            recorded_at: record.record_time.as_ref().and_then(clock::from_proto).ok_or_else(malformed)?,
            r#type: record.r#type,
            payload: record.payload,
            traceparent: record.traceparent,
        })
    }
}
