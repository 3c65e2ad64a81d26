//! `GetReceiptKeys`: the public keys that prove receipts, those of old ones too.

use chassis::{Anonymous, Call, Error};
use proto::notification::{GetReceiptKeysRequest, ReceiptKeys};

use crate::service::Notifications;

pub(crate) async fn receipt_keys(
    notifications: Notifications,
    _: Call<GetReceiptKeysRequest, Anonymous>,
) -> Result<ReceiptKeys, Error> {
    Ok(ReceiptKeys { jwks_json: notifications.base.signer.jwks() })
}

#[cfg(test)]
mod tests {
    use proto::notification::GetReceiptKeysRequest;
    use testing::Outcome;

    use crate::{
        filing,
        fixture::{self, Scene},
    };

    #[tokio::test]
    async fn a_key_that_was_replaced_still_proves_what_it_signed() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        scene.world.base.signer.rotate(&scene.world.base.vault, &scene.world.base.pool).await?;

        let request = GetReceiptKeysRequest {};
        let keys = scene.world.ask_public(&scene.notifications, request, filing::receipt_keys).await?;
        assert_eq!(access::token::keys_of(&keys.jwks_json)?.len(), 2);
        assert_eq!(fixture::proved(&receipt, &keys)?["sub"], receipt.notification_id.as_str());
        Ok(())
    }
}
