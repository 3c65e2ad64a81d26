//! Events as they were written: bytes that lie in logs must read for ever, so each event of the contract has a committed sample.
//!
//! A sample fills every field, once per alternative of a `oneof`. `make baseline` writes the samples of events that have none yet; a
//! sample that is there is never rewritten: an event that changes what its bytes mean needs a name of its own.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};

use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

use crate::pool;

fn events() -> BTreeMap<&'static str, MessageDescriptor> {
    pool().all_messages().filter_map(|message| Some((crate::event(message.full_name())?, message))).collect()
}

fn file(event: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("events").join(format!("{event}.hex"))
}

/// One sample per alternative: in sample `n`, each `oneof` holds its `n`-th field.
fn samples(message: &MessageDescriptor) -> Vec<Vec<u8>> {
    let most = message.oneofs().map(|oneof| oneof.fields().count()).max().unwrap_or(1).max(1);
    (0..most).map(|alternative| filled(message, alternative, 0).encode_to_vec()).collect()
}

fn filled(message: &MessageDescriptor, alternative: usize, depth: usize) -> DynamicMessage {
    let mut sample = DynamicMessage::new(message.clone());
    for field in message.fields() {
        let chosen = field.containing_oneof().is_none_or(|oneof| {
            let fields: Vec<FieldDescriptor> = oneof.fields().collect();
            fields[alternative.min(fields.len() - 1)] == field
        });
        if chosen && depth < 4 {
            let one = value(&field, alternative, depth);
            sample.set_field(&field, if field.is_list() { Value::List(vec![one]) } else { one });
        }
    }
    sample
}

fn value(field: &FieldDescriptor, alternative: usize, depth: usize) -> Value {
    let number = field.number();
    match field.kind() {
        Kind::Bool => Value::Bool(true),
        Kind::String => Value::String(format!("{} {number}", field.name())),
        Kind::Bytes => Value::Bytes(vec![u8::try_from(number).unwrap_or(0)].into()),
        Kind::Double => Value::F64(f64::from(number)),
        Kind::Float => Value::F32(1.0),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(i64::from(number)),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(u64::from(number)),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(number),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(i32::try_from(number).unwrap_or(0)),
        Kind::Enum(list) => Value::EnumNumber(list.values().last().map_or(0, |value| value.number())),
        Kind::Message(inner) => Value::Message(filled(&inner, alternative, depth + 1)),
    }
}

fn hex(samples: &[Vec<u8>]) -> String {
    samples.iter().fold(String::new(), |mut text, sample| {
        for byte in sample {
            let _ = write!(text, "{byte:02x}");
        }
        text + "\n"
    })
}

fn bytes(line: &str) -> Vec<u8> {
    (0..line.len() / 2).map(|place| u8::from_str_radix(&line[2 * place..2 * place + 2], 16).unwrap()).collect()
}

#[test]
fn every_event_reads_as_it_was_written() {
    if std::env::var_os("HERSYS_WRITE_EVENTS").is_some() {
        for (event, message) in events().into_iter().filter(|(event, _)| !file(event).exists()) {
            fs::write(file(event), hex(&samples(&message))).unwrap();
        }
    }
    for (event, message) in events() {
        let kept = fs::read_to_string(file(event)).unwrap_or_default();
        assert!(!kept.is_empty(), "{event} has no sample: run `make baseline`");
        for line in kept.lines() {
            let read = DynamicMessage::decode(message.clone(), bytes(line).as_slice()).unwrap();
            assert_eq!(read.unknown_fields().count(), 0, "{event} has lost a field");
            assert_eq!(hex(&[read.encode_to_vec()]).trim(), line, "{event} means something else");
        }
    }
}

/// The control: a field that is taken away, or means something else, shows.
#[test]
fn a_sample_tells_when_its_event_changes() {
    let events = events();
    let (case, transferred) = (&events["case.changed"], &events["person.corrected"]);
    let sample = samples(case).remove(0);
    let read = DynamicMessage::decode(transferred.clone(), sample.as_slice()).unwrap();
    assert!(read.unknown_fields().count() > 0);
}

#[test]
fn every_sample_belongs_to_an_event() {
    let known = events();
    let folder = file("x").parent().unwrap().to_owned();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let event = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(known.contains_key(event.as_str()), "{event} is gone, and its bytes lie in logs");
    }
}
