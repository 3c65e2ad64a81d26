//! Standard input and output, and messages of the contract as JSON.

use std::{
    fmt::Arguments,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
};

use anyhow::{Context as _, bail};
use prost::Message;
use prost_reflect::DynamicMessage;
use proto::Timestamp;
use runtime::clock;

/// Prompts on standard error and reads a line from standard input.
pub(crate) fn ask(what: &str) -> anyhow::Result<String> {
    eprint!("{what}: ");
    io::stderr().flush()?;
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        bail!("no {what} on standard input");
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// As [`ask`], and shows nothing of what is typed at a terminal.
pub(crate) fn ask_secret(what: &str) -> anyhow::Result<String> {
    if !io::stdin().is_terminal() {
        return ask(what);
    }
    eprint!("{what}: ");
    io::stderr().flush()?;
    Ok(rpassword::read_password()?)
}

/// A new secret; at a terminal, where nobody sees a slip of the finger, it is asked for twice.
pub(crate) fn ask_new_secret(what: &str) -> anyhow::Result<String> {
    let secret = ask_secret(what)?;
    if io::stdin().is_terminal() && ask_secret(&format!("{what} again"))? != secret {
        bail!("the two entries differ");
    }
    Ok(secret)
}

pub(crate) fn say(text: Arguments<'_>) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

pub(crate) fn print_json(message: &impl Message, type_name: &str) -> anyhow::Result<()> {
    let descriptor = proto::pool().get_message_by_name(type_name).context("not part of the contract")?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    say(format_args!("{}", serde_json::to_string_pretty(&dynamic)?))
}

/// A moment in Japan's time, to the minute.
pub(crate) fn timestamp(at: &Timestamp) -> String {
    let Some(at) = clock::from_proto(at) else { return String::new() };
    let at = at.to_offset(clock::JAPAN);
    format!("{} {:02}:{:02}", at.date(), at.hour(), at.minute())
}

/// A message as JSON in one line.
pub(crate) fn to_json(message: &impl Message, type_name: &str) -> anyhow::Result<String> {
    let descriptor = proto::pool().get_message_by_name(type_name).context("not part of the contract")?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    Ok(serde_json::to_string(&dynamic)?)
}

pub(crate) fn from_json<M: Message + Default>(text: &str, type_name: &str) -> anyhow::Result<M> {
    let descriptor = proto::pool().get_message_by_name(type_name).context("not part of the contract")?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let dynamic = DynamicMessage::deserialize(descriptor, &mut reader)?;
    reader.end()?;
    Ok(M::decode(dynamic.encode_to_vec().as_slice())?)
}
