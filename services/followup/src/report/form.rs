//! `GetReportForm`: the form in force on a day.

use chassis::{Call, Error};
use japan::date;
use proto::followup::{FormItem, GetReportFormRequest, ReportForm};

use super::model::{Form, Item};
use crate::service::Followup;

pub(crate) async fn form(_: Followup, call: Call<GetReportFormRequest>) -> Result<ReportForm, Error> {
    let day = match call.request.as_of_date.as_str() {
        "" => call.today(),
        text => date::parse(text).map_err(|why| Error::invalid("as_of_date", "日付が正しくありません", why))?,
    };
    let form = Form::on(day).ok_or(Error::NotFound("form"))?;

    let item = |item: &Item| FormItem { field: item.field.clone(), ja: item.ja.clone(), en: item.en.clone() };
    Ok(ReportForm {
        version: form.version.clone(),
        effective_date: form.effective_from.to_string(),
        source: form.source.clone(),
        items: form.items.iter().map(item).collect(),
    })
}

#[cfg(test)]
mod tests {
    use proto::followup::GetReportFormRequest;
    use testing::Outcome;
    use tonic::Code;

    use crate::{
        fixture::{Scene, assert_refused},
        report,
    };

    #[tokio::test]
    async fn the_form_of_a_day_is_told_with_its_source() -> Outcome {
        let scene = Scene::new().await?;
        for day in ["", "2020-06-01", "R2.6.1"] {
            let request = GetReportFormRequest { as_of_date: day.to_owned() };
            let form = scene.world.ask(&scene.followup, &scene.nurse, request, report::form).await?;
            assert_eq!((form.version.as_str(), form.effective_date.as_str()), ("2020-05-29", "2020-05-29"));
            assert!(form.items.iter().any(|item| item.field == "relief_date"));
        }
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let request = GetReportFormRequest { as_of_date: "tomorrow".to_owned() };
        let answer = scene.world.ask(&scene.followup, &scene.nurse, request, report::form).await;
        assert_refused(answer, Code::InvalidArgument, "as_of_date");
        Ok(())
    }
}
