//! The rules that the annotations declare, read once from the descriptors.

use std::{
    collections::HashMap,
    sync::{LazyLock, OnceLock},
};

use prost_reflect::{DescriptorPool, MethodDescriptor};

use crate::options::{Audit, Permission, Priority};

/// What an RPC declares about itself.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The path on the wire, `/package.Service/Method`.
    pub path: String,
    /// The package without `hersys.` and version: the service that answers.
    pub package: String,
    /// Who may call.
    pub permission: Permission,
    /// What is audited.
    pub audit: Audit,
    /// Where it stands in a surge.
    pub priority: Priority,
    /// The same `request_id` and body give the same answer.
    pub idempotent_by_request_id: bool,
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
        package: service.package_name().split('.').nth(1).unwrap_or_default().to_owned(),
        permission: Permission::try_from(number("permission")).unwrap_or(Permission::Unspecified),
        audit: Audit::try_from(number("audit")).unwrap_or(Audit::Unspecified),
        priority: Priority::try_from(number("priority")).unwrap_or(Priority::Unspecified),
        idempotent_by_request_id: flag("idempotent_by_request_id"),
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
