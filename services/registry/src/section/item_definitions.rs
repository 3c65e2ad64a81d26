//! `GetItemDefinitions`: which items a case has, so that a screen is drawn from them.

use chassis::{Call, Error};
use japan::date;
use proto::registry::{
    Choice as ChoiceView, GetItemDefinitionsRequest, GetItemDefinitionsResponse, ItemDefinition, SectionDefinition,
};

use super::definitions::{self, Item, Section};
use crate::service::Registry;

pub(crate) async fn item_definitions(
    _: Registry,
    call: Call<GetItemDefinitionsRequest>,
) -> Result<GetItemDefinitionsResponse, Error> {
    let as_of = match call.request.as_of_date.as_str() {
        "" => call.today(),
        text => date::parse(text).map_err(|_| {
            Error::invalid(
                "as_of_date",
                "日付が正しくありません（例: 2020-05-13）",
                "must be a date such as 2020-05-13",
            )
        })?,
    };
    let version = definitions::in_force(as_of);
    Ok(GetItemDefinitionsResponse {
        disease: definitions::disease().to_owned(),
        effective_date: version.effective_from.to_string(),
        source: version.source.clone(),
        sections: version.sections.iter().map(section).collect(),
    })
}

fn section(section: &Section) -> SectionDefinition {
    SectionDefinition {
        section_id: section.id.clone(),
        ja: section.ja.clone(),
        en: section.en.clone(),
        group: section.group().into(),
        items: section.items.iter().map(item).collect(),
    }
}

fn item(item: &Item) -> ItemDefinition {
    let choice = |choice: &definitions::Choice| ChoiceView {
        code: choice.code.clone(),
        ja: choice.ja.clone(),
        en: choice.en.clone(),
    };
    ItemDefinition {
        item_id: item.id.clone(),
        ja: item.ja.clone(),
        en: item.en.clone(),
        is_required: item.required.is_some(),
        fillers: item.fillers().map(Into::into).collect(),
        r#type: item.r#type().into(),
        choices: item.choices.iter().map(choice).collect(),
        kept_in: item.kept_in.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use proto::{
        identity::Role,
        registry::{Filler, GetItemDefinitionsRequest, ItemType},
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use super::item_definitions;
    use crate::fixture::Scene;

    #[tokio::test]
    async fn whoever_is_signed_in_reads_what_a_screen_is_drawn_from() -> Outcome {
        let scene = Scene::new().await?;
        let ask = |caller, as_of: &str| {
            let request = GetItemDefinitionsRequest { as_of_date: as_of.to_owned() };
            scene.ask(caller, request, item_definitions)
        };
        let administrator = scene.osaka.staff(Role::Administrator);
        let told = ask(&administrator, "").await?;
        assert_eq!((told.disease.as_str(), told.effective_date.as_str()), ("covid-19", "2020-02-01"));
        let source = told.sections.iter().find(|section| section.section_id == "source").unwrap();
        let link = source.items.iter().find(|item| item.item_id == "infection_link").unwrap();
        assert!(link.is_required && link.fillers().eq([Filler::Centre]) && link.r#type() == ItemType::Choice);
        assert_eq!(link.choices.iter().map(|choice| choice.ja.as_str()).collect::<Vec<_>>(), ["有", "無", "不明"]);
        assert!(ask(&scene.nurse, "2019-01-01").await? == told, "before the first ones, the first");
        assert_eq!(ask(&scene.nurse, "x").await.refused().code(), Code::InvalidArgument);
        Ok(())
    }
}
