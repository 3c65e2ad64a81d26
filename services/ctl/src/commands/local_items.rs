//! Local items (任意入力項目): what a centre, a city or a prefecture asks beyond the form.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use client::Client;
use proto::notification::{DefineLocalItemRequest, ListLocalItemsRequest, LocalItem};
use uuid::Uuid;

use crate::console::{from_json, print_json, say};

#[derive(Subcommand)]
pub(crate) enum LocalItems {
    /// List what is asked in your area, or in another.
    List {
        /// On this day; today where none is given.
        #[arg(long, default_value = "")]
        as_of: String,
        /// In the area of this local government code.
        #[arg(long, default_value = "")]
        area: String,
        /// Every version of what your organisation defined.
        #[arg(long, conflicts_with_all = ["as_of", "area"])]
        own: bool,
    },
    /// Define an item, or change one by its `itemId`.
    Define {
        /// The item, as the JSON of `hersys.notification.v1.LocalItem`.
        item: PathBuf,
    },
}

pub(crate) async fn run(client: &Client, command: LocalItems) -> anyhow::Result<()> {
    match command {
        LocalItems::List { as_of, area, own } => {
            let request = ListLocalItemsRequest { as_of_date: as_of, municipality_code: area, own_history: own };
            let listed = client.local_items().list_local_items(client.request(request)).await?.into_inner();
            for item in &listed.items {
                let (from, until) = (&item.from_date, &item.until_date);
                say(format_args!("{}  {from}〜{until}  {}  {}", item.item_id, item.r#type().as_str_name(), item.ja))?;
            }
            Ok(())
        }
        LocalItems::Define { item } => {
            let text = std::fs::read_to_string(&item).with_context(|| format!("read {}", item.display()))?;
            let name = "hersys.notification.v1.LocalItem";
            let item: LocalItem = from_json(&text, name).context("read the item")?;
            let request = DefineLocalItemRequest {
                request_id: Uuid::now_v7().to_string(),
                item: Some(item),
                etag: String::new(),
            };
            let defined = client.local_items().define_local_item(client.request(request)).await?.into_inner();
            print_json(&defined, name)
        }
    }
}
