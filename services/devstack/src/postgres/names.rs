//! Roles, databases, and which certificate may be which role.

/// What makes the roles and databases of the mesh, by a superuser.
pub fn databases() -> Vec<String> {
    let of = |service: &&str| {
        [
            format!("create role {service}_owner login"),
            format!("create role {service}_app login"),
            format!("create database {service} owner {service}_owner"),
            format!("revoke all on database {service} from public"),
            format!("grant connect on database {service} to {service}_app"),
        ]
    };
    proto::SERVICES.iter().flat_map(of).collect()
}

/// Which certificate may be which role, in the words of `pg_ident.conf`.
pub fn identities(service: &str) -> [String; 2] {
    [format!("mesh {service}-migrate {service}_owner"), format!("mesh {service} {service}_app")]
}
