//! Contracts (委託): who entrusts whom with what.

use clap::{Subcommand, ValueEnum};
use client::{Client, pages};
use proto::identity::{
    Contract, ContractScope, CreateContractRequest, EndContractRequest, ListContractsRequest, ListContractsResponse,
};
use uuid::Uuid;

use crate::console::{print_json, say};

#[derive(Subcommand)]
pub(crate) enum Contracts {
    /// List the contracts in which your organisation entrusts or is entrusted.
    List,
    /// Entrust others.
    Create {
        /// Whom, by id; several are entrusted jointly.
        #[arg(required = true)]
        contractors: Vec<Uuid>,
        /// With what.
        #[arg(long, value_enum, value_delimiter = ',', required = true)]
        scope: Vec<Scope>,
        /// First day.
        #[arg(long)]
        from: String,
        /// Last day.
        #[arg(long)]
        until: String,
    },
    /// End a contract.
    End { contract: Uuid },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Scope {
    Consultation,
    Testing,
    Followup,
    Entry,
}

impl From<Scope> for ContractScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Consultation => Self::Consultation,
            Scope::Testing => Self::Testing,
            Scope::Followup => Self::Followup,
            Scope::Entry => Self::Entry,
        }
    }
}

pub(crate) async fn run(client: &Client, command: Contracts) -> anyhow::Result<()> {
    match command {
        Contracts::List => {
            let all = ListContractsResponse { contracts: list(client).await?, next_page_token: String::new() };
            print_json(&all, "hersys.identity.v1.ListContractsResponse")
        }
        Contracts::Create { contractors, scope, from, until } => {
            let contractors = contractors.iter().map(Uuid::to_string).collect();
            let scopes = scope.into_iter().map(ContractScope::from).collect();
            let made = create(client, contractors, scopes, from, until).await?;
            say(format_args!("{} in force from {} to {}", made.contract_id, made.from_date, made.until_date))
        }
        Contracts::End { contract } => {
            end(client, &contract.to_string()).await?;
            say(format_args!("{contract} ended"))
        }
    }
}

/// The contracts in which the caller's organisation entrusts or is entrusted, newest first.
///
/// # Errors
/// When the caller may not see them.
pub async fn list(client: &Client) -> anyhow::Result<Vec<Contract>> {
    let all = pages(async |page_token| {
        let request = client.request(ListContractsRequest { page_size: 200, page_token });
        let page = client.contracts().list_contracts(request).await?.into_inner();
        Ok((page.contracts, page.next_page_token))
    })
    .await?;
    Ok(all)
}

/// Entrusts others from a first to a last day.
///
/// # Errors
/// When it is refused.
pub async fn create(
    client: &Client,
    contractor_ids: Vec<String>,
    scopes: Vec<ContractScope>,
    from_date: String,
    until_date: String,
) -> anyhow::Result<Contract> {
    let contract = Contract {
        contractor_ids,
        scopes: scopes.into_iter().map(i32::from).collect(),
        from_date,
        until_date,
        ..Contract::default()
    };
    let request = CreateContractRequest { request_id: Uuid::now_v7().to_string(), contract: Some(contract) };
    Ok(client.contracts().create_contract(client.request(request)).await?.into_inner())
}

/// Ends a contract before its last day.
///
/// # Errors
/// When it is refused.
pub async fn end(client: &Client, contract_id: &str) -> anyhow::Result<Contract> {
    let request = EndContractRequest {
        request_id: Uuid::now_v7().to_string(),
        contract_id: contract_id.to_owned(),
        etag: String::new(),
    };
    Ok(client.contracts().end_contract(client.request(request)).await?.into_inner())
}
