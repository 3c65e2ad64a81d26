//! Receipts as evidence: proved without asking anybody.

use std::{fs, path::PathBuf};

use ::audit::seal::{self, Checkpoint};
use anyhow::{Context as _, bail};
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Subcommand;
use jsonwebtoken::{Algorithm, Validation};
use prost::Message as _;
use proto::{
    notification::{Form, GetReceiptKeysRequest, GetReceiptPlaceRequest, Receipt, ReceiptPlace},
    operations::AuditCheckpoint,
};
use serde::Deserialize;
use uuid::Uuid;

use crate::{
    audit,
    console::{from_json, print_json, say},
    failure::Unproved,
    target::Target,
};

/// Whose trail it is, and whose keys sign receipts and checkpoints.
const TRAIL: &str = "notification";
const PLACE: &str = "hersys.notification.v1.ReceiptPlace";

#[derive(Subcommand)]
pub(crate) enum Receipts {
    /// Prove that a receipt is genuine: its signature, and with `--form` that it is about this form. Works offline with `--keys`.
    Verify {
        /// The receipt, as JSON.
        receipt: PathBuf,
        /// The form, as JSON as `GetNotification` shows it.
        #[arg(long)]
        form: Option<PathBuf>,
        /// The place in the sealed audit trail (`hersysctl receipts place`), as JSON.
        #[arg(long)]
        place: Option<PathBuf>,
        /// The keys as a file (`hersysctl receipts keys`); without it the gateway is asked for them.
        #[arg(long)]
        keys: Option<PathBuf>,
    },
    /// Print where a filing stands in the sealed audit trail, to be kept with its receipt.
    Place {
        notification: Uuid,
        /// The version of the form, from 1; without it the present one.
        #[arg(long, default_value_t = 0)]
        version: i32,
    },
    /// Print the keys that prove receipts, to be kept for later.
    Keys,
}

/// What a signature covers.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    number: String,
    centre: String,
    received_at: String,
    content_hash: String,
    version: i32,
    /// Receipts from before this was told say nothing of it.
    #[serde(default)]
    sign_in: String,
    #[serde(default)]
    authenticated_at: String,
}

pub(crate) async fn run(target: &Target, command: Receipts) -> anyhow::Result<()> {
    match command {
        Receipts::Keys => say(format_args!("{}", ask(target).await?)),
        Receipts::Place { notification, version } => {
            let client = target.signed_in().await?;
            let request = GetReceiptPlaceRequest { notification_id: notification.to_string(), version };
            let place = client.filing().get_receipt_place(client.request(request)).await?.into_inner();
            print_json(&place, PLACE)
        }
        Receipts::Verify { receipt, form, place, keys } => {
            let read = |file: &PathBuf| fs::read_to_string(file).with_context(|| format!("read {}", file.display()));
            let receipt: Receipt = from_json(&read(&receipt)?, "hersys.notification.v1.Receipt")?;
            let form: Option<Form> =
                form.map(|file| from_json(&read(&file)?, "hersys.notification.v1.Form")).transpose()?;
            let place: Option<ReceiptPlace> = place.map(|file| from_json(&read(&file)?, PLACE)).transpose()?;
            let keys = match &keys {
                Some(file) => read(file)?,
                None => ask(target).await?,
            };
            let unproved = |error: anyhow::Error| Unproved(format!("{error:#}"));
            let proved = verify(&receipt, form.as_ref(), &keys).map_err(unproved)?;
            let placed = place.map(|place| placed(&receipt, &place, &keys)).transpose().map_err(unproved)?;
            say(format_args!("{proved}"))?;
            placed.map_or(Ok(()), |placed| say(format_args!("{placed}")))
        }
    }
}

async fn ask(target: &Target) -> anyhow::Result<String> {
    let client = target.client()?;
    let request = client.request(GetReceiptKeysRequest {});
    Ok(client.filing().get_receipt_keys(request).await?.into_inner().jwks_json)
}

/// SHA-256 over salt and stored form.
fn content_hash(salt: &str, form: &Form) -> anyhow::Result<String> {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&URL_SAFE_NO_PAD.decode(salt).context("the salt cannot be read")?);
    context.update(&form.encode_to_vec());
    Ok(URL_SAFE_NO_PAD.encode(context.finish()))
}

/// What a receipt proves.
///
/// # Errors
/// What does not hold.
fn verify(receipt: &Receipt, form: Option<&Form>, keys: &str) -> anyhow::Result<String> {
    let keys = access::token::keys_of(keys)?;
    let header = jsonwebtoken::decode_header(&receipt.signature).context("the signature cannot be read")?;
    let kid = header.kid.context("the signature names no key")?;
    let key = keys.get(&kid).context("none of these keys made the signature")?;
    if header.typ.as_deref() != Some("receipt+jwt") {
        bail!("the signature is not that of a receipt");
    }
    let mut rules = Validation::new(Algorithm::ES256);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    let claims: Claims =
        jsonwebtoken::decode(&receipt.signature, key, &rules).context("the signature does not hold")?.claims;

    let same = [
        ("notificationId", claims.sub == receipt.notification_id),
        ("number", claims.number == receipt.number),
        ("receivingCentreId", claims.centre == receipt.receiving_centre_id),
        ("contentHash", claims.content_hash == receipt.content_hash),
        ("version", claims.version == receipt.version),
    ];
    if let Some((field, _)) = same.iter().find(|(_, holds)| !holds) {
        bail!("{field} is another one than was signed");
    }
    let about = match form {
        None => "",
        Some(form) if content_hash(&receipt.salt, form)? == receipt.content_hash => ", about this form",
        Some(_) => bail!("the form is another one than was filed"),
    };
    let signed_in = match claims.sign_in.as_str() {
        "" => String::new(),
        "two_factors" => format!(", by a person signed in with two factors at {}", claims.authenticated_at),
        "system_key" => format!(", by a system that proved its key at {}", claims.authenticated_at),
        other => format!(", signed in by {other} at {}", claims.authenticated_at),
    };
    Ok(format!(
        "{} version {}, filed {}, received by {}{signed_in}: genuine{about}",
        claims.number, claims.version, claims.received_at, claims.centre
    ))
}

/// What the place of a filing in the audit trail proves.
///
/// # Errors
/// What does not hold.
fn placed(receipt: &Receipt, place: &ReceiptPlace, keys: &str) -> anyhow::Result<String> {
    let checkpoint = match &place.checkpoint {
        None => None,
        Some(AuditCheckpoint { place, signature }) => {
            let signed = audit::proved(TRAIL, signature, keys).context("the checkpoint's signature does not hold")?;
            if signed.place != *place {
                bail!("the checkpoint is of another place than was signed");
            }
            Some(signed)
        }
    };
    stands(receipt, place, checkpoint.as_ref())
}

/// As [`placed`], where the checkpoint is proved to be one of the service's.
fn stands(receipt: &Receipt, place: &ReceiptPlace, checkpoint: Option<&Checkpoint>) -> anyhow::Result<String> {
    if place.notification_id != receipt.notification_id || place.version != receipt.version {
        bail!("the place is that of another filing");
    }
    if let Some(row) = &place.row
        && (row.id != place.audit_row_id || row.record_id != receipt.notification_id)
    {
        bail!("the row of the trail is that of another filing");
    }
    if place.place == 0 {
        return Ok(format!("row {} of the audit trail: not sealed yet, ask again in a moment", place.audit_row_id));
    }
    let computed = place.row.as_ref().map(|row| seal::seal(&place.seal_before, place.place, row));
    if computed.is_some_and(|computed| computed.as_slice() != place.seal.as_slice()) {
        bail!("the row is not the one that was sealed");
    }
    let told = if computed.is_some() { "holds" } else { "is shown to who filed only, so its seal is not computed" };
    let here = format!("place {} of the audit trail: the row {told}", place.place);
    match checkpoint {
        None => Ok(format!("{here}, not signed yet, ask again in half a minute")),
        Some(checkpoint) if checkpoint.place < place.place => bail!("the checkpoint lies before the place"),
        Some(checkpoint) if checkpoint.place > place.place => Ok(format!(
            "{here}, under the signature at place {}; `audit verify` proves what lies between",
            checkpoint.place
        )),
        Some(checkpoint) if checkpoint.seal == seal::hex(&place.seal) => {
            Ok(format!("{here}, and this seal was signed"))
        }
        Some(_) => bail!("the seal is another one than was signed"),
    }
}

#[cfg(test)]
mod tests {
    use ::audit::seal::{self, Checkpoint, GENESIS};
    use proto::{
        notification::{Receipt, ReceiptPlace},
        operations::AuditRow,
    };

    use super::stands;

    const ID: &str = "0190a1b2-0000-7000-8000-000000000001";

    fn receipt() -> Receipt {
        Receipt { notification_id: ID.to_owned(), version: 1, ..Receipt::default() }
    }

    fn place() -> ReceiptPlace {
        let row =
            AuditRow { id: 7, record_id: ID.to_owned(), user_id: "a physician".to_owned(), ..AuditRow::default() };
        ReceiptPlace {
            notification_id: ID.to_owned(),
            version: 1,
            audit_row_id: 7,
            place: 3,
            seal_before: GENESIS.to_vec(),
            seal: seal::seal(&GENESIS, 3, &row).to_vec(),
            row: Some(row),
            checkpoint: None,
        }
    }

    fn signed(place: i64, seal: &[u8]) -> Checkpoint {
        Checkpoint { iss: "notification".to_owned(), place, seal: seal::hex(seal), iat: 0 }
    }

    #[test]
    fn a_place_tells_how_far_it_is_proved() {
        let open = ReceiptPlace { place: 0, seal: Vec::new(), ..place() };
        let unnamed = ReceiptPlace { row: None, ..place() };
        let here = signed(3, &place().seal);
        let later = signed(9, b"another seal");
        for (place, checkpoint, told) in [
            (open, None, "not sealed yet"),
            (place(), None, "the row holds, not signed yet"),
            (place(), Some(&here), "the row holds, and this seal was signed"),
            (place(), Some(&later), "the row holds, under the signature at place 9"),
            (unnamed, Some(&here), "shown to who filed only"),
        ] {
            let said = stands(&receipt(), &place, checkpoint).unwrap();
            assert!(said.contains(told), "{said}");
        }
    }

    #[test]
    fn a_place_that_was_tampered_with_proves_nothing() {
        let with_row = |change: fn(&mut AuditRow)| {
            let mut changed = place();
            changed.row.iter_mut().for_each(change);
            changed
        };
        let here = signed(3, &place().seal);
        let before = signed(2, b"another seal");
        let forged = signed(3, b"another seal");
        for (place, checkpoint, why) in [
            (ReceiptPlace { notification_id: "another".to_owned(), ..place() }, None, "another filing"),
            (ReceiptPlace { version: 2, ..place() }, None, "another filing"),
            (with_row(|row| row.record_id = "another".to_owned()), None, "another filing"),
            (with_row(|row| row.user_id = "somebody else".to_owned()), Some(&here), "not the one that was sealed"),
            (ReceiptPlace { place: 4, ..place() }, Some(&here), "not the one that was sealed"),
            (ReceiptPlace { row: None, place: 4, ..place() }, Some(&here), "before the place"),
            (place(), Some(&before), "before the place"),
            (place(), Some(&forged), "another one than was signed"),
        ] {
            let refused = stands(&receipt(), &place, checkpoint).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
