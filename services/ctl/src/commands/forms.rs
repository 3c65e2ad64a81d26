//! Form 6-1 as it is in force on a day.

use clap::Args;
use client::Client;
use proto::notification::{AskedOf, Demand, FormItem, GetFormDefinitionRequest, Purpose, Verdict};

use crate::console::{print_json, say};

#[derive(Args)]
pub(crate) struct Form {
    /// As of this report date; today where none is given.
    #[arg(long, default_value = "")]
    as_of: String,
    /// As a report of a test done, not as the legal notification.
    #[arg(long)]
    test_report: bool,
    /// With the local items of the area of this local government code, not of your own.
    #[arg(long, default_value = "")]
    area: String,
    /// Everything, with choices, as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn show(client: &Client, args: Form) -> anyhow::Result<()> {
    let purpose = if args.test_report { Purpose::TestReport } else { Purpose::Notification };
    let request =
        GetFormDefinitionRequest { as_of_date: args.as_of, purpose: purpose.into(), municipality_code: args.area };
    let form = client.forms().get_form_definition(client.request(request)).await?.into_inner();
    if args.json {
        return print_json(&form, "hersys.notification.v1.FormDefinition");
    }
    say(format_args!("{} {}  {}", form.disease, form.form_version, form.law))?;
    for item in &form.items {
        say(format_args!("{}", line(item)))?;
    }
    for item in &form.local_items {
        say(format_args!("　 {}  {}（{}）", item.item_id, item.ja, item.r#type().as_str_name()))?;
    }
    for rule in &form.rules {
        let verdict = if rule.verdict() == Verdict::Refused { "不可" } else { "確認" };
        say(format_args!("{verdict} {}", rule.ja))?;
    }
    Ok(())
}

fn line(item: &FormItem) -> String {
    let demand = match item.demand() {
        Demand::Required => "◎",
        Demand::Chased => "○",
        Demand::Unspecified => "　",
    };
    let of = match item.asked_of() {
        AskedOf::Unspecified => "",
        AskedOf::Minor => "（未成年のみ）",
        AskedOf::Ill => "（有症状者のみ）",
        AskedOf::Deceased => "（死体のみ）",
        AskedOf::Infant => "（0歳のみ）",
        AskedOf::Female => "（女のみ）",
        AskedOf::Pregnant => "（妊婦のみ）",
        AskedOf::Vaccinated => "（接種者のみ）",
        AskedOf::Traveller => "（国外感染のみ）",
        AskedOf::Tested => "（疑似症患者・死亡疑い者を除く）",
        AskedOf::NotLatin => "（ローマ字の氏名を除く）",
    };
    let unverified = if item.is_unverified { "（原本未確認）" } else { "" };
    format!("{demand} {}  {}{of}{unverified}", item.number, item.ja)
}
