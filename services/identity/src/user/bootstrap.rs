//! A new system gets its ministry and one administrator.

use std::{io::ErrorKind, path::Path};

use access::{OrganisationId, caller::Hidden};
use anyhow::Context as _;
use proto::identity::{Organisation, OrganisationKind, Rights, Role};
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::{fs::OpenOptions, io::AsyncWriteExt as _};
use vault::Vault;

use super::{
    make::make,
    model::{INITIAL_SECRET, NewUser},
    store,
};
use crate::{
    organisation::{self, Body},
    service::{Identity, draw_secret, initial_hash},
};

/// The log-in of the first administrator.
const FIRST_LOGIN: &str = "admin";

/// Makes the first administrator, where there is no account yet. The one-time secret goes to the given file, never to the log.
///
/// # Errors
/// When the database refuses, or the file cannot be written.
pub(crate) async fn bootstrap(identity: &Identity, file: &Path) -> anyhow::Result<()> {
    let mut tx = identity.base.pool.begin().await?;
    store::lock_first(&mut tx).await?;
    if store::is_any(&mut tx).await? {
        return Ok(());
    }
    let id = OrganisationId::new();
    let ministry = Organisation {
        organisation_id: id.to_string(),
        kind: OrganisationKind::Ministry.into(),
        name: "厚生労働省".to_owned(),
        rights: Rights::Entry.into(),
        etag: "1".to_owned(),
        ..Organisation::default()
    };
    let body = Body { id, kind: OrganisationKind::Ministry, prefecture: 0, parent_id: None };
    organisation::add(&mut tx, &ministry, &body, None).await?;
    let new = NewUser {
        organisation_id: id,
        login: FIRST_LOGIN,
        role: Role::Administrator,
        holder_name: "",
        mail: "",
        hidden: Hidden::default(),
    };
    let made = make(identity, &mut tx, None, &new, identity.base.clock.now()).await?;

    // Written before the commit: a secret nobody can read would lock everybody out.
    write_secret(file, &format!("{FIRST_LOGIN}\n{}\n", made.initial_secret))
        .await
        .with_context(|| format!("write the first administrator's secret to {}", file.display()))?;
    tx.commit().await?;
    identity.base.wake.relay();
    tracing::info!("Made the first administrator");
    Ok(())
}

/// A new secret for the first administrator, where the first one went with its process: only while nobody has used it. Log-in and
/// secret; `None` where there is somebody already.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn bootstrap_again(
    pool: &PgPool,
    vault: &Vault,
    now: OffsetDateTime,
) -> anyhow::Result<Option<(&'static str, String)>> {
    let mut tx = pool.begin().await?;
    store::lock_first(&mut tx).await?;
    let Some((id, version)) = store::only_one_not_enrolled(&mut tx).await? else { return Ok(None) };
    let secret = draw_secret()?;
    store::reset(&mut tx, id, version + 1, &initial_hash(vault, &secret), now + INITIAL_SECRET).await?;
    tx.commit().await?;
    tracing::info!("Made a new secret for the first administrator");
    Ok(Some((FIRST_LOGIN, secret)))
}

/// Writes a file that only its owner can read, from its first byte on. One left by an attempt that failed is replaced.
async fn write_secret(file: &Path, text: &str) -> std::io::Result<()> {
    match tokio::fs::remove_file(file).await {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).await?;
    out.write_all(text.as_bytes()).await?;
    out.sync_all().await
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proto::identity::{NextStep, OrganisationChanged, OrganisationKind as Kind};
    use testing::Outcome;

    use crate::{
        fixture::{Scene, request_id},
        user,
    };

    #[tokio::test]
    async fn the_first_administrator_is_made_once_and_only_where_the_secret_can_be_read() -> Outcome {
        let scene = Scene::new().await?;
        let folder = std::env::temp_dir().join(format!("hersys-{}", request_id()));
        let file = folder.join("first");
        assert!(user::bootstrap(&scene.identity, &file).await.is_err(), "there is no such folder");

        std::fs::create_dir(&folder)?;
        // Left by an attempt that failed, for everybody to read.
        std::fs::write(&file, "stale")?;
        user::bootstrap(&scene.identity, &file).await?;
        assert_eq!(std::fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&file)?;
        let (login, secret) = text.trim().split_once('\n').unwrap();
        assert_eq!(scene.sign_in(login, secret).await?.next_step, i32::from(NextStep::Enrol));
        let announced: Vec<OrganisationChanged> = scene.world.announced().await?;
        let last = announced.last().and_then(|changed| changed.organisation.as_ref()).unwrap();
        assert_eq!(last.kind, i32::from(Kind::Ministry));

        std::fs::remove_dir_all(&folder)?;
        user::bootstrap(&scene.identity, &file).await?;
        assert!(!file.exists(), "there is an account already");
        Ok(())
    }

    #[tokio::test]
    async fn a_lost_secret_is_made_anew_until_somebody_has_enrolled() -> Outcome {
        let scene = Scene::new().await?;
        let (base, now) = (&scene.world.base, scene.world.clock.now());
        let again = async || user::bootstrap_again(&base.pool, &base.vault, now).await;
        assert_eq!(again().await?, None, "there is nobody yet");

        let file = std::env::temp_dir().join(format!("hersys-{}", request_id()));
        user::bootstrap(&scene.identity, &file).await?;
        let text = std::fs::read_to_string(&file)?;
        std::fs::remove_file(&file)?;
        let (login, lost) = text.trim().split_once('\n').unwrap();
        let (same, secret) = again().await?.unwrap();
        assert_eq!(same, login);
        assert!(scene.sign_in(login, lost).await.is_err(), "the lost one is good for nothing");
        assert_eq!(scene.sign_in(login, &secret).await?.next_step, i32::from(NextStep::Enrol));

        scene.issue(scene.hospital, "nurse.sato", proto::identity::Role::Nurse).await?;
        assert_eq!(again().await?, None, "it is no longer the first");
        Ok(())
    }
}
