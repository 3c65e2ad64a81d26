//! `GetFormDefinition`: which items the form has, what each means and what is checked, so that a screen is drawn from it.

use chassis::{Call, Error};
use japan::{
    date,
    order::{self, Conflict},
};
use proto::{
    notification::{
        AskedOf, Demand, FormChoice, FormDefinition, FormItem, FormRule, GetFormDefinitionRequest, Purpose, Verdict,
    },
    registry::{Specimen, TestMethod},
};

use super::{
    catalogue::{self, Item},
    findings::place,
    versions::{self, FormVersion},
};
use crate::{local_item, service::Notifications};

pub(crate) async fn definition(
    notifications: Notifications,
    call: Call<GetFormDefinitionRequest>,
) -> Result<FormDefinition, Error> {
    let (base, request) = (&notifications.base, &call.request);
    let as_of = match request.as_of_date.as_str() {
        "" => call.today(),
        text => date::parse(text).map_err(|_| {
            let (ja, en) = ("日付が正しくありません（例: 2020-05-13）", "must be a date such as 2020-05-13");
            Error::invalid("as_of_date", ja, en)
        })?,
    };
    let purpose = match data::code(request.purpose) {
        Purpose::Unspecified => Purpose::Notification,
        purpose => purpose,
    };
    let no_version = || Error::Internal(anyhow::anyhow!("there is no version of the form"));
    let version = versions::in_force(as_of, call.caller.prefecture).ok_or_else(no_version)?;
    let area = local_item::area(&base.directory, &call.caller, &request.municipality_code, call.now)?;
    let local_items = local_item::in_force(&mut *base.pool.acquire().await?, &area, as_of).await?;

    Ok(FormDefinition {
        disease: catalogue::disease().to_owned(),
        form_version: version.effective_from().to_string(),
        effective_date: version.begins_in(call.caller.prefecture).to_string(),
        law: version.law.clone(),
        source: versions::source().to_owned(),
        purpose: purpose.into(),
        items: catalogue::all().iter().filter_map(|item| shown(item, version, purpose)).collect(),
        rules: order::pairs_of_form().filter_map(rule).collect(),
        local_items: local_items.iter().map(local_item::LocalItem::view).collect(),
    })
}

/// An item as the version has it. One that a later version dropped is shown where the purpose still asks for it.
fn shown(item: &Item, version: &FormVersion, purpose: Purpose) -> Option<FormItem> {
    let (demand, asked_of) = demanded(&item.number, version, purpose);
    let group = item.number.split('.').next().unwrap_or_default();
    let is_asked_for = demand != Demand::Unspecified || version.demand(purpose, group) != Demand::Unspecified;
    let day = version.effective_from();
    (item.is_on(day) || is_asked_for && item.has_begun(day)).then(|| FormItem {
        number: item.number.clone(),
        ja: item.ja.clone(),
        en: item.en.clone(),
        fields: item.fields.clone(),
        r#type: item.r#type().into(),
        choices: item.choices().iter().filter_map(|choice| offered(item, choice, version)).collect(),
        demand: demand.into(),
        asked_of: asked_of.into(),
        fillers: item.fillers().map(Into::into).collect(),
        is_unverified: version.is_unverified(&item.number),
    })
}

/// What a filing without an item means, and for whom. A day of report and a name are on every form, and a diagnosis has its method and
/// its result.
fn demanded(number: &str, version: &FormVersion, purpose: Purpose) -> (Demand, AskedOf) {
    let ruled = if matches!(number, "12.method" | "12.result") { "12" } else { number };
    let demand = match number {
        "report_date" | "2.kana" => Demand::Required,
        _ => version.demand(purpose, ruled),
    };
    let asked_of = match version.required_of(purpose, ruled) {
        AskedOf::Unspecified => versions::asked_of(number),
        people => people,
    };
    (demand, asked_of)
}

/// A choice, where the version has it: it names its methods, and of some methods fewer specimens than there are.
fn offered(item: &Item, choice: &catalogue::Choice, version: &FormVersion) -> Option<FormChoice> {
    let method = TestMethod::from_str_name(&choice.code);
    let specimen = Specimen::from_str_name(&choice.code).filter(|_| item.number == "12.specimen");
    let methods = specimen.map(|specimen| version.methods().filter(move |method| version.takes(*method, specimen)));
    let is_on = method.is_none_or(|method| version.has(method));
    is_on.then(|| FormChoice {
        code: choice.code.clone(),
        ja: choice.ja.clone(),
        en: choice.en.clone(),
        methods: methods.into_iter().flatten().map(|method| method.as_str_name().to_owned()).collect(),
    })
}

/// A pair of days as a rule, where the form has both.
fn rule(pair: Conflict) -> Option<FormRule> {
    let Conflict { earlier, later, verdict } = pair;
    Some(FormRule {
        name: earlier.after(later),
        earlier_field: place(earlier)?.to_owned(),
        later_field: place(later)?.to_owned(),
        ja: format!("{}は{}以前です", earlier.ja(), later.ja()),
        en: format!("{} must not be after {}", earlier.en(), later.en()),
        verdict: match verdict {
            order::Verdict::Impossible => Verdict::Refused,
            order::Verdict::Unusual => Verdict::AskedBack,
        }
        .into(),
        is_of_the_living: order::is_examination(earlier, later),
    })
}

#[cfg(test)]
mod tests {
    use prost::{Message as _, Name as _};
    use prost_reflect::{DynamicMessage, Kind, ReflectMessage as _, Value};
    use proto::{
        identity::Role,
        notification::{
            AskedOf, Demand, Form, FormDefinition, FormItem, FormItemType, GetFormDefinitionRequest, Purpose, Verdict,
        },
        registry::{DiagnosisClass, Filler},
    };
    use testing::{Outcome, Refused as _};
    use tonic::{Code, Status};

    use super::{definition, shown};
    use crate::{
        fixture::{PREFECTURE, Scene},
        form::{Filer, catalogue, check, versions},
    };

    async fn on(scene: &Scene, day: &str, purpose: Purpose) -> Result<FormDefinition, Status> {
        let request = GetFormDefinitionRequest {
            as_of_date: day.to_owned(),
            purpose: purpose.into(),
            ..GetFormDefinitionRequest::default()
        };
        scene.world.ask(&scene.notifications, &scene.doctor, request, definition).await
    }

    fn item<'a>(form: &'a FormDefinition, number: &str) -> &'a FormItem {
        form.items.iter().find(|item| item.number == number).unwrap_or_else(|| panic!("no item {number}"))
    }

    fn codes(form: &FormDefinition, number: &str) -> Vec<String> {
        item(form, number).choices.iter().map(|choice| choice.ja.clone()).collect()
    }

    #[tokio::test]
    async fn a_screen_is_drawn_from_the_definition_as_of_the_day() -> Outcome {
        let scene = Scene::new().await?;
        let form = on(&scene, "", Purpose::Unspecified).await?;
        assert_eq!((form.disease.as_str(), form.form_version.as_str()), ("covid-19", "2020-05-13"));
        assert_eq!((form.purpose(), form.effective_date.as_str()), (Purpose::Notification, "2020-05-13"));
        assert!(form.law.contains("健感発0513第4号"));
        let class = item(&form, "1");
        assert_eq!((class.r#type(), class.demand()), (FormItemType::Choice, Demand::Required));
        assert!(class.fillers().eq([Filler::Institution]) && class.fields == ["form.diagnosis_class"]);
        // 別記様式6-1, item 1.
        let classes =
            ["患者（確定例）", "無症状病原体保有者", "疑似症患者", "感染症死亡者の死体", "感染症死亡疑い者の死体"];
        assert_eq!(codes(&form, "1"), classes);
        assert_eq!((item(&form, "9").asked_of(), item(&form, "17").asked_of()), (AskedOf::Minor, AskedOf::Deceased));
        assert_eq!((item(&form, "16").asked_of(), item(&form, "7").demand()), (AskedOf::Ill, Demand::Chased));
        assert_eq!(item(&form, "19.remarks").demand(), Demand::Unspecified);
        assert!(item(&form, "12.method").is_unverified && !item(&form, "12.sampled").is_unverified);
        assert!(form.local_items.is_empty());

        let administrator = scene.centre.staff(Role::Administrator);
        let asked =
            scene.world.ask(&scene.notifications, &administrator, GetFormDefinitionRequest::default(), definition);
        assert!(asked.await? == form, "whoever is signed in reads it");
        Ok(())
    }

    /// Okayama Pref.: antigen tests from nasal swabs since 2020-10-02. Public form-filler: specimens by method.
    #[tokio::test]
    async fn methods_and_specimens_are_those_of_the_version() -> Outcome {
        let scene = Scene::new().await?;
        let first = on(&scene, "2020-02-01", Purpose::Notification).await?;
        assert_eq!(codes(&first, "12.method").len(), 2, "no antigen test yet");
        let later = on(&scene, "2020-10-02", Purpose::Notification).await?;
        assert_eq!(codes(&later, "12.method").len(), 4);
        let methods = |code: &str| {
            let choice = item(&later, "12.specimen").choices.iter().find(|choice| choice.code == code).unwrap();
            choice.methods.iter().map(|method| method.trim_start_matches("TEST_METHOD_").to_owned()).collect::<Vec<_>>()
        };
        let all = ["ISOLATION", "NUCLEIC_ACID", "ANTIGEN_QUALITATIVE", "ANTIGEN_QUANTITATIVE"];
        assert_eq!(methods("SPECIMEN_NASAL_SWAB"), all);
        assert_eq!(methods("SPECIMEN_SALIVA"), ["ISOLATION", "NUCLEIC_ACID", "ANTIGEN_QUANTITATIVE"]);
        assert_eq!(methods("SPECIMEN_SPUTUM"), all[..2]);
        Ok(())
    }

    /// Kyoto medical association (2021-02-10), Kyoto hospital association (2022-07-01), MHLW letter (2022-09-12).
    #[tokio::test]
    async fn a_later_version_has_what_it_added_and_not_what_it_dropped() -> Outcome {
        let scene = Scene::new().await?;
        let has = |form: &FormDefinition, number: &str| form.items.iter().any(|item| item.number == number);
        let old = on(&scene, "2020-12-31", Purpose::Notification).await?;
        assert!(!has(&old, "18.vaccination") && !has(&old, "19.risk_factors") && has(&old, "11"));
        let full = on(&scene, "R3.8.1", Purpose::Notification).await?;
        assert_eq!(codes(&full, "18.vaccination"), ["有", "無", "不明"]);
        assert_eq!(item(&full, "19.pregnancy").asked_of(), AskedOf::Female);
        let short = on(&scene, "2022-07-01", Purpose::Notification).await?;
        for number in ["6", "7", "11", "13", "15", "18", "12.method"] {
            assert!(!has(&short, number), "{number}");
        }
        assert!(item(&short, "16").is_unverified && item(&short, "12.sampled").demand() == Demand::Required);
        let test = on(&scene, "2022-07-01", Purpose::TestReport).await?;
        assert!(has(&test, "12.method"), "a test report still says by which method");
        let limited = on(&scene, "2022-09-26", Purpose::Notification).await?;
        assert_eq!(
            (item(&limited, "category").r#type(), codes(&limited, "category").len()),
            (FormItemType::Derived, 4)
        );
        assert!(has(&limited, "19.drug_needed") && !has(&short, "19.drug_needed"));
        Ok(())
    }

    /// Sets a field by its path. What is repeated has one entry.
    fn fill(message: &mut DynamicMessage, path: &str, value: &dyn Fn(&Kind) -> Option<Value>) {
        let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let field = message.descriptor().get_field_by_name(name).unwrap();
        match (rest, field.kind()) {
            (None, kind) => value(&kind).into_iter().for_each(|value| message.set_field(&field, value)),
            (Some(rest), Kind::Message(inner)) if field.is_list() => {
                let list = message.get_field_mut(&field).as_list_mut().unwrap();
                if list.is_empty() {
                    list.push(Value::Message(DynamicMessage::new(inner)));
                }
                fill(list[0].as_message_mut().unwrap(), rest, value);
            }
            (Some(rest), _) => fill(message.get_field_mut(&field).as_message_mut().unwrap(), rest, value),
        }
    }

    /// What a client that reads nothing but the definition sends: what is required of a person of this class, on a day, and no more.
    fn filled_in(items: &[FormItem], class: DiagnosisClass, day: &str) -> Form {
        let mut form = DynamicMessage::new(proto::pool().get_message_by_name(&Form::full_name()).unwrap());
        let tested = !matches!(class, DiagnosisClass::Suspected | DiagnosisClass::SuspectedDeceased);
        let is_required =
            |item: &&FormItem| item.demand() == Demand::Required && (tested || item.asked_of() != AskedOf::Tested);
        for item in items.iter().filter(is_required) {
            let value = |kind: &Kind| match (kind, item.r#type()) {
                (Kind::String, FormItemType::Date) => Some(Value::String(day.to_owned())),
                (Kind::String, _) => Some(Value::String("ヤマダ".to_owned())),
                (Kind::Enum(codes), _) => {
                    let code = if item.number == "1" { class.as_str_name() } else { &item.choices[0].code };
                    codes.get_value_by_name(code).map(|code| Value::EnumNumber(code.number()))
                }
                // The items of a group say themselves what is required of it.
                _ => None,
            };
            item.fields.iter().for_each(|field| fill(&mut form, field.trim_start_matches("form."), &value));
        }
        Form::decode(form.encode_to_vec().as_slice()).unwrap()
    }

    #[test]
    fn a_form_with_what_is_served_as_required_is_filed_and_without_any_of_it_is_refused() {
        for (version, prefecture) in versions::all().iter().flat_map(|version| [(version, PREFECTURE), (version, 4)]) {
            for purpose in [Purpose::Notification, Purpose::TestReport] {
                let served: Vec<FormItem> =
                    catalogue::all().iter().filter_map(|item| shown(item, version, purpose)).collect();
                for class in (1..=5).map(|class| DiagnosisClass::try_from(class).unwrap()) {
                    let today = version.begins_in(prefecture);
                    let file = |items: &[FormItem]| {
                        let form = Form { purpose: purpose.into(), ..filled_in(items, class, &today.to_string()) };
                        check(form, Filer { today, prefecture }, &[])
                            .map(|checked| checked.version)
                            .map_err(|faults| faults.into_iter().map(|fault| fault.field).collect::<Vec<_>>())
                    };
                    let of = format!("{today} {purpose:?} {class:?}");
                    assert_eq!(file(&served), Ok(version.effective_from()), "{of}");

                    let tested = !matches!(class, DiagnosisClass::Suspected | DiagnosisClass::SuspectedDeceased);
                    for left_out in served.iter().filter(|item| item.demand() == Demand::Required) {
                        let part = format!("{}.", left_out.number);
                        let is_kept =
                            |item: &&FormItem| item.number != left_out.number && !item.number.starts_with(&part);
                        let rest: Vec<FormItem> = served.iter().filter(is_kept).cloned().collect();
                        let is_bound = tested || left_out.asked_of() != AskedOf::Tested;
                        assert_eq!(file(&rest).is_err(), is_bound, "{of} without {}", left_out.number);
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn what_is_required_is_served_with_whom_it_is_required_of() -> Outcome {
        let scene = Scene::new().await?;
        let form = on(&scene, "2022-02-01", Purpose::Notification).await?;
        for (number, demand, asked_of) in [
            ("report_date", Demand::Required, AskedOf::Unspecified),
            ("2.kana", Demand::Required, AskedOf::NotLatin),
            ("12", Demand::Required, AskedOf::Tested),
            ("12.method", Demand::Required, AskedOf::Tested),
            ("12.result", Demand::Required, AskedOf::Tested),
            ("12.specimen", Demand::Unspecified, AskedOf::Unspecified),
        ] {
            assert_eq!((item(&form, number).demand(), item(&form, number).asked_of()), (demand, asked_of), "{number}");
        }
        let report = on(&scene, "2022-07-01", Purpose::TestReport).await?;
        assert_eq!(item(&report, "12.result").asked_of(), AskedOf::Unspecified, "a report of a test has a test");
        let short = on(&scene, "2022-07-01", Purpose::Notification).await?;
        assert_eq!(item(&short, "10.phone").demand(), Demand::Chased);
        assert!(short.items.iter().all(|item| item.number != "10.address"));
        Ok(())
    }

    #[tokio::test]
    async fn the_one_order_of_days_is_told_with_what_it_means() -> Outcome {
        let scene = Scene::new().await?;
        let form = on(&scene, "", Purpose::Notification).await?;
        let rule = |name: &str| form.rules.iter().find(|rule| rule.name == name).unwrap();
        let infected = rule("INFECTION_AFTER_ONSET");
        assert_eq!(infected.verdict(), Verdict::Refused);
        assert_eq!(infected.earlier_field, "form.findings.infection_date");
        assert_eq!(infected.later_field, "form.findings.onset_date");
        assert_eq!(infected.ja, "感染したと推定される年月日は発病年月日以前です");
        assert_eq!(rule("ONSET_AFTER_SAMPLING").verdict(), Verdict::AskedBack);
        assert!(rule("DIAGNOSIS_AFTER_DEATH").is_of_the_living && !rule("ONSET_AFTER_DEATH").is_of_the_living);
        assert!(form.rules.iter().all(|rule| !rule.name.contains("OUTCOME")), "the form has no outcome");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let good = GetFormDefinitionRequest::default;
        for (request, field) in [
            (GetFormDefinitionRequest { as_of_date: "x".to_owned(), ..good() }, "as_of_date"),
            (GetFormDefinitionRequest { purpose: 9, ..good() }, "purpose"),
            (GetFormDefinitionRequest { municipality_code: "271005".to_owned(), ..good() }, "municipality_code"),
        ] {
            let refused = scene.world.ask(&scene.notifications, &scene.doctor, request, definition).await.refused();
            assert_eq!(refused.code(), Code::InvalidArgument);
            assert!(refused.message().starts_with(field), "{}", refused.message());
        }
        Ok(())
    }
}
