//! The audit trail from outside: searched in every service, verified without trusting any, and turned into the report that
//! the privacy commission asks for (個人情報保護委員会, 速報 within 3 to 5 days).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs,
    path::Path,
};

use access::seal::{self, Checkpoint, GENESIS, TYPE};
use anyhow::{Context as _, bail};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use proto::{
    Timestamp,
    operations::{AuditRow, ListAuditCheckpointsRequest, ReadSealedAuditRequest, SealedAuditRow, SearchAuditRequest},
    options::Group,
};
use runtime::clock;
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::Client;

/// The services that keep a trail.
pub const SERVICES: [&str; 6] = ["identity", "registry", "notification", "followup", "beds", "statistics"];

/// What a verifier keeps between two runs: the end of each chain as it was. Who cuts the end off, checkpoints and all, is
/// found by whoever saw it before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Place and seal per service.
    pub ends: BTreeMap<String, (i64, String)>,
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Rows in the chain.
    pub rows: i64,
    /// The last place a signature proves.
    pub signed: i64,
    /// The last seal.
    pub end: String,
    /// The first row that was signed long after it was written, and how many there are: the sealer stood still, or the chain was
    /// made anew.
    pub late: Option<(i64, usize)>,
}

/// A row is sealed within a second and signed within half a minute. What took longer than this is told.
const LATE: i64 = 300;

/// Why a trail is not what was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The first place that does not hold.
    pub place: i64,
    /// The row's number, where there is one.
    pub row: Option<i64>,
    /// What does not hold.
    pub why: String,
}

/// Checks a chain row by row.
#[derive(Debug)]
pub struct Chain {
    last: Vec<u8>,
    place: i64,
    seals: HashMap<i64, String>,
    wanted: BTreeSet<i64>,
    met: HashSet<i64>,
    /// When each row was written, since the last place that may be signed.
    written: Vec<(i64, i64)>,
}

impl Chain {
    /// A chain from its beginning, remembering the seals at these places.
    pub fn new(wanted: BTreeSet<i64>) -> Self {
        Self {
            last: GENESIS.to_vec(),
            place: 0,
            seals: HashMap::new(),
            wanted,
            met: HashSet::new(),
            written: Vec::new(),
        }
    }

    /// The next row.
    ///
    /// # Errors
    /// Where it is not the one that was sealed here.
    pub fn next(&mut self, sealed: &SealedAuditRow) -> Result<(), Broken> {
        let broken = |why: &str| Broken {
            place: self.place + 1,
            row: sealed.row.as_ref().map(|row| row.id),
            why: why.to_owned(),
        };
        if sealed.place != self.place + 1 {
            return Err(broken("a place of the chain is missing"));
        }
        let Some(row) = &sealed.row else { return Err(broken("the sealed row is gone")) };
        if !self.met.insert(row.id) {
            return Err(broken("the row was sealed before"));
        }
        let seal = seal::seal(&self.last, sealed.place, row);
        if seal.as_slice() != sealed.seal.as_slice() {
            return Err(broken("the row is not the one that was sealed"));
        }
        self.last = seal.to_vec();
        self.place = sealed.place;
        self.written.push((self.place, row.at.as_ref().map_or(0, |at| at.seconds)));
        if self.wanted.contains(&self.place) {
            self.seals.insert(self.place, seal::hex(&self.last));
        }
        Ok(())
    }

    /// Compares the chain with its signed checkpoints and with what was seen before.
    ///
    /// # Errors
    /// Where a signature does not hold, or the chain ends before a place that was signed or seen.
    pub fn finish(self, signed: &[Checkpoint], seen: Option<&(i64, String)>) -> Result<Verified, Broken> {
        let broken = |place: i64, why: &str| Broken { place, row: None, why: why.to_owned() };
        let known = signed.iter().map(|c| (c.place, &c.seal)).chain(seen.map(|(place, seal)| (*place, seal)));
        let mut known: Vec<(i64, &String)> = known.collect();
        known.sort_unstable();
        for (place, seal) in known {
            match self.seals.get(&place) {
                None => return Err(broken(self.place + 1, "the chain ends before a place that was signed or seen")),
                Some(here) if here != seal => return Err(broken(place, "the chain is not the one that was signed")),
                Some(_) => {}
            }
        }
        // Each row against the first signature that covers it.
        let mut signatures: Vec<(i64, i64)> =
            signed.iter().map(|checkpoint| (checkpoint.place, checkpoint.iat)).collect();
        signatures.sort_unstable();
        let mut covering = signatures.iter().peekable();
        let mut late: Option<(i64, usize)> = None;
        for (place, written) in &self.written {
            while covering.peek().is_some_and(|(end, _)| end < place) {
                covering.next();
            }
            if covering.peek().is_some_and(|(_, at)| at - written > LATE) {
                late = Some(late.map_or((*place, 1), |(first, count)| (first, count + 1)));
            }
        }
        let signed = signatures.last().map_or(0, |(place, _)| *place);
        Ok(Verified { rows: self.place, signed, end: seal::hex(&self.last), late })
    }
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
    let mut signatures = Vec::new();
    loop {
        let after_place = signatures.last().map_or(0, |(place, _)| *place);
        let request = client.operation(service, ListAuditCheckpointsRequest { after_place });
        let page = client.audit().list_audit_checkpoints(request).await?.into_inner();
        if page.checkpoints.is_empty() {
            break;
        }
        jwks = page.jwks_json;
        signatures.extend(page.checkpoints.into_iter().map(|c| (c.place, c.signature)));
    }
    let mut signed = Vec::new();
    for (place, signature) in &signatures {
        match proved(service, signature, &jwks) {
            Some(checkpoint) if checkpoint.place == *place => signed.push(checkpoint),
            _ => {
                let why = "the checkpoint's signature does not hold".to_owned();
                return Ok(Err(Broken { place: *place, row: None, why }));
            }
        }
    }
    let before = seen.ends.get(service).cloned();
    let wanted = signed.iter().map(|c| c.place).chain(before.iter().map(|(place, _)| *place)).collect();
    let mut chain = Chain::new(wanted);
    loop {
        // A long trail outlives a token.
        client.keep_fresh().await?;
        let request = ReadSealedAuditRequest { after_place: chain.place, limit: 5_000 };
        let page = client.audit().read_sealed_audit(client.operation(service, request)).await?.into_inner();
        if page.rows.is_empty() {
            if page.unsealed > 0 {
                let why = format!("{} rows were never sealed: put in later, or the sealer stands still", page.unsealed);
                return Ok(Err(Broken { place: chain.place + 1, row: None, why }));
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
        // The first time there is none. What cannot be read is not the same.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Seen::default()),
        Err(error) => Err(error).with_context(|| format!("read {}", file.display())),
    }
}

/// Whom or what a search is about.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Who touched this record?
    pub record: String,
    /// What did this account touch?
    pub user: String,
    /// From here on.
    pub from: Option<OffsetDateTime>,
    /// Before this.
    pub until: Option<OffsetDateTime>,
}

/// Every row of every service that answers a question, newest first per service.
///
/// # Errors
/// When a service does not answer, or the caller may not read the trail.
pub async fn search(client: &Client, question: &Question) -> anyhow::Result<Vec<(&'static str, AuditRow)>> {
    let mut found = Vec::new();
    for service in SERVICES {
        let mut page_token = String::new();
        loop {
            let request = SearchAuditRequest {
                record_id: question.record.clone(),
                user_id: question.user.clone(),
                from: question.from.map(clock::to_proto),
                until: question.until.map(clock::to_proto),
                page_size: 1_000,
                page_token,
            };
            let page = client.audit().search_audit(client.operation(service, request)).await?.into_inner();
            found.extend(page.rows.into_iter().map(|row| (service, row)));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
    }
    Ok(found)
}

/// A row in one line.
pub fn line(service: &str, row: &AuditRow) -> String {
    let who = if row.user_id.is_empty() { &row.service } else { &row.user_id };
    format!("{}  {service}  {}  {who}  {}  {}", moment(row.at.as_ref()), row.rpc, row.record_id, groups(row).join(","))
}

fn moment(at: Option<&Timestamp>) -> String {
    at.and_then(clock::from_proto).and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}

fn groups(row: &AuditRow) -> Vec<String> {
    row.field_groups
        .iter()
        .filter_map(|number| Group::try_from(*number).ok())
        .map(|group| group.as_str_name().trim_start_matches("GROUP_").to_lowercase())
        .collect()
}

/// The report of an incident: whose records, which fields, by whom, between when. Ids only: names are put in by those who
/// may see them.
///
/// # Errors
/// When the question names nobody, or a service does not answer.
pub async fn incident(client: &Client, question: &Question) -> anyhow::Result<String> {
    if question.user.is_empty() && question.record.is_empty() {
        bail!("an incident is about a user or a record");
    }
    let rows = search(client, question).await?;
    let mut affected: BTreeMap<&str, (BTreeSet<String>, usize)> = BTreeMap::new();
    let (mut actors, mut moments) = (BTreeMap::<(&str, &str), usize>::new(), Vec::new());
    for (_, row) in rows.iter().filter(|(_, row)| !row.field_groups.is_empty()) {
        let (fields, count) = affected.entry(&row.record_id).or_default();
        fields.extend(groups(row));
        *count += 1;
        let actor = if row.user_id.is_empty() { row.service.as_str() } else { row.user_id.as_str() };
        *actors.entry((actor, &row.organisation_id)).or_default() += 1;
        moments.push(moment(row.at.as_ref()));
    }
    moments.sort_unstable();
    let mut text = String::from("# 漏えい等の報告の資料 / Material for an incident report\n\n");
    let mut add = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    add(format!("- 期間 / window: {} 〜 {}", moments.first().map_or("–", |m| m), moments.last().map_or("–", |m| m)));
    add(format!("- 影響を受けた記録 / records affected: {}", affected.len()));
    add(format!("- 行為者 / actors: {}", actors.len()));
    add("- 報告期限 / due: 速報 3〜5日以内、確報 30日以内（不正の目的のおそれがあるときは60日以内）".to_owned());
    add("\n| 記録 / record | 項目群 / field groups | 回数 / times |\n|---|---|---|".to_owned());
    for (record, (fields, count)) in &affected {
        add(format!("| {record} | {} | {count} |", fields.iter().cloned().collect::<Vec<_>>().join(", ")));
    }
    add("\n| 行為者 / actor | 機関 / organisation | 回数 / times |\n|---|---|---|".to_owned());
    for ((actor, organisation), count) in &actors {
        add(format!("| {actor} | {organisation} | {count} |"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use proto::{Timestamp, operations::AuditRow, operations::SealedAuditRow};

    use super::{Chain, Checkpoint, seal};

    const ROWS: i64 = 400;

    /// A whole trail, and a signature at its end and in its middle.
    fn trail() -> (Vec<SealedAuditRow>, Vec<Checkpoint>) {
        let mut last = seal::GENESIS.to_vec();
        let mut rows = Vec::new();
        let mut signed = Vec::new();
        for place in 1..=ROWS {
            let row = AuditRow {
                id: place * 2,
                at: Some(Timestamp { seconds: 1_590_000_000 + place, nanos: 0 }),
                user_id: format!("user {}", place % 7),
                rpc: "GetCase".to_owned(),
                record_id: format!("case {}", place % 31),
                field_groups: vec![2, 4],
                trace_id: format!("{place:032x}"),
                ..AuditRow::default()
            };
            last = seal::seal(&last, place, &row).to_vec();
            rows.push(SealedAuditRow { place, row: Some(row), seal: last.clone() });
            if place % (ROWS / 2) == 0 {
                signed.push(Checkpoint { iss: "registry".to_owned(), place, seal: seal::hex(&last), iat: 0 });
            }
        }
        (rows, signed)
    }

    /// The first bad place; `None` where all holds.
    fn first_bad(rows: &[SealedAuditRow], signed: &[Checkpoint]) -> Option<i64> {
        let mut chain = Chain::new(signed.iter().map(|checkpoint| checkpoint.place).collect());
        for row in rows {
            if let Err(broken) = chain.next(row) {
                return Some(broken.place);
            }
        }
        chain.finish(signed, None).err().map(|broken| broken.place)
    }

    /// A small generator with a seed: what fails can be done again.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, most: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap_or(0) % most
        }
    }

    /// Seals everything from a place on anew, as somebody would who owns the database and not the key.
    fn reseal(rows: &mut [SealedAuditRow]) {
        let mut last = seal::GENESIS.to_vec();
        for (place, sealed) in (1..).zip(rows.iter_mut()) {
            sealed.place = place;
            last = seal::seal(&last, place, &sealed.row.clone().unwrap_or_default()).to_vec();
            sealed.seal.clone_from(&last);
        }
    }

    #[test]
    fn of_a_thousand_tamperings_each_is_found_and_the_first_bad_row_named() {
        let (whole, signed) = trail();
        assert_eq!(first_bad(&whole, &signed), None, "an untouched trail holds");
        let mut dice = Dice(20_200_515);
        for round in 0..1_000 {
            let mut rows = whole.clone();
            let at = dice.below(rows.len());
            let place = whole[at].place;
            let kind = dice.below(9);
            let expected = match kind {
                0 => {
                    if let Some(row) = &mut rows[at].row {
                        row.user_id.push('x');
                    }
                    Some(place)
                }
                1 => {
                    if let Some(at) = rows[at].row.as_mut().and_then(|row| row.at.as_mut()) {
                        at.seconds -= 1;
                    }
                    Some(place)
                }
                2 => {
                    if let Some(row) = &mut rows[at].row {
                        row.field_groups.clear();
                    }
                    Some(place)
                }
                3 => {
                    let byte = dice.below(32);
                    rows[at].seal[byte] ^= 1 << dice.below(8);
                    Some(place)
                }
                4 => {
                    rows[at].row = None;
                    Some(place)
                }
                5 => {
                    rows.remove(at);
                    Some(place)
                }
                6 => {
                    let twin = rows[at].clone();
                    rows.insert(at, twin);
                    Some(place + 1)
                }
                7 => {
                    // The end cut off.
                    rows.truncate(at);
                    Some(place)
                }
                // A row taken out, and every seal after it computed anew: the signatures do not fit.
                _ => {
                    rows.remove(at);
                    reseal(&mut rows);
                    None
                }
            };
            let found = first_bad(&rows, &signed);
            assert!(found.is_some(), "round {round}, kind {kind}, place {place}: not found");
            if let Some(expected) = expected {
                assert_eq!(found, Some(expected), "round {round}, kind {kind}");
            }
        }
    }
}
