//! The rules that the annotations declare, read once from the descriptors.

use std::{
    collections::HashMap,
    sync::{LazyLock, OnceLock},
};

use prost_reflect::{DescriptorPool, MethodDescriptor};

use crate::options::{Audit, Permission, Priority, Switch};

/// What an RPC declares about itself.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The path on the wire, `/package.Service/Method`.
    pub path: String,
    /// `Method`.
    pub name: String,
    /// The full name of the request's type. No two RPCs share one: it tells which RPC is called.
    pub request: String,
    /// The full name of the answer's type.
    pub answer: String,
    /// The package without `hersys.` and version: the service that answers.
    pub package: String,
    /// Who may call.
    pub permission: Permission,
    /// What is audited.
    pub audit: Audit,
    /// Where it stands in a surge.
    pub priority: Priority,
    /// What switches it off in a surge; `None` if nothing does.
    pub switched_off_by: Option<Switch>,
    /// The same `request_id` and body give the same answer.
    pub idempotent_by_request_id: bool,
    /// Declared by protobuf's own `idempotency_level`.
    pub does_nothing_twice: bool,
    /// Asks for a second factor given a short while ago.
    pub step_up: bool,
    /// May be called before the terms of use are accepted.
    pub before_terms: bool,
    /// Services that may call an internal RPC.
    pub peers: Vec<String>,
    /// The answer is a stream.
    pub streaming: bool,
    /// Where REST finds it; `None` for RPCs between services.
    pub http: Option<Http>,
}

impl Rule {
    /// Whether it may be sent again while nobody knows whether it arrived: it knows its request by the id, or does nothing twice. What
    /// is between services only reads.
    pub fn is_repeatable(&self) -> bool {
        self.idempotent_by_request_id
            || self.does_nothing_twice
            || self.http.as_ref().is_none_or(|http| http.method == "GET")
    }
}

/// The REST binding of an RPC (`google.api.http`).
#[derive(Clone, Debug)]
pub struct Http {
    /// The HTTP method.
    pub method: &'static str,
    /// The path with its variables, `/v1/cases/{case_id}:refer`.
    pub template: String,
    /// Which field the body is: `*` for the whole request, empty for none.
    pub body: String,
}

/// The descriptors with their options resolved.
pub fn pool() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(crate::DESCRIPTORS).expect("build.rs wrote valid descriptors"))
}

/// The rule of an RPC by its path on the wire.
pub fn rule(path: &str) -> Option<&'static Rule> {
    TABLE.get(path)
}

/// The rule of the RPC that takes this type of request.
pub fn rule_for(request: &str) -> Option<&'static Rule> {
    static BY_REQUEST: LazyLock<HashMap<&'static str, &'static Rule>> =
        LazyLock::new(|| rules().map(|rule| (rule.request.as_str(), rule)).collect());
    BY_REQUEST.get(request).copied()
}

/// The type of the event that a message is, such as `case.changed`; `None` where the message does not travel on the bus.
pub fn event(message: &str) -> Option<&'static str> {
    static EVENTS: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
        let extension = pool().get_extension_by_name("hersys.options.v1.event").expect("defined in options.proto");
        let typed = |message: prost_reflect::MessageDescriptor| {
            let options = message.options();
            let name = options.has_extension(&extension).then(|| options.get_extension(&extension))?;
            Some((message.full_name().to_owned(), name.as_str()?.to_owned()))
        };
        pool().all_messages().filter_map(typed).collect()
    });
    EVENTS.get(message).map(String::as_str)
}

/// Every rule.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    TABLE.values()
}

static TABLE: LazyLock<HashMap<String, Rule>> = LazyLock::new(|| {
    pool()
        .services()
        .filter(|service| service.package_name().starts_with("hersys."))
        .flat_map(|service| service.methods().map(read).collect::<Vec<_>>())
        .map(|rule| (rule.path.clone(), rule))
        .collect()
});

fn read(method: MethodDescriptor) -> Rule {
    let extension = pool().get_extension_by_name("hersys.options.v1.rule").expect("defined in options.proto");
    let options = method.options();
    let value = options.get_extension(&extension);
    let declared = value.as_message().expect("a message by definition");
    let number = |field: &str| declared.get_field_by_name(field).and_then(|v| v.as_enum_number()).unwrap_or(0);
    let flag = |field: &str| declared.get_field_by_name(field).and_then(|v| v.as_bool()).unwrap_or(false);
    let service = method.parent_service();
    Rule {
        path: format!("/{}/{}", service.full_name(), method.name()),
        name: method.name().to_owned(),
        request: method.input().full_name().to_owned(),
        answer: method.output().full_name().to_owned(),
        package: service.package_name().split('.').nth(1).unwrap_or_default().to_owned(),
        permission: Permission::try_from(number("permission")).unwrap_or(Permission::Unspecified),
        audit: Audit::try_from(number("audit")).unwrap_or(Audit::Unspecified),
        priority: Priority::try_from(number("priority")).unwrap_or(Priority::Unspecified),
        switched_off_by: Switch::try_from(number("switched_off_by"))
            .ok()
            .filter(|switch| *switch != Switch::Unspecified),
        idempotent_by_request_id: flag("idempotent_by_request_id"),
        does_nothing_twice: does_nothing_twice(&method),
        step_up: flag("step_up"),
        before_terms: flag("before_terms"),
        peers: declared
            .get_field_by_name("peers")
            .and_then(|v| v.as_list().map(|l| l.iter().filter_map(|p| p.as_str().map(str::to_owned)).collect()))
            .unwrap_or_default(),
        streaming: method.is_server_streaming(),
        http: http(&method),
    }
}

fn does_nothing_twice(method: &MethodDescriptor) -> bool {
    let options = method.options();
    // 0 is IDEMPOTENCY_UNKNOWN.
    options
        .get_field_by_name("idempotency_level")
        .and_then(|level| level.as_enum_number())
        .is_some_and(|level| level != 0)
}

fn http(method: &MethodDescriptor) -> Option<Http> {
    let extension = pool().get_extension_by_name("google.api.http")?;
    let options = method.options();
    if !options.has_extension(&extension) {
        return None;
    }
    let value = options.get_extension(&extension);
    let declared = value.as_message()?;
    let text =
        |field: &str| declared.get_field_by_name(field)?.as_str().map(str::to_owned).filter(|text| !text.is_empty());
    let (method, template) =
        [("get", "GET"), ("post", "POST"), ("patch", "PATCH"), ("put", "PUT"), ("delete", "DELETE")]
            .into_iter()
            .find_map(|(field, method)| Some((method, text(field)?)))?;
    Some(Http { method, template, body: text("body").unwrap_or_default() })
}

/// The descriptor of an RPC by its path on the wire.
pub fn method(path: &str) -> Option<MethodDescriptor> {
    let (service, name) = path.strip_prefix('/')?.split_once('/')?;
    let service = pool().get_service_by_name(service)?;
    service.methods().find(|method| method.name() == name)
}

#[cfg(test)]
mod tests {
    use super::rules;
    use crate::options::Priority;

    #[test]
    fn what_people_depend_on_in_a_wave_is_never_switched_off() {
        let mut switched = Vec::new();
        for rule in rules().filter(|rule| rule.switched_off_by.is_some()) {
            let waits = matches!(rule.priority, Priority::Statistics | Priority::Export);
            assert!(waits, "{} is of another priority than what may wait", rule.name);
            switched.push(rule.name.as_str());
        }
        assert!(!switched.is_empty());
        assert!(!["FileNotification", "SubmitReport", "GetCase", "SignIn"].iter().any(|name| switched.contains(name)));
    }
}
