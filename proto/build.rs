//! Compiles the contract and refuses it where something is open by omission: an RPC without a rule, a field without a class.

use std::{
    collections::HashMap,
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use prost::Message as _;
use prost_reflect::{DescriptorPool, ExtensionDescriptor, MessageDescriptor};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=hersys");
    println!("cargo:rerun-if-changed=vendor");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);

    let mut compiler = protox::Compiler::new([".", "vendor"])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(files(Path::new("hersys"))?)?;
    // Encoded by protox, so that the extension options survive.
    let bytes = compiler.encode_file_descriptor_set();
    fs::write(out.join("descriptors.bin"), &bytes)?;

    let pool = DescriptorPool::decode(bytes.as_slice())?;
    let gaps = gaps(&pool)?;
    if !gaps.is_empty() {
        return Err(format!("the contract has gaps:\n  {}", gaps.join("\n  ")).into());
    }

    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    let set = prost_types::FileDescriptorSet::decode(bytes.as_slice())?;
    let mut build = tonic_prost_build::configure()
        .build_transport(false)
        // Field values must not reach a log through `{:?}`. Codes may; the alternatives of a `oneof` are values.
        .skip_debug(["."])
        // Ids only.
        .enum_attribute(".hersys.identity.v1.AccessRevoked.subject", "#[derive(Debug)]");
    for codes in pool.all_enums() {
        build = build.enum_attribute(format!(".{}", codes.full_name()), "#[derive(Debug)]");
    }
    build.out_dir(&out).compile_fds_with_config(set, config)?;
    Ok(())
}

/// Every file of the contract, in one order on every machine.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// RPCs without a rule or with another's request, and fields without a class.
fn gaps(pool: &DescriptorPool) -> Result<Vec<String>, Box<dyn Error>> {
    let extension = |name: &str| pool.get_extension_by_name(name).ok_or(format!("{name} is not defined"));
    let rule = extension("hersys.options.v1.rule")?;
    let class = extension("hersys.options.v1.class")?;
    let default_class = extension("hersys.options.v1.default_class")?;

    let mut gaps = Vec::new();
    let ours = |package: &str| package.starts_with("hersys.") && package != "hersys.options.v1";
    let mut asked_by: HashMap<String, String> = HashMap::new();
    for method in pool.services().filter(|s| ours(s.package_name())).flat_map(|s| s.methods().collect::<Vec<_>>()) {
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
        // A handler finds the rule of its RPC by the type of the request.
        let request = method.input().full_name().to_owned();
        if let Some(other) = asked_by.insert(request, method.full_name().to_owned()) {
            gaps.push(format!("rpc {} shares its request with {other}", method.full_name()));
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
