//! The end of a plan, and of a watch.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{PLANS, context, plan, well};
use crate::{
    controller::{round, run},
    testing::{Answer, Server},
};

#[tokio::test]
async fn a_plan_that_goes_hands_everything_back_at_its_normal_level() {
    let server = Server::default();
    let owners = json!([
        { "manager": "hersys-surge", "operation": "Apply", "apiVersion": "autoscaling/v2" },
        { "manager": "kube-controller-manager", "operation": "Update", "apiVersion": "autoscaling/v2", "subresource": "status" },
    ]);
    let context = context(server.client(move |one, _| {
        if one.verb == "GET" && one.path.contains("/horizontalpodautoscalers/") {
            let name = one.path.rsplit('/').next();
            return Answer::Says(200, json!({
                "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
                "metadata": { "name": name, "namespace": "hersys", "resourceVersion": "77", "managedFields": owners },
                "spec": { "maxReplicas": 4, "scaleTargetRef": { "kind": "Deployment", "name": name } },
            }));
        }
        if one.path.ends_with("/surgeplans/hersys") { Answer::Says(200, json!(plan(|_| {}))) } else { well(one) }
    }));
    let mut gone = plan(|_| {});
    gone.metadata.deletion_timestamp = serde_json::from_value(json!("2022-02-01T00:00:00Z")).unwrap();
    round(Arc::new(gone), context).await.unwrap();
    assert_eq!(
        server.order(),
        [
            "PATCH configmaps/hersys-surge",
            "GET deployments/hersys-intake",
            "PATCH horizontalpodautoscalers/hersys-intake",
            "GET deployments/hersys-batch",
            "PATCH horizontalpodautoscalers/hersys-batch",
            "GET horizontalpodautoscalers/hersys-intake",
            "PATCH horizontalpodautoscalers/hersys-intake",
            "GET horizontalpodautoscalers/hersys-batch",
            "PATCH horizontalpodautoscalers/hersys-batch",
            "PATCH surgeplans/hersys",
        ]
    );
    let state = server.of("PATCH", "/configmaps/hersys-surge")[0].body["data"]["surge.json"].to_string();
    assert!(state.contains("normal") && !state.contains("exports"), "{state}");
    let [bounds, released] = &server.of("PATCH", "/hersys-intake")[..] else { panic!("two patches") };
    assert_eq!((&bounds.body["spec"]["minReplicas"], &bounds.body["spec"]["maxReplicas"]), (&json!(1), &json!(4)));
    assert_eq!(released.kind, "application/merge-patch+json");
    assert_eq!(released.body["metadata"]["resourceVersion"], json!("77"), "not what somebody changed meanwhile");
    let kept = released.body["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(kept.iter().map(|one| &one["manager"]).collect::<Vec<_>>(), [&json!("kube-controller-manager")]);
    assert_eq!(released.body.get("spec"), None, "the bounds stay");
}

/// The whole controller: a watch that is too old is begun anew, one that breaks is resumed, and each time the plan is looked at.
#[tokio::test(start_paused = true)]
async fn a_watch_that_breaks_or_is_too_old_is_begun_anew() {
    let server = Server::default();
    let watches = std::sync::atomic::AtomicUsize::new(0);
    let client = server.client(move |one, _| {
        if one.path != PLANS {
            return well(one);
        }
        if !one.query.contains("watch=true") {
            let items = json!([plan(|_| {})]);
            return Answer::Says(
                200,
                json!({
                    "apiVersion": "surge.hersys.internal/v1alpha1", "kind": "SurgePlanList",
                    "metadata": { "resourceVersion": "10" }, "items": items,
                }),
            );
        }
        let gone = json!({ "type": "ERROR", "object": {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "too old resource version", "reason": "Expired", "code": 410,
        }});
        match watches.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Answer::Tells(vec![gone]),
            1 => Answer::Ends(Vec::new()),
            _ => {
                let mut changed = plan(|spec| spec.manual = None);
                changed.metadata.resource_version = Some("11".to_owned());
                Answer::Tells(vec![json!({ "type": "MODIFIED", "object": changed })])
            }
        }
    });
    let stop = Arc::new(tokio::sync::Notify::new());
    let asks_to_stop = Arc::clone(&stop);
    let running = run(context(client), "hersys", async move { asks_to_stop.notified().await });
    let seen = async {
        // The change that came after all that is in force.
        while !server.of("PATCH", "/status").iter().any(|one| one.body["status"]["level"] == json!("normal")) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        stop.notify_one();
    };
    tokio::time::timeout(Duration::from_mins(10), async { tokio::join!(running, seen) }).await.expect("it goes on");
    let lists = server.asked().iter().filter(|one| one.path == PLANS && !one.query.contains("watch=true")).count();
    assert!(lists >= 2, "after the old revision was gone, everything is read again");
    let begun = server.asked().iter().filter(|one| one.query.contains("watch=true")).count();
    assert!(begun >= 3, "{begun}");
    let levels: Vec<Value> =
        server.of("PATCH", "/status").iter().map(|one| one.body["status"]["level"].clone()).collect();
    assert_eq!(levels.first(), Some(&json!("surge")));
}
