//! The RPCs that every service answers about its own audit trail and keys.

use audit::store::{self, Search};
use proto::operations::{
    FieldKeyState, ListAuditCheckpointsRequest, ListAuditCheckpointsResponse, ReadSealedAuditRequest,
    ReadSealedAuditResponse, ReencryptFieldsRequest, RotateFieldKeyRequest, RotateSigningKeyRequest,
    RotateSigningKeyResponse, SearchAuditRequest, SearchAuditResponse,
    audit_service_server::{AuditService, AuditServiceServer},
    key_service_server::{KeyService, KeyServiceServer},
};
use runtime::clock::from_proto;
use tonic::{Request, service::Routes};
use uuid::Uuid;
use vault::Sealed;

use crate::{Base, Call, Error, Reply, Seen, page};

#[derive(Clone)]
pub(crate) struct Trail {
    pub base: Base,
    pub sealed: &'static [Sealed],
}

impl Trail {
    /// Adds both services to a server.
    pub(crate) fn routes(self, routes: Routes) -> Routes {
        routes
            .add_service(AuditServiceServer::new(self.clone()).max_encoding_message_size(16 << 20))
            .add_service(KeyServiceServer::new(self))
    }

    fn state(&self, reencrypted: u64, more: bool) -> FieldKeyState {
        let (_, newest) = self.base.vault.generations();
        FieldKeyState {
            generation: i32::try_from(newest).unwrap_or(i32::MAX),
            reencrypted: i64::try_from(reencrypted).unwrap_or(i64::MAX),
            more,
        }
    }
}

#[tonic::async_trait]
impl AuditService for Trail {
    async fn search_audit(&self, r: Request<SearchAuditRequest>) -> Reply<SearchAuditResponse> {
        self.base.answer(self, r, search).await
    }

    async fn read_sealed_audit(&self, r: Request<ReadSealedAuditRequest>) -> Reply<ReadSealedAuditResponse> {
        self.base.answer(self, r, read_sealed).await
    }

    async fn list_audit_checkpoints(
        &self,
        r: Request<ListAuditCheckpointsRequest>,
    ) -> Reply<ListAuditCheckpointsResponse> {
        self.base.answer(self, r, checkpoints).await
    }
}

#[tonic::async_trait]
impl KeyService for Trail {
    async fn rotate_signing_key(&self, r: Request<RotateSigningKeyRequest>) -> Reply<RotateSigningKeyResponse> {
        self.base.answer(self, r, rotate_signing_key).await
    }

    async fn rotate_field_key(&self, r: Request<RotateFieldKeyRequest>) -> Reply<FieldKeyState> {
        self.base.answer(self, r, rotate_field_key).await
    }

    async fn reencrypt_fields(&self, r: Request<ReencryptFieldsRequest>) -> Reply<FieldKeyState> {
        self.base.answer(self, r, reencrypt_fields).await
    }
}

async fn search(trail: Trail, call: Call<SearchAuditRequest>) -> Result<SearchAuditResponse, Error> {
    let request = &call.request;
    let id = |field: &str, text: &str| match text {
        "" => Ok(None),
        text => Uuid::try_parse(text)
            .map(Some)
            .map_err(|_| Error::invalid(field, "UUID を指定してください", "must be a UUID")),
    };
    let (record, user) = (id("record_id", &request.record_id)?, id("user_id", &request.user_id)?);
    let Some(asked_about) = record.or(user) else {
        return Err(Error::invalid(
            "record_id",
            "記録または利用者を指定してください",
            "is required unless user_id is given",
        ));
    };
    let before = match request.page_token.as_str() {
        "" => i64::MAX,
        token => token.parse().map_err(|_| Error::page_token())?,
    };
    let limit = if request.page_size > 0 { i64::from(request.page_size) } else { 100 };
    let (from, until) =
        (request.from_time.as_ref().and_then(from_proto), request.until_time.as_ref().and_then(from_proto));

    let mut tx = trail.base.pool.begin().await?;
    let rows = store::search(&mut tx, Search { record, user, from, until, before, limit }).await?;
    call.record(&mut tx, &Seen::records([asked_about])).await?;
    tx.commit().await?;

    let next_page_token = page::next(&rows, limit, |row| row.id.to_string());
    Ok(SearchAuditResponse { rows, next_page_token })
}

async fn read_sealed(trail: Trail, call: Call<ReadSealedAuditRequest>) -> Result<ReadSealedAuditResponse, Error> {
    let limit = if call.request.limit > 0 { i64::from(call.request.limit) } else { 1_000 };
    let mut tx = trail.base.pool.begin().await?;
    // Whoever reads the whole trail is recorded in it: once, not for every page.
    let reader = Some(call.caller.user_id).filter(|_| call.request.after_place == 0);
    call.record(&mut tx, &Seen::records(reader)).await?;
    let rows = store::sealed(&mut tx, call.request.after_place, limit).await?;
    let unsealed = if rows.is_empty() { store::unsealed(&mut tx).await? } else { 0 };
    tx.commit().await?;
    Ok(ReadSealedAuditResponse { rows, unsealed })
}

async fn checkpoints(
    trail: Trail,
    call: Call<ListAuditCheckpointsRequest>,
) -> Result<ListAuditCheckpointsResponse, Error> {
    let after_place = match call.request.page_token.as_str() {
        "" => call.request.after_place,
        token => token.parse().map_err(|_| Error::page_token())?,
    };
    let size = if call.request.page_size > 0 { i64::from(call.request.page_size) } else { 1_000 };
    let mut conn = trail.base.pool.acquire().await?;
    let checkpoints = store::checkpoints(&mut conn, after_place, size).await?;
    let next_page_token = page::next(&checkpoints, size, |checkpoint| checkpoint.place.to_string());
    Ok(ListAuditCheckpointsResponse { checkpoints, jwks_json: trail.base.signer.jwks(), next_page_token })
}

async fn rotate_signing_key(trail: Trail, _: Call<RotateSigningKeyRequest>) -> Result<RotateSigningKeyResponse, Error> {
    let key_id = trail.base.signer.rotate(&trail.base.vault, &trail.base.pool).await?;
    tracing::info!(key_id, "Created a new signing key");
    Ok(RotateSigningKeyResponse { key_id })
}

async fn rotate_field_key(trail: Trail, _: Call<RotateFieldKeyRequest>) -> Result<FieldKeyState, Error> {
    let generation = trail.base.vault.rotate(&trail.base.pool).await?;
    tracing::info!(generation, "Created a new generation of the field key");
    Ok(trail.state(0, true))
}

async fn reencrypt_fields(trail: Trail, _: Call<ReencryptFieldsRequest>) -> Result<FieldKeyState, Error> {
    let progress = trail.base.vault.reencrypt(&trail.base.pool, trail.sealed).await?;
    Ok(trail.state(progress.reencrypted, progress.more))
}
