//! Files that only their owner may read: the session, initial secrets, slips.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::Context as _;

/// Replaces a file, mode 0600 from the first byte.
pub(crate) fn write(file: &Path, content: &[u8]) -> anyhow::Result<()> {
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
