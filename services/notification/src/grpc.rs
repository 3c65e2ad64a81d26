//! The doors: which operation answers which RPC, in the order of the contract.

use chassis::{Reply, watch::Stream};
use proto::notification::{
    AcknowledgeNotificationRequest, AmendNotificationRequest, FileNotificationRequest, ForwardNotificationRequest,
    GetNotificationRequest, GetReceiptKeysRequest, ListInboxRequest, ListInboxResponse, ListNotificationsRequest,
    ListNotificationsResponse, ListVersionsRequest, ListVersionsResponse, Notification, Receipt, ReceiptKeys,
    ReturnNotificationRequest, WatchInboxRequest, WatchInboxResponse, WithdrawNotificationRequest,
    filing_service_server::FilingService, inbox_service_server::InboxService,
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

    async fn list_notifications(&self, r: Request<ListNotificationsRequest>) -> Reply<ListNotificationsResponse> {
        self.base.answer(self, r, filing::list).await
    }

    async fn amend_notification(&self, r: Request<AmendNotificationRequest>) -> Reply<Receipt> {
        self.base.answer(self, r, filing::amend).await
    }

    async fn withdraw_notification(&self, r: Request<WithdrawNotificationRequest>) -> Reply<Notification> {
        self.base.answer(self, r, filing::withdraw).await
    }

    async fn list_versions(&self, r: Request<ListVersionsRequest>) -> Reply<ListVersionsResponse> {
        self.base.answer(self, r, filing::versions).await
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

    async fn return_notification(&self, r: Request<ReturnNotificationRequest>) -> Reply<Notification> {
        self.base.answer(self, r, inbox::send_back).await
    }

    async fn forward_notification(&self, r: Request<ForwardNotificationRequest>) -> Reply<Notification> {
        self.base.answer(self, r, inbox::forward).await
    }
}
