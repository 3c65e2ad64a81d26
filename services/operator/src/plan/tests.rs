//! Plans for tests, and the rules of a plan.

use serde_json::{Value, json};
use time::macros::datetime;

use super::{Bounds, Level, Manual, Mode, Moment, Service, SurgePlan, SurgePlanSpec};

/// A plan with two services and three levels; a replica of either opens ten connections of a hundred.
pub(crate) fn plan() -> SurgePlanSpec {
    let service = |name: &str| Service {
        name: name.to_owned(),
        deployment: format!("hersys-{name}"),
        connections: 10,
        target_cpu_percent: 65,
    };
    let bounds = |service: &str, floor, ceiling| Bounds { service: service.to_owned(), floor, ceiling };
    let level = |name: &str, intake: (i32, i32), batch: (i32, i32), degrade: &[&str]| Level {
        name: name.to_owned(),
        bounds: vec![bounds("intake", intake.0, intake.1), bounds("batch", batch.0, batch.1)],
        placeholders: 0,
        degrade: degrade.iter().map(|name| (*name).to_owned()).collect(),
    };
    SurgePlanSpec {
        mode: Mode::Enforce,
        connection_budget: 100,
        minimum_dwell_seconds: 600,
        freeze_scale_in_from: Some("surge".to_owned()),
        state_config_map: "hersys-surge".to_owned(),
        placeholder_deployment: None,
        services: vec![service("intake"), service("batch")],
        levels: vec![
            level("normal", (1, 4), (1, 6), &[]),
            level("alert", (3, 6), (1, 4), &[]),
            level("surge", (5, 9), (1, 1), &["exports", "long_polls"]),
        ],
        manual: None,
        schedules: Vec::new(),
        signals: Vec::new(),
    }
}

/// A level set by hand.
pub(crate) fn manual(level: &str) -> Manual {
    Manual {
        level: level.to_owned(),
        reason: "a wave".to_owned(),
        requested_by: "ops".to_owned(),
        requested_at: Moment(datetime!(2022-02-01 00:00 UTC)),
        expires_at: Moment(datetime!(2022-02-01 06:00 UTC)),
    }
}

fn whole(spec: SurgePlanSpec) -> SurgePlan {
    SurgePlan::new("hersys", spec)
}

#[test]
fn a_plan_that_breaks_a_rule_is_refused_with_the_field() {
    whole(plan()).check().unwrap();
    let refused = |change: &dyn Fn(&mut Value), rule: &str| {
        let mut told = serde_json::to_value(whole(SurgePlanSpec { manual: Some(manual("alert")), ..plan() })).unwrap();
        told["spec"]["schedules"] = json!([
            { "name": "a", "days": ["Mon"], "from": "08:00", "to": "12:00", "level": "alert" },
            { "name": "b", "days": ["Mon"], "from": "22:00", "to": "02:00", "level": "alert" },
        ]);
        let source = json!({ "service": "intake", "metric": "m", "aggregate": "Max" });
        told["spec"]["signals"] = json!([{
            "name": "a", "source": source, "level": "alert", "enterAbove": 5, "enterForSeconds": 1, "exitBelow": 2,
            "exitForSeconds": 1,
        }]);
        serde_json::from_value::<SurgePlan>(told.clone()).unwrap().check().unwrap();
        change(&mut told["spec"]);
        let broken = serde_json::from_value::<SurgePlan>(told).map_err(Into::into).and_then(|plan| plan.check());
        let error = format!("{:#}", broken.expect_err(rule));
        assert!(error.contains(rule), "{rule}: {error}");
    };
    refused(&|spec| spec["levels"][1]["name"] = json!("normal"), "levels: a name may be there once only");
    refused(&|spec| spec["services"][1]["name"] = json!("intake"), "services: a name may be there once only");
    refused(&|spec| spec["levels"][1]["bounds"][0]["service"] = json!("batch"), "must have each service");
    refused(&|spec| spec["levels"][1]["bounds"] = json!([]), "must have each service");
    refused(
        &|spec| spec["levels"][2]["bounds"][0] = json!({ "service": "intake", "floor": 11, "ceiling": 11 }),
        "the floors of a level",
    );
    refused(&|spec| spec["levels"][2]["bounds"][0]["ceiling"] = json!(10), "the ceilings of a level");
    refused(&|spec| spec["levels"][0]["bounds"][0]["floor"] = json!(5), "floor: must be at most ceiling");
    refused(&|spec| spec["freezeScaleInFrom"] = json!("x"), "freezeScaleInFrom: must be a level");
    refused(&|spec| spec["manual"]["level"] = json!("x"), "manual.level: must be a level");
    refused(&|spec| spec["manual"]["expiresAt"] = json!("2022-02-01T00:00:00Z"), "expiresAt: must be after");
    refused(&|spec| spec["manual"]["expiresAt"] = json!("2022-03-05T00:00:00Z"), "within 31 days");
    refused(&|spec| drop(spec["manual"].as_object_mut().unwrap().remove("expiresAt")), "expiresAt");
    refused(&|spec| spec["schedules"][0]["level"] = json!("x"), "schedules.level: must be a level");
    refused(&|spec| spec["schedules"][1]["name"] = json!("a"), "schedules: a name may be there once only");
    refused(&|spec| spec["schedules"][0]["to"] = json!("08:00"), "to: must differ");
    refused(&|spec| spec["signals"][0]["level"] = json!("x"), "signals.level: must be a level");
    refused(&|spec| spec["signals"][0]["exitBelow"] = json!(6), "exitBelow: must be at most enterAbove");
    refused(&|spec| spec["replicas"] = json!(3), "replicas");
    refused(&|spec| spec["schedules"][0]["days"] = json!(["Someday"]), "Someday");
}

#[test]
fn what_has_no_rule_in_cel_has_one_in_the_schema() {
    let definition = super::definition().unwrap();
    for rule in [
        "maxItems: 16",
        "pattern: ^([01]",
        "- sign_in_queue",
        "minimum: 1",
        "format: date-time",
        "helm.sh/resource-policy: keep",
    ] {
        assert!(definition.contains(rule), "{rule}\n{definition}");
    }
}

#[test]
fn the_operators_chart_installs_the_definition_of_the_code() {
    let chart = include_str!("../../../../charts/hersys-operator/definition.yaml");
    assert!(
        chart == super::definition().unwrap(),
        "hersysctl surge definition > charts/hersys-operator/definition.yaml"
    );
}

#[test]
fn the_plan_of_the_chart_keeps_the_rules() {
    let rendered = include_str!("../../../../charts/hersys/golden/surge.yaml");
    let plan = SurgePlan::read(rendered).unwrap();
    assert_eq!(plan.spec.levels.len(), 4);
    // The control: the rules see a plan that does not.
    let spoiled = rendered.replace("connectionBudget: 960", "connectionBudget: 900");
    assert!(format!("{:#}", SurgePlan::read(&spoiled).unwrap_err()).contains("the ceilings of a level"));
}
