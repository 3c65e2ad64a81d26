//! The receipt: proof that a form with this content was filed at this moment and reached this centre.

use access::directory::Entry;
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chassis::Error;
use proto::notification::Receipt;
use runtime::clock;
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use vault::Signer;

use crate::domain::NotificationId;

/// What the signature covers.
#[derive(Serialize)]
struct Claims<'a> {
    /// The notification.
    sub: String,
    /// 受付番号.
    number: &'a str,
    /// The receiving centre.
    centre: String,
    /// When it was filed.
    received_at: String,
    /// The salted content hash.
    content_hash: String,
}

/// Salt and salted hash of a stored form. Without the salt nobody can try forms against the hash.
pub(crate) struct Content {
    pub salt: [u8; 16],
    pub hash: Vec<u8>,
}

impl Content {
    pub(crate) fn of(form: &[u8]) -> Result<Self, Error> {
        let mut salt = [0; 16];
        draw(&mut salt)?;
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&salt);
        context.update(form);
        Ok(Self { salt, hash: context.finish().as_ref().to_vec() })
    }
}

/// A number to quote on the telephone: prefecture, day, eight characters drawn at random (no I, L, O, U).
pub(crate) fn number(prefecture: u8, at: OffsetDateTime) -> Result<String, Error> {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut random = [0; 8];
    draw(&mut random)?;
    let tail: String =
        random.iter().filter_map(|byte| ALPHABET.get(usize::from(byte % 32))).map(|b| char::from(*b)).collect();
    let day = clock::day_in_japan(at);
    Ok(format!("{prefecture:02}-{:02}{:02}{:02}-{tail}", day.year() % 100, u8::from(day.month()), day.day()))
}

/// Writes and signs a receipt.
pub(crate) fn write(
    signer: &Signer,
    id: NotificationId,
    number: &str,
    centre: &Entry,
    at: OffsetDateTime,
    content: &Content,
    missing: &[String],
) -> Result<Receipt, Error> {
    let content_hash = URL_SAFE_NO_PAD.encode(&content.hash);
    let claims = Claims {
        sub: id.to_string(),
        number,
        centre: centre.id.to_string(),
        received_at: at.format(&Rfc3339).map_err(|error| Error::Internal(error.into()))?,
        content_hash: content_hash.clone(),
    };
    Ok(Receipt {
        notification_id: id.to_string(),
        number: number.to_owned(),
        receiving_centre_id: centre.id.to_string(),
        receiving_centre_name: centre.name.clone(),
        received_at: Some(clock::to_proto(at)),
        salt: URL_SAFE_NO_PAD.encode(content.salt),
        content_hash,
        signature: signer.sign("receipt+jwt", &claims)?,
        missing_items: missing.to_vec(),
    })
}

fn draw(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(|error| Error::Internal(anyhow::anyhow!("draw random bytes: {error}")))
}
