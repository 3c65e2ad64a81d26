//! Receipts as evidence: proved without asking anybody.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, bail};
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Subcommand;
use jsonwebtoken::{Algorithm, Validation};
use prost::Message as _;
use proto::notification::{Form, GetReceiptKeysRequest, Receipt};
use serde::Deserialize;

use crate::{
    console::{from_json, say},
    failure::Unproved,
    target::Target,
};

#[derive(Subcommand)]
pub(crate) enum Receipts {
    /// Prove that a receipt is genuine: its signature, and with `--form` that it is about this form. Works offline with `--keys`.
    Verify {
        /// The receipt, as JSON.
        receipt: PathBuf,
        /// The form, as JSON as `GetNotification` shows it.
        #[arg(long)]
        form: Option<PathBuf>,
        /// The keys as a file (`hersysctl receipts keys`); without it the gateway is asked for them.
        #[arg(long)]
        keys: Option<PathBuf>,
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
}

pub(crate) async fn run(target: &Target, command: Receipts) -> anyhow::Result<()> {
    match command {
        Receipts::Keys => say(format_args!("{}", ask(target).await?)),
        Receipts::Verify { receipt, form, keys } => {
            let read = |file: &PathBuf| fs::read_to_string(file).with_context(|| format!("read {}", file.display()));
            let receipt: Receipt = from_json(&read(&receipt)?, "hersys.notification.v1.Receipt")?;
            let form: Option<Form> =
                form.map(|file| from_json(&read(&file)?, "hersys.notification.v1.Form")).transpose()?;
            let keys = match &keys {
                Some(file) => read(file)?,
                None => ask(target).await?,
            };
            let proved = verify(&receipt, form.as_ref(), &keys).map_err(|error| Unproved(format!("{error:#}")))?;
            say(format_args!("{proved}"))
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
    Ok(format!(
        "{} version {}, filed {}, received by {}: genuine{about}",
        claims.number, claims.version, claims.received_at, claims.centre
    ))
}
