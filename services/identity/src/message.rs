//! Messages to people: kept as ciphertext until a provider takes them. No name and no disease in any of them: a mistyped
//! number must reveal nothing.

mod courier;
mod keep;
mod list;
mod model;
mod store;

pub(crate) use courier::start_courier;
pub(crate) use keep::{initial_secret, one_time_code};
pub(crate) use list::list;
pub(crate) use model::is_mail;

use chassis::Error;
use prost::Message as _;
use proto::identity::Message;
use vault::{Place, Vault};

use model::MessageId;

/// Where messages lie.
pub(crate) const MESSAGE: Place = Place { table: "message", column: "sealed" };

fn opened(vault: &Vault, id: MessageId, sealed: &[u8]) -> Result<Message, Error> {
    let plain = vault.open(MESSAGE, id.uuid().as_bytes(), sealed)?;
    Message::decode(plain.as_slice()).map_err(|error| Error::Internal(error.into()))
}
