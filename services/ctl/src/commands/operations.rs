//! How a service handles events.

use client::{Client, pages};
use proto::operations::{
    GetPipelineRequest, ListDeadLettersRequest, RebuildProjectionsRequest, ReplayDeadLetterRequest,
};
use uuid::Uuid;

use crate::console::{print_json, say};

pub(crate) async fn pipeline(client: &Client, service: &str) -> anyhow::Result<()> {
    let request = client.operation(service, GetPipelineRequest {});
    let pipeline = client.operations().get_pipeline(request).await?.into_inner();
    print_json(&pipeline, "hersys.operations.v1.Pipeline")
}

pub(crate) async fn dead_letters(client: &Client, service: &str) -> anyhow::Result<()> {
    let letters = pages(async |page_token| {
        let request = client.operation(service, ListDeadLettersRequest { page_size: 200, page_token });
        let page = client.operations().list_dead_letters(request).await?.into_inner();
        Ok((page.dead_letters, page.next_page_token))
    })
    .await?;
    for letter in letters {
        say(format_args!("{}  {} {}  {}", letter.event_id, letter.source, letter.r#type, letter.reason))?;
    }
    Ok(())
}

pub(crate) async fn replay_dead_letter(client: &Client, service: &str, event: Uuid) -> anyhow::Result<()> {
    let request = client.operation(service, ReplayDeadLetterRequest { event_id: event.to_string() });
    client.operations().replay_dead_letter(request).await?;
    say(format_args!("{event} handled"))
}

pub(crate) async fn rebuild(client: &Client, service: &str) -> anyhow::Result<()> {
    let request = client.operation(service, RebuildProjectionsRequest {});
    let done = client.operations().rebuild_projections(request).await?.into_inner();
    say(format_args!("{service} rebuilt from {} events", done.events))
}
