//! The receipt: proof that a form with this content was filed at this moment and reached this centre.

use access::Caller;
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chassis::Error;
use proto::{
    identity::Role,
    notification::{Receipt, SignInStrength},
};
use runtime::clock::{day_in_japan, to_proto};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use vault::Signer;

use super::{centre::Centre, model::NotificationId};

/// The `typ` of a receipt's signature: no token passes for a receipt, and no receipt for a token.
const TYPE: &str = "receipt+jwt";

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
    content_hash: &'a str,
    /// Which version of the form has that content.
    version: i32,
    /// How whoever entered it had signed in.
    sign_in: &'static str,
    /// When that was last proved.
    authenticated_at: String,
}

/// Salt and salted hash of a stored form. Without the salt nobody can try forms against the hash.
pub(super) struct Content {
    pub salt: [u8; 16],
    pub hash: Vec<u8>,
}

impl Content {
    pub(super) fn of(form: &[u8]) -> Result<Self, Error> {
        let mut salt = [0; 16];
        draw(&mut salt)?;
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&salt);
        context.update(form);
        Ok(Self { salt, hash: context.finish().as_ref().to_vec() })
    }
}

/// What was filed, when, and where it went.
pub(super) struct Filed<'a> {
    pub id: NotificationId,
    pub centre: &'a Centre,
    pub at: OffsetDateTime,
    pub content: &'a Content,
    pub missing: &'a [String],
    /// Of the form, from 1.
    pub version: i32,
    /// The number it has already, where it was filed before.
    pub number: Option<String>,
    /// Who enters it.
    pub caller: &'a Caller,
}

/// How a caller signed in. People at work and other systems have one way each, and their tokens say which they are.
fn strength(caller: &Caller) -> (SignInStrength, &'static str) {
    match caller.role {
        Role::System => (SignInStrength::SystemKey, "system_key"),
        _ => (SignInStrength::TwoFactors, "two_factors"),
    }
}

/// Gives a filing its number, and signs.
pub(super) fn write(signer: &Signer, filed: &Filed<'_>) -> Result<Receipt, Error> {
    let Filed { id, centre, at, content, missing, version, number, caller } = filed;
    let (sign_in, told) = strength(caller);
    let number = number.clone().map_or_else(|| draw_number(centre.prefecture, *at), Ok)?;
    let content_hash = URL_SAFE_NO_PAD.encode(&content.hash);
    let claims = Claims {
        sub: id.to_string(),
        number: &number,
        centre: centre.id.to_string(),
        received_at: moment(*at)?,
        content_hash: &content_hash,
        version: *version,
        sign_in: told,
        authenticated_at: moment(caller.authenticated_at)?,
    };
    let signature = signer.sign(TYPE, &claims)?;

    Ok(Receipt {
        notification_id: id.to_string(),
        number,
        receiving_centre_id: centre.id.to_string(),
        receiving_centre_name: centre.name.clone(),
        receive_time: Some(to_proto(*at)),
        salt: URL_SAFE_NO_PAD.encode(content.salt),
        content_hash,
        signature,
        missing_items: missing.to_vec(),
        version: *version,
        sign_in: sign_in.into(),
        authenticate_time: Some(to_proto(caller.authenticated_at)),
    })
}

fn moment(at: OffsetDateTime) -> Result<String, Error> {
    at.format(&Rfc3339).map_err(|error| Error::Internal(error.into()))
}

/// A number to quote on the telephone: prefecture, day, eight characters drawn at random (no I, L, O, U).
fn draw_number(prefecture: u8, at: OffsetDateTime) -> Result<String, Error> {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut random = [0; 8];
    draw(&mut random)?;
    let letters = random.iter().filter_map(|byte| ALPHABET.get(usize::from(byte % 32)));
    let tail: String = letters.map(|letter| char::from(*letter)).collect();
    let day = day_in_japan(at);
    Ok(format!("{prefecture:02}-{:02}{:02}{:02}-{tail}", day.year() % 100, u8::from(day.month()), day.day()))
}

fn draw(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(|error| Error::Internal(anyhow::anyhow!("draw random bytes: {error}")))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::{Content, draw_number as number};

    #[test]
    fn a_number_names_the_prefecture_and_the_day_in_japan() {
        let evening = number(1, datetime!(2020-06-01 14:59 UTC)).unwrap();
        let midnight = number(27, datetime!(2020-06-01 15:00 UTC)).unwrap();
        assert!(evening.starts_with("01-200601-") && midnight.starts_with("27-200602-"));
        assert_eq!(evening.len(), 18);
        assert!(!evening[10..].contains(['I', 'L', 'O', 'U']));
    }

    #[test]
    fn the_same_form_has_another_hash_each_time() {
        let (one, other) = (Content::of(b"form").unwrap(), Content::of(b"form").unwrap());
        assert!(one.salt != other.salt && one.hash != other.hash);
        assert_eq!(one.hash.len(), 32);
    }
}
