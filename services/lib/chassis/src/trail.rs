//! The RPCs every service answers about its own audit trail and keys.

use access::{
    Caller, Door,
    audit::{self, Act, Actor},
};
use data::sqlx::{self, FromRow as _, Row as _};
use proto::operations::{
    AuditCheckpoint, FieldKeyState, ListAuditCheckpointsRequest, ListAuditCheckpointsResponse, ReadSealedAuditRequest,
    ReadSealedAuditResponse, ReencryptFieldsRequest, RotateFieldKeyRequest, RotateSigningKeyRequest,
    RotateSigningKeyResponse, SealedAuditRow, SearchAuditRequest, SearchAuditResponse,
    audit_service_server::{AuditService, AuditServiceServer},
    key_service_server::{KeyService, KeyServiceServer},
};
use runtime::clock::from_proto;
use sqlx::PgPool;
use tonic::{Request, Response, Status, service::Routes};
use uuid::Uuid;
use vault::{Sealed, Signer, Vault};

use crate::{
    Error,
    sealer::{COLUMNS, Stored},
};

/// Answers for one service.
#[derive(Clone)]
pub(crate) struct Trail {
    pub pool: PgPool,
    pub vault: Vault,
    pub signer: Signer,
    pub sealed: &'static [Sealed],
}

impl Trail {
    /// Adds both services to a server.
    pub(crate) fn routes(self, routes: Routes) -> Routes {
        routes
            .add_service(AuditServiceServer::new(self.clone()).max_encoding_message_size(16 << 20))
            .add_service(KeyServiceServer::new(self))
    }

    async fn search(&self, caller: &Caller, request: &SearchAuditRequest) -> Result<SearchAuditResponse, Error> {
        let id = |field: &str, text: &str| match text {
            "" => Ok(None),
            text => Uuid::try_parse(text)
                .map(Some)
                .map_err(|_| Error::invalid(field, "UUID を指定してください", "must be a UUID")),
        };
        let (record, user) = (id("record_id", &request.record_id)?, id("user_id", &request.user_id)?);
        if record.is_none() && user.is_none() {
            return Err(Error::invalid("record_id", "記録か利用者を指定してください", "name a record or a user"));
        }
        let before: i64 = match request.page_token.as_str() {
            "" => i64::MAX,
            token => token
                .parse()
                .map_err(|_| Error::invalid("page_token", "不正なページトークンです", "is no page token"))?,
        };
        let size = if request.page_size > 0 { i64::from(request.page_size) } else { 100 };
        let mut tx = self.pool.begin().await?;
        // One statement per index: a planner that must serve "either" may choose neither.
        let by = match (record, user) {
            (Some(_), _) => "a.record = $1 and ($2::uuid is null or a.user_id = $2)",
            _ => "a.user_id = $2 and $1::uuid is null",
        };
        let rows: Vec<Stored> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from audit a
             where {by} and a.id < $3 and ($4::timestamptz is null or a.at >= $4)
               and ($5::timestamptz is null or a.at < $5)
             order by a.id desc limit $6"
        )))
        .bind(record)
        .bind(user)
        .bind(before)
        .bind(request.from.as_ref().and_then(from_proto))
        .bind(request.until.as_ref().and_then(from_proto))
        .bind(size)
        .fetch_all(&mut *tx)
        .await?;
        let act =
            Act { actor: Actor::Caller(caller), rpc: "SearchAudit", groups: &[], request_id: None, on_behalf_of: None };
        audit::record(&mut tx, &act, &[record.or(user).unwrap_or_default()]).await?;
        tx.commit().await?;
        let next = rows.last().filter(|_| i64::try_from(rows.len()).is_ok_and(|n| n == size)).map(|row| row.id);
        Ok(SearchAuditResponse {
            rows: rows.into_iter().map(Stored::shown).collect(),
            next_page_token: next.map(|id| id.to_string()).unwrap_or_default(),
        })
    }

    async fn read_sealed(&self, request: ReadSealedAuditRequest) -> Result<ReadSealedAuditResponse, Error> {
        let limit = if request.limit > 0 { i64::from(request.limit) } else { 1_000 };
        let mut conn = self.pool.acquire().await?;
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select s.place, s.seal, a.id is not null as present, {COLUMNS}
             from audit_seal s left join audit a on a.id = s.audit_id where s.place > $1 order by s.place limit $2"
        )))
        .bind(request.after_place)
        .bind(limit)
        .fetch_all(&mut *conn)
        .await?;
        let rows = rows
            .iter()
            .map(|row| {
                let present: bool = row.try_get("present")?;
                let stored = if present { Some(Stored::from_row(row)?.shown()) } else { None };
                Ok(SealedAuditRow { place: row.try_get("place")?, row: stored, seal: row.try_get("seal")? })
            })
            .collect::<sqlx::Result<Vec<_>>>()?;
        // With the last page only. Up to the sealer's cursor there are as many rows as seals, or some were put in later; behind
        // it nothing is old, or the sealer stands still.
        let unsealed = if rows.is_empty() {
            sqlx::query_scalar(
                "select greatest(0, (select count(*) from audit a, audit_sealed s
                                     where (a.xid, a.id) <= (s.xid, s.audit_id))
                                    - (select coalesce(max(place), 0) from audit_seal))
                      + (select count(*) from audit a, audit_sealed s
                         where (a.xid, a.id) > (s.xid, s.audit_id) and a.at < now() - interval '1 minute')",
            )
            .fetch_one(&mut *conn)
            .await?
        } else {
            0
        };
        Ok(ReadSealedAuditResponse { rows, unsealed })
    }

    async fn checkpoints(&self, after: i64) -> Result<ListAuditCheckpointsResponse, Error> {
        let rows: Vec<(i64, String)> =
            sqlx::query_as("select place, signature from audit_checkpoint where place > $1 order by place limit 10000")
                .bind(after)
                .fetch_all(&self.pool)
                .await?;
        let checkpoints = rows.into_iter().map(|(place, signature)| AuditCheckpoint { place, signature }).collect();
        Ok(ListAuditCheckpointsResponse { checkpoints, jwks_json: self.signer.jwks() })
    }

    fn state(&self, reencrypted: u64, more: bool) -> FieldKeyState {
        let (_, newest) = self.vault.generations();
        FieldKeyState {
            generation: i32::try_from(newest).unwrap_or(0),
            reencrypted: i64::try_from(reencrypted).unwrap_or(i64::MAX),
            more,
        }
    }
}

#[tonic::async_trait]
impl AuditService for Trail {
    async fn search_audit(
        &self,
        request: Request<SearchAuditRequest>,
    ) -> Result<Response<SearchAuditResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        Ok(Response::new(self.search(&caller, &request).await?))
    }

    async fn read_sealed_audit(
        &self,
        request: Request<ReadSealedAuditRequest>,
    ) -> Result<Response<ReadSealedAuditResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        if request.after_place == 0 {
            // Who reads the whole trail is on it.
            let act = Act {
                actor: Actor::Caller(&caller),
                rpc: "ReadSealedAudit",
                groups: &[],
                request_id: None,
                on_behalf_of: None,
            };
            let mut tx = self.pool.begin().await.map_err(Error::from)?;
            audit::record(&mut tx, &act, &[caller.user_id]).await.map_err(Error::from)?;
            tx.commit().await.map_err(Error::from)?;
        }
        Ok(Response::new(self.read_sealed(request).await?))
    }

    async fn list_audit_checkpoints(
        &self,
        request: Request<ListAuditCheckpointsRequest>,
    ) -> Result<Response<ListAuditCheckpointsResponse>, Status> {
        let (_, request) = Door::enter(request)?;
        Ok(Response::new(self.checkpoints(request.after_place).await?))
    }
}

#[tonic::async_trait]
impl KeyService for Trail {
    async fn rotate_signing_key(
        &self,
        request: Request<RotateSigningKeyRequest>,
    ) -> Result<Response<RotateSigningKeyResponse>, Status> {
        Door::enter(request)?;
        let key_id = self.signer.rotate(&self.vault, &self.pool).await.map_err(Error::Internal)?;
        tracing::info!(key_id, "Made a new signing key");
        Ok(Response::new(RotateSigningKeyResponse { key_id }))
    }

    async fn rotate_field_key(
        &self,
        request: Request<RotateFieldKeyRequest>,
    ) -> Result<Response<FieldKeyState>, Status> {
        Door::enter(request)?;
        let generation = self.vault.rotate(&self.pool).await.map_err(Error::Internal)?;
        tracing::info!(generation, "Made a new generation of the field key");
        Ok(Response::new(self.state(0, true)))
    }

    async fn reencrypt_fields(
        &self,
        request: Request<ReencryptFieldsRequest>,
    ) -> Result<Response<FieldKeyState>, Status> {
        Door::enter(request)?;
        let progress = self.vault.reencrypt(&self.pool, self.sealed).await.map_err(Error::Internal)?;
        Ok(Response::new(self.state(progress.reencrypted, progress.more)))
    }
}
