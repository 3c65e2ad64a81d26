//! The drill of `docs/operations.md`: the disk is gone, and what was archived comes back; a moment can be gone back to.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use e2e::{World, eventually};
use sqlx::{AssertSqlSafe, Executor as _};

use super::filings::{Storm, accounted_for};
use crate::Outcome;

const SERVICES: &[&str] = &["gateway", "statistics", "beds", "followup", "notification", "registry", "identity"];

/// A base backup and an archive of every finished WAL segment, as the platform keeps them.
struct Archive {
    segments: PathBuf,
    base: PathBuf,
}

impl Archive {
    /// Begins to archive.
    async fn begin(world: &mut World) -> anyhow::Result<Self> {
        let data = world.stack.postgres.data_dir.clone();
        let archive = Self { segments: data.with_extension("archive"), base: data.with_extension("base") };
        fs::create_dir(&archive.segments)?;
        own(&archive.segments, &data)?;
        let command = format!("alter system set archive_command = 'cp %p {}/%f'", archive.segments.display());
        let mut sql = world.sql("postgres").await?;
        sql.execute("alter system set archive_mode = 'on'").await?;
        sql.execute(AssertSqlSafe(command)).await?;
        world.stack.kill_postgres()?;
        world.stack.start_postgres()?;
        world.stack.wait_until_ready(Duration::from_mins(1)).await?;
        Ok(archive)
    }

    /// Takes a base backup while everything goes on.
    async fn back_up(&self, world: &World) -> Outcome {
        let mut sql = world.sql("postgres").await?;
        sql.execute("select pg_backup_start('drill', fast => true)").await?;
        run(Command::new("cp").arg("-a").arg(&world.stack.postgres.data_dir).arg(&self.base))?;
        let label: String = sqlx::query_scalar("select labelfile from pg_backup_stop()").fetch_one(&mut sql).await?;
        for gone in ["postmaster.pid", "postmaster.opts", "pg_wal"] {
            run(Command::new("rm").arg("-rf").arg(self.base.join(gone)))?;
        }
        fs::create_dir(self.base.join("pg_wal"))?;
        fs::write(self.base.join("backup_label"), label)?;
        fs::write(self.base.join("recovery.signal"), "")?;
        for new in ["pg_wal", "backup_label", "recovery.signal"] {
            own(&self.base.join(new), &self.base)?;
        }
        Ok(())
    }

    /// Finishes the segment under way, and waits until it is archived.
    async fn finish_segment(&self, world: &World) -> Outcome {
        let mut sql = world.sql("postgres").await?;
        let segment: String = sqlx::query_scalar("select pg_walfile_name(pg_switch_wal())").fetch_one(&mut sql).await?;
        let there = async || Ok(self.segments.join(&segment).exists());
        eventually("the segment is archived", Duration::from_secs(30), there).await
    }

    /// Everything stops, the disk is lost, and what was archived is brought back: all of it, or up to a moment. The bus may be ahead
    /// of the logs now, so its storage goes, too; the deployment makes its streams anew.
    async fn bring_back(&self, world: &mut World, until: Option<&str>) -> Outcome {
        for service in SERVICES {
            world.stack.kill(service)?;
        }
        world.stack.kill_nats()?;
        world.stack.kill_postgres()?;
        let data = world.stack.postgres.data_dir.clone();
        fs::remove_dir_all(&data)?;
        run(Command::new("cp").arg("-a").arg(&self.base).arg(&data))?;
        let held = fs::read_to_string(data.join("postgresql.auto.conf"))?;
        let restore = format!("restore_command = 'cp {}/%f %p'\narchive_mode = 'off'\n", self.segments.display());
        let target = match until {
            Some(until) => format!("recovery_target_time = '{until}'\n"),
            None => String::new(),
        };
        let ends = "recovery_target_timeline = 'current'\nrecovery_target_action = 'promote'\n";
        let settings = [held.as_str(), &restore, ends, &target].concat();
        fs::write(data.join("postgresql.auto.conf"), settings)?;
        world.stack.start_postgres()?;

        fs::remove_dir_all(&world.stack.nats.store_dir)?;
        world.stack.start_nats()?;
        for service in SERVICES.iter().rev() {
            world.stack.start(service)?;
        }
        world.stack.wait_until_ready(Duration::from_mins(2)).await
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.segments);
        let _ = fs::remove_dir_all(&self.base);
    }
}

/// Gives a file to whoever owns another.
fn own(path: &Path, like: &Path) -> Outcome {
    let owner = fs::metadata(like)?;
    Ok(chown(path, Some(owner.uid()), Some(owner.gid()))?)
}

fn run(command: &mut Command) -> Outcome {
    let done = command.output().with_context(|| format!("run {command:?}"))?;
    ensure!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

async fn file_some(world: &World) -> anyhow::Result<Vec<String>> {
    let filed = Storm::start(world, 8, 4).await?.ends().await;
    ensure!(filed.len() == 8, "only {} of 8 were acknowledged", filed.len());
    Ok(filed)
}

async fn stored(world: &World) -> anyhow::Result<usize> {
    let count: i64 = sqlx::query_scalar("select count(*) from notification")
        .fetch_one(&mut world.sql("notification").await?)
        .await?;
    Ok(usize::try_from(count)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_disk_costs_the_segment_under_way_and_a_moment_can_be_gone_back_to() -> Outcome {
    let mut world = World::private().await?;
    let archive = Archive::begin(&mut world).await?;
    let mut kept = file_some(&world).await?;
    archive.back_up(&world).await?;
    kept.extend(file_some(&world).await?);
    // With a number for its offset: PostgreSQL does not know the names of time zones yet when it reads where to stop.
    let moment: String =
        sqlx::query_scalar("select clock_timestamp()::text").fetch_one(&mut world.sql("notification").await?).await?;
    let later = file_some(&world).await?;
    archive.finish_segment(&world).await?;
    let under_way = file_some(&world).await?;

    // All that was archived comes back with the same keys: every receipt up to the last finished segment holds.
    archive.bring_back(&mut world, None).await?;
    let all = [&kept[..], &later[..]].concat();
    accounted_for(&world, &all).await?;
    let lost = all.len() + under_way.len() - stored(&world).await?;
    println!("of {} filings, the {lost} of the segment under way are lost", all.len() + under_way.len());
    assert_eq!(lost, under_way.len(), "one server without a second loses what it had not archived: the drill sees it");

    // Back to the moment: what came later is gone everywhere, and the mesh goes on from there.
    archive.bring_back(&mut world, Some(&moment)).await?;
    assert_eq!(stored(&world).await?, kept.len());
    kept.extend(file_some(&world).await?);
    accounted_for(&world, &kept).await
}
