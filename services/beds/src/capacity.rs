//! What facilities declare, and where there is room.

mod model;
mod rank;
mod report;
mod store;

pub(crate) use model::has;
pub(crate) use rank::rank;
pub(crate) use report::report;

use access::Directory;
use proto::beds::Capacity;
use runtime::clock::to_proto;

use model::Room;

/// A facility's capacity as the API shows it.
fn shown(directory: &Directory, room: &Room) -> Capacity {
    let small = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
    Capacity {
        facility_id: room.facility_id.to_string(),
        facility_name: directory.get(room.facility_id).map(|entry| entry.name.clone()).unwrap_or_default(),
        capability: room.capability.into(),
        secured: room.secured,
        ready: room.ready,
        occupied: small(room.occupied),
        held: small(room.held),
        free: small(room.free()),
        report_time: Some(to_proto(room.reported_at)),
        etag: room.version.to_string(),
        entered_by_id: room.entered_by.to_string(),
        channel: room.channel.into(),
        entry_time: Some(to_proto(room.entered_at)),
    }
}
