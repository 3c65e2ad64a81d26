//! What the registry asks for: the forms behind notification.filed, audited as the service that asks.

use access::{
    Door,
    audit::{self, Act, Actor},
    classes,
};
use chassis::Error;
use prost::Message as _;
use proto::{
    notification::{
        BatchGetFormsRequest, BatchGetFormsResponse, FiledForm, Form,
        notification_internal_service_server::NotificationInternalService,
    },
    registry::Relation,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    rpc::{FORM, Notifications},
    store::{self, Row},
};

#[tonic::async_trait]
impl NotificationInternalService for Notifications {
    async fn batch_get_forms(
        &self,
        request: Request<BatchGetFormsRequest>,
    ) -> Result<Response<BatchGetFormsResponse>, Status> {
        let (peer, request) = Door::enter_internal(request)?;
        Ok(Response::new(self.forms(&peer, &request).await?))
    }
}

impl Notifications {
    async fn forms(&self, peer: &str, request: &BatchGetFormsRequest) -> Result<BatchGetFormsResponse, Error> {
        let ids: Vec<Uuid> = request.notification_ids.iter().filter_map(|id| Uuid::try_parse(id).ok()).collect();
        let mut tx = self.base.pool.begin().await?;
        let rows = store::find(&mut tx, &ids).await?;
        let groups = classes::groups_shown(&vec![Relation::ReceivingCentre].into());
        let act = Act {
            actor: Actor::Service(peer),
            rpc: "BatchGetForms",
            groups: &groups,
            request_id: None,
            on_behalf_of: None,
        };
        let found: Vec<Uuid> = rows.iter().map(|row| row.notification_id).collect();
        audit::record(&mut tx, &act, &found).await?;
        tx.commit().await?;
        // One form that cannot be read must not keep the others back: it is left out, and the asker sets its event aside.
        let forms = rows.iter().filter_map(|row| self.filed_form(row)).collect();
        Ok(BatchGetFormsResponse { forms })
    }

    fn filed_form(&self, row: &Row) -> Option<FiledForm> {
        let plain = self.base.vault.open(FORM, row.notification_id.as_bytes(), &row.form_sealed).ok();
        let form = plain.and_then(|plain| Form::decode(plain.as_slice()).ok());
        if form.is_none() {
            tracing::error!(notification.id = %row.notification_id, "A stored form cannot be read");
        }
        Some(FiledForm { notification_id: row.notification_id.to_string(), form: Some(form?) })
    }
}
