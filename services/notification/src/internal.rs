//! The doors for other services of the mesh.

use chassis::Reply;
use proto::notification::{
    BatchGetFormsRequest, BatchGetFormsResponse, notification_internal_service_server::NotificationInternalService,
};
use tonic::Request;

use crate::{filing, service::Notifications};

#[tonic::async_trait]
impl NotificationInternalService for Notifications {
    async fn batch_get_forms(&self, r: Request<BatchGetFormsRequest>) -> Reply<BatchGetFormsResponse> {
        self.base.answer_internal(self, r, filing::batch_get_forms).await
    }
}
