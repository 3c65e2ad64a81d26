//! `surge`: handed to the program beside this one, the only one that knows a cluster's API.

use std::{ffi::OsString, os::unix::process::CommandExt as _, path::Path, process::Command};

use anyhow::Context as _;

/// The program.
const PROGRAM: &str = "hersys-surge";

/// Becomes the program. Returns only if it cannot.
pub(crate) fn run(stack: &Path, arguments: &[OsString]) -> anyhow::Result<()> {
    let here = std::env::current_exe().context("find this program")?;
    let program = here.with_file_name(PROGRAM);
    let error = Command::new(&program).args(arguments).env("HERSYS_STACK", stack).exec();
    Err(error).with_context(|| format!("`surge` needs {PROGRAM} beside {}", here.display()))
}
