//! Where REST finds each RPC: from `google.api.http`.

use std::{collections::BTreeMap, sync::LazyLock};

use prost_reflect::MethodDescriptor;

/// An RPC as REST finds it.
pub(crate) struct Route {
    pub rpc: &'static str,
    pub method: MethodDescriptor,
    pub body: &'static str,
    pub streaming: bool,
}

/// Routes per path shape; each knows which methods it has.
pub(super) type Router = matchit::Router<BTreeMap<&'static str, Route>>;

/// Every public RPC by path and method.
pub(super) static ROUTER: LazyLock<Router> = LazyLock::new(|| {
    let mut shapes: BTreeMap<&'static str, BTreeMap<&'static str, Route>> = BTreeMap::new();
    for (rule, http) in proto::rules().filter_map(|rule| Some((rule, rule.http.as_ref()?))) {
        let Some(method) = proto::method(&rule.path) else { continue };
        let route = Route { rpc: &rule.path, method, body: &http.body, streaming: rule.streaming };
        shapes.entry(http.template.as_str()).or_default().insert(http.method, route);
    }
    let mut router = Router::new();
    for (template, methods) in shapes {
        if let Err(error) = router.insert(template, methods) {
            // A unit test makes sure that no routes of the contract conflict.
            tracing::error!(template, %error, "Two routes conflict");
        }
    }
    router
});

/// Every route by its template, for the description of the API.
pub(crate) fn list() -> BTreeMap<(&'static str, &'static str), &'static str> {
    let of = |rule: &'static proto::Rule| {
        let http = rule.http.as_ref()?;
        Some(((http.template.as_str(), http.method), rule.path.as_str()))
    };
    proto::rules().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use proto::options::Permission;

    use super::ROUTER;

    #[test]
    fn every_public_rpc_has_a_route_of_its_own_and_no_internal_one_has() {
        for rule in proto::rules() {
            assert_eq!(rule.http.is_some(), rule.permission != Permission::Internal, "{}", rule.path);
            let Some(http) = &rule.http else { continue };
            assert!(!http.template.contains('*') && !http.template.contains('='), "{}", http.template);
            let filled = http.template.replace(['{', '}'], "");
            let found = ROUTER.at(&filled).unwrap_or_else(|_| panic!("{} is not routed", http.template));
            assert_eq!(found.value.get(http.method).map(|route| route.rpc), Some(rule.path.as_str()), "{filled}");
        }
    }

    #[test]
    fn a_verb_is_not_part_of_an_id() {
        let found = ROUTER.at("/v1/cases/17:refer").unwrap();
        assert_eq!(found.params.get("case_id"), Some("17"));
        assert!(found.value.contains_key("POST") && !found.value.contains_key("GET"));
    }
}
