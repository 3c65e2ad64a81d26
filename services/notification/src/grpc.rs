//! The doors: which operation answers which RPC, in the order of the contract.

use chassis::{Reply, watch::Stream};
use proto::notification::{
    AcknowledgeNotificationRequest, FileNotificationRequest, ForwardNotificationRequest, GetNotificationRequest,
    GetReceiptKeysRequest, ListInboxRequest, ListInboxResponse, Notification, Receipt, ReceiptKeys, WatchInboxRequest,
    WatchInboxResponse, filing_service_server::FilingService, inbox_service_server::InboxService,
};
use tonic::Request;

use crate::{filing, inbox, service::Notifications};

#[tonic::async_trait]
impl FilingService for Notifications {
    async fn file_notification(&self, r: Request<FileNotificationRequest>) -> Reply<Receipt> {
        self.base.answer(self, r, filing::file).await
    }

    async fn get_notification(&self, r: Request<GetNotificationRequest>) -> Reply<Notification> {
        self.base.answer(self, r, filing::get).await
    }

    async fn get_receipt_keys(&self, r: Request<GetReceiptKeysRequest>) -> Reply<ReceiptKeys> {
        self.base.answer_public(self, r, filing::receipt_keys).await
    }
}

#[tonic::async_trait]
impl InboxService for Notifications {
    async fn list_inbox(&self, r: Request<ListInboxRequest>) -> Reply<ListInboxResponse> {
        self.base.answer(self, r, inbox::list).await
    }

    type WatchInboxStream = Stream<WatchInboxResponse>;

    async fn watch_inbox(&self, r: Request<WatchInboxRequest>) -> Reply<Self::WatchInboxStream> {
        inbox::watch(self, r)
    }

    async fn acknowledge_notification(&self, r: Request<AcknowledgeNotificationRequest>) -> Reply<Notification> {
        self.base.answer(self, r, inbox::acknowledge).await
    }

    async fn forward_notification(&self, r: Request<ForwardNotificationRequest>) -> Reply<Notification> {
        self.base.answer(self, r, inbox::forward).await
    }
}
