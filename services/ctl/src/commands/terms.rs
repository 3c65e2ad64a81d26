//! The terms of use (利用規約).

use client::Client;
use proto::identity::GetTermsRequest;

use crate::{console::say, target::Target};

pub(crate) async fn show(client: &Client) -> anyhow::Result<()> {
    let terms = client.terms().get_terms(GetTermsRequest {}).await?.into_inner();
    say(format_args!(
        "第{}版（{}施行）\n\n{}\n\n{}",
        terms.version, terms.effective_date, terms.terms, terms.security_leaflet
    ))
}

pub(crate) async fn accept(target: &Target) -> anyhow::Result<()> {
    let mut client = target.signed_in().await?;
    client.accept_terms().await?;
    target.keep(&client)?;
    say(format_args!("accepted"))
}
