//! The session between two commands, in a file only its owner reads.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::Context as _;

use crate::client::Session;

/// Reads the kept session; `None` where there is none.
pub(crate) fn load(file: &Path) -> Option<Session> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

/// Keeps a session.
pub(crate) fn save(file: &Path, session: &Session) -> anyhow::Result<()> {
    write_secret(file, &serde_json::to_vec(session)?)
}

/// Writes what only its owner may read, mode 0600 from the first byte.
pub(crate) fn write_secret(file: &Path, content: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    let fresh = file.with_extension("new");
    let _ = fs::remove_file(&fresh);
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .with_context(|| format!("write {}", fresh.display()))?;
    out.write_all(content)?;
    fs::rename(&fresh, file).with_context(|| format!("write {}", file.display()))
}

/// Forgets the session.
pub(crate) fn forget(file: &Path) {
    let _ = fs::remove_file(file);
}
