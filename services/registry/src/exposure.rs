//! Close contacts (濃厚接触者): to whom they were exposed, and when. Exposures are facts of the contact; the lists of index cases follow.

mod list_contacts;
mod record;
mod store;

pub(crate) use list_contacts::list_contacts;
pub(crate) use record::{index_case, record};
pub(crate) use store::list as listed;
