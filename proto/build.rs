//! Compiles the contract and refuses it where a rule or a classification is missing.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;
use prost_reflect::{DescriptorPool, ExtensionDescriptor, MessageDescriptor};

const FILES: &[&str] = &[
    "hersys/beds/v1/beds.proto",
    "hersys/beds/v1/events.proto",
    "hersys/followup/v1/events.proto",
    "hersys/followup/v1/followup.proto",
    "hersys/identity/v1/directory.proto",
    "hersys/identity/v1/events.proto",
    "hersys/identity/v1/identity.proto",
    "hersys/identity/v1/issuance.proto",
    "hersys/identity/v1/patients.proto",
    "hersys/identity/v1/sessions.proto",
    "hersys/notification/v1/events.proto",
    "hersys/notification/v1/notification.proto",
    "hersys/operations/v1/audit.proto",
    "hersys/operations/v1/keys.proto",
    "hersys/operations/v1/operations.proto",
    "hersys/registry/v1/events.proto",
    "hersys/registry/v1/internal.proto",
    "hersys/registry/v1/registry.proto",
    "hersys/statistics/v1/statistics.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=hersys");
    println!("cargo:rerun-if-changed=vendor");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);

    let mut compiler = protox::Compiler::new([".", "vendor"])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(FILES)?;
    // Encoded by protox, so that the extension options survive.
    let bytes = compiler.encode_file_descriptor_set();
    fs::write(out.join("descriptors.bin"), &bytes)?;

    let gaps = gaps(&DescriptorPool::decode(bytes.as_slice())?)?;
    if !gaps.is_empty() {
        return Err(format!("the contract is open by omission:\n  {}", gaps.join("\n  ")).into());
    }

    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    let set = prost_types::FileDescriptorSet::decode(bytes.as_slice())?;
    tonic_prost_build::configure()
        .build_transport(false)
        // Field values must not reach a log through `{:?}`.
        .skip_debug(["."])
        .enum_attribute(".", "#[derive(Debug)]")
        .out_dir(&out)
        .compile_fds_with_config(set, config)?;

    // The wire format of traces. Not part of the contract: neither described nor reflected.
    let otlp = protox::compile(["opentelemetry/proto/collector/trace/v1/trace_service.proto"], ["vendor"])?;
    let folder = out.join("otlp");
    fs::create_dir_all(&folder)?;
    tonic_prost_build::configure().build_transport(false).include_file("mod.rs").out_dir(&folder).compile_fds(otlp)?;
    Ok(())
}

/// RPCs without a rule and fields without a classification.
fn gaps(pool: &DescriptorPool) -> Result<Vec<String>, Box<dyn Error>> {
    let extension = |name: &str| pool.get_extension_by_name(name).ok_or(format!("{name} is not defined"));
    let rule = extension("hersys.options.v1.rule")?;
    let class = extension("hersys.options.v1.class")?;
    let default_class = extension("hersys.options.v1.default_class")?;

    let mut gaps = Vec::new();
    let ours = |package: &str| package.starts_with("hersys.") && package != "hersys.options.v1";
    for service in pool.services().filter(|s| ours(s.package_name())) {
        for method in service.methods() {
            let options = method.options();
            let declared = options.has_extension(&rule) && {
                let rule = options.get_extension(&rule);
                let rule = rule.as_message().ok_or("rule is not a message")?;
                ["permission", "audit", "priority"]
                    .iter()
                    .all(|field| rule.get_field_by_name(field).and_then(|v| v.as_enum_number()).unwrap_or(0) != 0)
            };
            if !declared {
                gaps.push(format!("rpc {} declares no permission, audit or priority", method.full_name()));
            }
        }
    }
    for message in pool.all_messages().filter(|m| ours(m.package_name()) && !m.is_map_entry()) {
        if !classified(&message, &class, &default_class)? {
            gaps.push(format!("message {} has fields without a class", message.full_name()));
        }
    }
    Ok(gaps)
}

fn classified(
    message: &MessageDescriptor,
    class: &ExtensionDescriptor,
    default_class: &ExtensionDescriptor,
) -> Result<bool, Box<dyn Error>> {
    Ok(message.options().has_extension(default_class)
        || message.fields().all(|field| field.options().has_extension(class)))
}
