//! Messages to patients and initial secrets, where they wait in the local outbox.

use client::{Client, pages};
use proto::identity::ListMessagesRequest;

use crate::console::say;

pub(crate) async fn list(client: &Client) -> anyhow::Result<()> {
    let messages = pages(async |page_token| {
        let request = client.request(ListMessagesRequest { page_size: 200, page_token });
        let page = client.messages().list_messages(request).await?.into_inner();
        Ok((page.messages, page.next_page_token))
    })
    .await?;
    for message in messages {
        say(format_args!("{}  {}", message.destination, message.text))?;
    }
    Ok(())
}
