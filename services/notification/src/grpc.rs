//! The doors: which operation answers which RPC, in the order of the contract.

use chassis::{Reply, watch::Stream};
use proto::notification::{
    AcknowledgeNotificationRequest, AmendNotificationRequest, AssignNotificationRequest, BatchAcknowledgeRequest,
    BatchAcknowledgeResponse, DefineLocalItemRequest, DiscardDraftRequest, DiscardDraftResponse, Draft,
    FileNotificationRequest, FormDefinition, ForwardNotificationRequest, GetDraftRequest, GetFormDefinitionRequest,
    GetInboxSummaryRequest, GetNotificationRequest, GetReceiptKeysRequest, GetReceiptPlaceRequest, InboxSummary,
    ListDraftsRequest, ListDraftsResponse, ListInboxRequest, ListInboxResponse, ListLocalItemsRequest,
    ListLocalItemsResponse, ListNotificationsRequest, ListNotificationsResponse, ListVersionsRequest,
    ListVersionsResponse, LocalItem, Notification, Receipt, ReceiptKeys, ReceiptPlace, ReturnNotificationRequest,
    SaveDraftRequest, WatchInboxRequest, WatchInboxResponse, WithdrawNotificationRequest,
    draft_service_server::DraftService, filing_service_server::FilingService, form_service_server::FormService,
    inbox_service_server::InboxService, local_item_service_server::LocalItemService,
};
use tonic::Request;

use crate::{draft, filing, form, inbox, local_item, service::Notifications};

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

    async fn get_receipt_place(&self, r: Request<GetReceiptPlaceRequest>) -> Reply<ReceiptPlace> {
        self.base.answer(self, r, filing::receipt_place).await
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

    async fn get_inbox_summary(&self, r: Request<GetInboxSummaryRequest>) -> Reply<InboxSummary> {
        self.base.answer(self, r, inbox::summary).await
    }

    type WatchInboxStream = Stream<WatchInboxResponse>;

    async fn watch_inbox(&self, r: Request<WatchInboxRequest>) -> Reply<Self::WatchInboxStream> {
        inbox::watch(self, r)
    }

    async fn acknowledge_notification(&self, r: Request<AcknowledgeNotificationRequest>) -> Reply<Notification> {
        self.base.answer(self, r, inbox::acknowledge).await
    }

    async fn batch_acknowledge(&self, r: Request<BatchAcknowledgeRequest>) -> Reply<BatchAcknowledgeResponse> {
        self.base.answer(self, r, inbox::batch_acknowledge).await
    }

    async fn assign_notification(&self, r: Request<AssignNotificationRequest>) -> Reply<Notification> {
        self.base.answer(self, r, inbox::assign).await
    }

    async fn return_notification(&self, r: Request<ReturnNotificationRequest>) -> Reply<Notification> {
        self.base.answer(self, r, inbox::send_back).await
    }

    async fn forward_notification(&self, r: Request<ForwardNotificationRequest>) -> Reply<Notification> {
        self.base.answer(self, r, inbox::forward).await
    }
}

#[tonic::async_trait]
impl FormService for Notifications {
    async fn get_form_definition(&self, r: Request<GetFormDefinitionRequest>) -> Reply<FormDefinition> {
        self.base.answer(self, r, form::definition).await
    }
}

#[tonic::async_trait]
impl DraftService for Notifications {
    async fn save_draft(&self, r: Request<SaveDraftRequest>) -> Reply<Draft> {
        self.base.answer(self, r, draft::save).await
    }

    async fn get_draft(&self, r: Request<GetDraftRequest>) -> Reply<Draft> {
        self.base.answer(self, r, draft::get).await
    }

    async fn list_drafts(&self, r: Request<ListDraftsRequest>) -> Reply<ListDraftsResponse> {
        self.base.answer(self, r, draft::list).await
    }

    async fn discard_draft(&self, r: Request<DiscardDraftRequest>) -> Reply<DiscardDraftResponse> {
        self.base.answer(self, r, draft::discard).await
    }
}

#[tonic::async_trait]
impl LocalItemService for Notifications {
    async fn define_local_item(&self, r: Request<DefineLocalItemRequest>) -> Reply<LocalItem> {
        self.base.answer(self, r, local_item::define).await
    }

    async fn list_local_items(&self, r: Request<ListLocalItemsRequest>) -> Reply<ListLocalItemsResponse> {
        self.base.answer(self, r, local_item::list).await
    }
}
