//! Verification of a service's trail, without trusting the service.

use std::{collections::BTreeMap, fs, path::Path};

use ::audit::seal::{Checkpoint, TYPE};
use anyhow::Context as _;
use client::{Client, pages};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use proto::operations::{AuditCheckpoint, ListAuditCheckpointsRequest, ReadSealedAuditRequest};
use serde::{Deserialize, Serialize};

use super::chain::{Broken, Chain, Verified};

/// What a verifier keeps between two runs: the end of each chain as it was. If the end is cut off, checkpoints and
/// all, whoever saw it before finds out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Place and seal per service.
    pub ends: BTreeMap<String, (i64, String)>,
}

/// The checkpoint behind a signature, where one of the service's keys made it.
pub fn proved(service: &str, signature: &str, jwks: &str) -> Option<Checkpoint> {
    let header = decode_header(signature).ok()?;
    if header.alg != Algorithm::ES256 || header.typ.as_deref() != Some(TYPE) {
        return None;
    }
    let set: JwkSet = serde_json::from_str(jwks).ok()?;
    let key = DecodingKey::from_jwk(set.find(header.kid.as_deref()?)?).ok()?;
    let mut rules = Validation::new(Algorithm::ES256);
    rules.validate_exp = false;
    rules.set_required_spec_claims(&["iss"]);
    rules.set_issuer(&[service]);
    decode::<Checkpoint>(signature, &key, &rules).ok().map(|data| data.claims)
}

/// Verifies the trail of a service: every row, every signature, and what was seen before. `Err` inside names the first bad
/// row.
///
/// # Errors
/// When the service does not answer, or the caller may not read the trail.
pub async fn verify(client: &mut Client, service: &str, seen: &mut Seen) -> anyhow::Result<Result<Verified, Broken>> {
    let mut jwks = String::new();
    let checkpoints = pages(async |page_token| {
        let request = ListAuditCheckpointsRequest { after_place: 0, page_size: 0, page_token };
        let page = client.audit().list_audit_checkpoints(client.operation(service, request)).await?.into_inner();
        jwks = page.jwks_json;
        Ok((page.checkpoints, page.next_page_token))
    })
    .await?;

    let mut signed = Vec::new();
    for AuditCheckpoint { place, signature } in checkpoints {
        match proved(service, &signature, &jwks) {
            Some(checkpoint) if checkpoint.place == place => signed.push(checkpoint),
            _ => {
                let why = "the checkpoint's signature does not hold".to_owned();
                return Ok(Err(Broken { place, row: None, why }));
            }
        }
    }

    let before = seen.ends.get(service).cloned();
    let wanted = signed.iter().map(|c| c.place).chain(before.iter().map(|(place, _)| *place)).collect();
    let mut chain = Chain::new(wanted);
    loop {
        // A long trail outlives a token.
        client.keep_fresh().await?;
        let request = ReadSealedAuditRequest { after_place: chain.place(), limit: 5_000 };
        let page = client.audit().read_sealed_audit(client.operation(service, request)).await?.into_inner();
        if page.rows.is_empty() {
            if page.unsealed > 0 {
                let why = format!("{} rows were never sealed: put in later, or the sealer has stopped", page.unsealed);
                return Ok(Err(Broken { place: chain.place() + 1, row: None, why }));
            }
            break;
        }
        for row in &page.rows {
            if let Err(broken) = chain.next(row) {
                return Ok(Err(broken));
            }
        }
    }

    let verified = chain.finish(&signed, before.as_ref());
    if let Ok(verified) = &verified {
        seen.ends.insert(service.to_owned(), (verified.rows, verified.end.clone()));
        if verified.rows == 0 {
            seen.ends.remove(service);
        }
    }
    Ok(verified)
}

/// Reads what was seen before; nothing where there is no such file.
///
/// # Errors
/// When the file is not one of ours.
pub fn load(file: &Path) -> anyhow::Result<Seen> {
    match fs::read(file) {
        Ok(text) => serde_json::from_slice(&text).with_context(|| format!("read {}", file.display())),
        // The first time there is none. A file that cannot be read is another matter.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Seen::default()),
        Err(error) => Err(error).with_context(|| format!("read {}", file.display())),
    }
}
