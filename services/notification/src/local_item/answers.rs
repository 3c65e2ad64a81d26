//! The answers of a form to the local items of its area.

use access::Directory;
use chassis::Error;
use japan::date;
use proto::notification::{Form, LocalAnswer};
use runtime::problem::Violation;
use sqlx::PgConnection;

use super::{
    area::of_centre,
    model::{LocalItem, LocalItemId},
    store,
};

/// Checks the answers of a form that reaches a centre against what is asked in its area on the report date, and brings them to their
/// stored form. An answer that the version `before` gave already stays, whoever has the form by now.
pub(crate) async fn check(
    conn: &mut PgConnection,
    directory: &Directory,
    centre: access::OrganisationId,
    form: &mut Form,
    before: Option<&Form>,
) -> Result<(), Error> {
    if form.local_answers.is_empty() {
        return Ok(());
    }
    let Ok(on) = date::parse(&form.report_date) else { return Ok(()) };
    let asked = store::in_force(conn, &of_centre(directory, centre), on).await?;
    let stands = |answer: &LocalAnswer| before.is_some_and(|before| before.local_answers.contains(answer));

    let (mut answers, mut found): (Vec<LocalAnswer>, Vec<Violation>) = (Vec::new(), Vec::new());
    for (place, answer) in form.local_answers.iter().enumerate() {
        let mut fault = |ja: String, en: &str| {
            found.push(Violation::new(format!("form.local_answers[{place}]"), ja, en));
        };
        if answers.iter().any(|known| known.item_id == answer.item_id) {
            fault("同じ項目が二度あります".to_owned(), "must be answered once");
        } else if stands(answer) {
            answers.push(answer.clone());
        } else if let Some(item) = of_answer(&asked, answer) {
            match item.answer(&answer.values) {
                Ok(values) => answers.push(LocalAnswer { values, ..answer.clone() }),
                Err((ja, en)) => fault(format!("「{}」: {ja}", item.ja), en),
            }
        } else {
            let ja = "届出先の保健所の任意入力項目にありません".to_owned();
            fault(ja, "must be a local item of the area of the receiving centre, in force on the report date");
        }
    }
    if !found.is_empty() {
        return Err(Error::Invalid(found));
    }
    form.local_answers = answers;
    Ok(())
}

fn of_answer<'a>(asked: &'a [LocalItem], answer: &LocalAnswer) -> Option<&'a LocalItem> {
    let id = LocalItemId::parse(&answer.item_id).ok()?;
    asked.iter().find(|item| item.id == id)
}

#[cfg(test)]
mod tests {
    use proto::{
        identity::Role,
        notification::{FileNotificationRequest, Form, LocalAnswer, LocalItem as View},
        registry::ItemType,
    };
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use crate::{
        fixture::{Scene, amending, filing, form, forwarding, request_id},
        local_item::fixture::{item, put},
    };

    fn answering(answers: &[(&View, &str)]) -> Form {
        let answer = |(item, value): &(&View, &str)| LocalAnswer {
            item_id: item.item_id.clone(),
            values: vec![(*value).to_owned()],
        };
        // The items are in force since today.
        let report_date = "2020-06-01".to_owned();
        Form { report_date, local_answers: answers.iter().map(answer).collect(), ..form() }
    }

    #[tokio::test]
    async fn the_answers_to_what_the_area_asks_are_kept_with_the_form_for_whoever_sees_it() -> Outcome {
        let scene = Scene::new().await?;
        let administrator = scene.centre.staff(Role::Administrator);
        let since = put(&scene, &administrator, item(ItemType::Date)).await?;
        let of_prefecture = put(&scene, &scene.prefecture.staff(Role::Administrator), item(ItemType::Number)).await?;
        let form = answering(&[(&since, "R2.5.13"), (&of_prefecture, "４")]);
        let request = FileNotificationRequest { form: Some(form), ..filing() };
        let receipt = scene.file_as(&scene.doctor, request).await?;
        for caller in [&scene.doctor, &scene.nurse, &scene.coordinator] {
            let answers = scene.get(caller, &receipt).await?.form.unwrap().local_answers;
            let values: Vec<&str> = answers.iter().flat_map(|answer| &answer.values).map(String::as_str).collect();
            assert_eq!(values, ["2020-05-13", "4"]);
        }
        Ok(())
    }

    #[tokio::test]
    async fn what_was_answered_stays_when_another_centre_has_the_form() -> Outcome {
        let scene = Scene::new().await?;
        let count = put(&scene, &scene.centre.staff(Role::Administrator), item(ItemType::Number)).await?;
        let first = answering(&[(&count, "4")]);
        let request = FileNotificationRequest { form: Some(first.clone()), ..filing() };
        let receipt = scene.file_as(&scene.doctor, request).await?;
        scene.forward(&scene.nurse, forwarding(&receipt, scene.neighbour.id)).await?;
        scene.world.clock.advance(Duration::hours(1));
        scene.amend(&receipt, first).await?;
        let other = scene.amend_as(&scene.doctor, amending(&receipt, answering(&[(&count, "5")]))).await.refused();
        assert!(other.message().starts_with("form.local_answers[0]"), "{}", other.message());
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let here = put(&scene, &scene.centre.staff(Role::Administrator), item(ItemType::Number)).await?;
        let there = put(&scene, &scene.neighbour.staff(Role::Administrator), item(ItemType::Number)).await?;
        let later = View { from_date: "2020-06-02".to_owned(), ..item(ItemType::Text) };
        let later = put(&scene, &scene.centre.staff(Role::Administrator), later).await?;
        let nothing = View { item_id: request_id(), ..here.clone() };
        for (form, place) in [
            (answering(&[(&here, "四")]), 0),
            (answering(&[(&there, "4")]), 0),
            (answering(&[(&later, "x")]), 0),
            (answering(&[(&nothing, "4")]), 0),
            (answering(&[(&here, "4"), (&here, "5")]), 1),
        ] {
            let request = FileNotificationRequest { form: Some(form), ..filing() };
            let refused = scene.file_as(&scene.doctor, request).await.refused();
            assert_eq!(refused.code(), Code::InvalidArgument);
            let field = format!("form.local_answers[{place}]");
            assert!(refused.message().starts_with(&field), "{}", refused.message());
        }
        Ok(())
    }
}
