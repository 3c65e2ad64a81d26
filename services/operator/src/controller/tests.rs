//! Rounds against a scripted API server: each request whole, and what goes wrong in between.

mod ends;

use std::sync::Arc;

use kube::Client;
use runtime::Clock;
use serde_json::{Value, json};
use time::macros::datetime;

use super::{Context, FINALIZER, Failure, round};
use crate::{
    observe::Metrics,
    plan::{Mode, SurgePlan, SurgePlanSpec, tests},
    testing::{Answer, Asked, Server, refusal},
};

const PLANS: &str = "/apis/surge.hersys.internal/v1alpha1/namespaces/hersys/surgeplans";
const SCALERS: &str = "/apis/autoscaling/v2/namespaces/hersys/horizontalpodautoscalers";

fn context(client: Client) -> Arc<Context> {
    Arc::new(Context::new(client, Metrics::none(), Clock::standing_at(datetime!(2022-02-01 00:00 UTC))))
}

/// A plan as the API server has it, with a level set by hand.
fn plan(change: impl FnOnce(&mut SurgePlanSpec)) -> SurgePlan {
    let mut spec = SurgePlanSpec { manual: Some(tests::manual("surge")), ..tests::plan() };
    change(&mut spec);
    let mut plan = SurgePlan::new("hersys", spec);
    let meta = &mut plan.metadata;
    (meta.namespace, meta.uid, meta.generation) = (Some("hersys".to_owned()), Some("u1".to_owned()), Some(3));
    meta.resource_version = Some("10".to_owned());
    meta.finalizers = Some(vec![FINALIZER.to_owned()]);
    meta.annotations = Some([("meta.helm.sh/release-name".to_owned(), "hersys".to_owned())].into());
    plan
}

fn deployment(name: &str, replicas: i32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name, "namespace": "hersys", "uid": format!("of-{name}") },
        "status": { "replicas": replicas, "readyReplicas": replicas },
    })
}

/// Answers as a server where everything is well.
fn well(one: &Asked) -> Answer {
    let name = one.path.rsplit('/').next().unwrap_or_default();
    match (one.verb.as_str(), one.path.as_str()) {
        ("GET", path) if path.contains("/deployments/") => Answer::Says(200, deployment(name, 2)),
        ("PATCH", path) if path.ends_with("/status") => Answer::Says(200, json!(plan(|_| {}))),
        ("POST", _) => Answer::Says(
            201,
            json!({
                "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": { "name": "e" }, "eventTime": null,
            }),
        ),
        _ => Answer::Says(200, one.body.clone()),
    }
}

#[tokio::test]
async fn a_round_writes_what_the_plan_says_and_nothing_else() {
    let server = Server::default();
    let context = context(server.client(|one, _| well(one)));
    round(Arc::new(plan(|_| {})), context).await.unwrap();
    assert_eq!(
        server.order(),
        [
            "GET deployments/hersys-intake",
            "GET deployments/hersys-batch",
            "PATCH configmaps/hersys-surge",
            "PATCH horizontalpodautoscalers/hersys-intake",
            "PATCH horizontalpodautoscalers/hersys-batch",
            "POST events",
            "PATCH surgeplans/hersys/status",
        ]
    );
    let state = &server.of("PATCH", "/configmaps/hersys-surge")[0];
    assert_eq!(
        (state.query.as_str(), state.kind.as_str()),
        ("&fieldManager=hersys-surge", "application/apply-patch+yaml")
    );
    let told: Value = serde_json::from_str(state.body["data"]["surge.json"].as_str().unwrap()).unwrap();
    let until = "2022-02-01T06:00:00Z";
    assert_eq!(told, json!({ "level": "surge", "rank": 2, "switches": ["exports", "long_polls"], "until": until }));

    let scaler = &server.of("PATCH", "/hersys-intake")[0];
    assert_eq!(scaler.path, format!("{SCALERS}/hersys-intake"));
    assert_eq!(
        (scaler.query.as_str(), scaler.kind.as_str()),
        ("&fieldManager=hersys-surge", "application/apply-patch+yaml")
    );
    assert_eq!(
        scaler.body,
        json!({
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {
                "name": "hersys-intake",
                "annotations": { "meta.helm.sh/release-name": "hersys" },
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "Deployment", "name": "hersys-intake", "uid": "of-hersys-intake" }],
            },
            "spec": {
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "hersys-intake" },
                "minReplicas": 5,
                // Nine, as soon as the other service has gone from two to one.
                "maxReplicas": 8,
                "metrics": [{ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 65 } } }],
                "behavior": {
                    "scaleUp": { "stabilizationWindowSeconds": 0, "policies": [{ "type": "Percent", "value": 100, "periodSeconds": 30 }] },
                    "scaleDown": { "selectPolicy": "Disabled" },
                },
            },
        })
    );
    let event = &server.of("POST", "/events")[0].body;
    assert_eq!(
        (&event["reason"], &event["type"], &event["action"]),
        (&json!("LevelChanged"), &json!("Warning"), &json!("Scaling"))
    );
    assert_eq!(event["regarding"]["name"], json!("hersys"));

    let report = &server.of("PATCH", "/status")[0];
    assert_eq!(report.query, "&force=true&fieldManager=hersys-surge");
    let status = &report.body["status"];
    assert_eq!(
        (&status["level"], &status["observedGeneration"], &status["until"]),
        (&json!("surge"), &json!(3), &json!(until))
    );
    assert!(status["causes"][0].as_str().unwrap().starts_with("manual: a wave"));
    assert_eq!(status["services"][0]["replicas"], json!(2));
    assert!(status["services"][0]["blockedBy"].as_str().unwrap().starts_with("connections"));
    let conditions = status["conditions"].as_array().unwrap();
    let of = |kind: &str| conditions.iter().find(|one| one["type"] == json!(kind)).unwrap()["status"].clone();
    assert_eq!((of("Ready"), of("WithinBudget"), of("SignalsKnown")), (json!("False"), json!("False"), json!("True")));
}

#[tokio::test]
async fn what_is_in_force_is_told_once() {
    let server = Server::default();
    let client = server.client(|one, _| well(one));
    round(Arc::new(plan(|_| {})), context(client.clone())).await.unwrap();
    let mut again = plan(|_| {});
    again.status = serde_json::from_value(server.of("PATCH", "/status")[0].body["status"].clone()).unwrap();
    round(Arc::new(again), context(client)).await.unwrap();
    assert_eq!(server.of("POST", "/events").len(), 1);
    let reports = server.of("PATCH", "/status");
    assert_eq!(reports[0].body, reports[1].body, "nothing moved, so nothing is written anew");
}

#[tokio::test]
async fn a_field_that_somebody_else_owns_stays_theirs_and_the_rest_goes_on() {
    let server = Server::default();
    let context = context(server.client(|one, _| {
        if one.verb == "PATCH" && one.path.ends_with("/hersys-intake") {
            return refusal(409, "Conflict", "Apply failed with 1 conflict: conflict with \"helm\": .spec.minReplicas");
        }
        well(one)
    }));
    round(Arc::new(plan(|_| {})), context).await.unwrap();
    assert!(server.asked().iter().all(|one| !one.query.contains("force") || one.path.ends_with("/status")));
    assert_eq!(server.of("PATCH", "/hersys-batch").len(), 1, "the others go on");
    let status = &server.of("PATCH", "/status")[0].body["status"];
    assert!(status["services"][0]["blockedBy"].as_str().unwrap().contains("conflict with \"helm\""));
    let ready = &status["conditions"][0];
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("Blocked")));
}

#[tokio::test]
async fn a_service_that_is_not_there_blocks_only_itself() {
    let server = Server::default();
    let context = context(server.client(|one, _| {
        if one.path.ends_with("/deployments/hersys-batch") {
            return refusal(404, "NotFound", "deployments.apps \"hersys-batch\" not found");
        }
        well(one)
    }));
    round(Arc::new(plan(|_| {})), context).await.unwrap();
    assert!(server.of("PATCH", "/hersys-batch").is_empty());
    assert_eq!(server.of("PATCH", "/hersys-intake").len(), 1);
}

#[tokio::test]
async fn a_server_that_fails_is_asked_again() {
    let server = Server::default();
    let context = context(server.client(|one, _| match one.verb.as_str() {
        "PATCH" => refusal(503, "ServiceUnavailable", "etcd leader changed"),
        _ => well(one),
    }));
    let failed = round(Arc::new(plan(|_| {})), context).await;
    assert!(matches!(failed, Err(Failure::Refused(_))), "{failed:?}");
    assert!(server.of("PATCH", "/status").is_empty(), "nothing is said to be in force");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_ends_the_round() {
    let server = Server::default();
    let context = context(server.client(|one, _| if one.verb == "PATCH" { Answer::Nothing } else { well(one) }));
    let failed = round(Arc::new(plan(|_| {})), context).await;
    assert!(matches!(failed, Err(Failure::TooLong)), "{failed:?}");
}

#[tokio::test]
async fn a_recommendation_writes_nothing_but_what_it_would_do() {
    let server = Server::default();
    let context = context(server.client(|one, _| well(one)));
    round(Arc::new(plan(|spec| spec.mode = Mode::Recommend)), context).await.unwrap();
    let written: Vec<String> = server.order().into_iter().filter(|brief| !brief.starts_with("GET")).collect();
    assert_eq!(written, ["POST events", "PATCH surgeplans/hersys/status"]);
    assert_eq!(server.of("PATCH", "/status")[0].body["status"]["services"][0]["floor"], json!(5));
}

#[tokio::test]
async fn a_plan_that_breaks_a_rule_moves_nothing() {
    let server = Server::default();
    let context = context(server.client(|one, _| well(one)));
    round(Arc::new(plan(|spec| spec.connection_budget = 50)), context).await.unwrap();
    assert_eq!(server.order(), ["PATCH surgeplans/hersys/status"]);
    let ready = &server.of("PATCH", "/status")[0].body["status"]["conditions"][0];
    assert_eq!(ready["reason"], json!("Invalid"));
    assert!(ready["message"].as_str().unwrap().contains("connectionBudget"));
}

#[tokio::test]
async fn nothing_is_written_before_it_is_sure_to_be_handed_back() {
    let server = Server::default();
    let context = context(server.client(|one, _| {
        if one.path.ends_with("/surgeplans/hersys") { Answer::Says(200, json!(plan(|_| {}))) } else { well(one) }
    }));
    let mut fresh = plan(|_| {});
    fresh.metadata.finalizers = None;
    round(Arc::new(fresh), context).await.unwrap();
    assert_eq!(server.order(), ["PATCH surgeplans/hersys"]);
    assert!(server.asked()[0].body.to_string().contains(FINALIZER));
}
