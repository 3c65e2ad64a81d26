//! Names on the bus: the only place that spells them.

/// The stream that carries a service's events.
pub fn stream(service: &str) -> String {
    service.to_uppercase()
}

/// The wildcard subject of everything a service announces.
pub fn all_of(service: &str) -> String {
    format!("hersys.{service}.>")
}

/// The subject of one type of event.
pub fn event(service: &str, r#type: &str) -> String {
    format!("hersys.{service}.{type}")
}

/// The CloudEvents type of an event.
pub fn cloud_event_type(r#type: &str) -> String {
    format!("jp.go.hersys.{type}.v1")
}
