//! `hersysctl surge`: shows and sets the level, on a cluster or on the development stack, and plays waves.

mod in_cluster;
mod on_stack;
mod until;

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use runtime::Clock;
use time::Date;

use crate::{
    plan::{Manual, SurgePlan},
    simulate::{self, Curve, Model},
};

/// The plan of the chart's profile `surge`, as it renders.
const OF_THE_CHART: &str = include_str!("../../../charts/hersys/golden/surge.yaml");

/// Scales the mesh in a wave by one switch.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 4 not allowed or not found, 5 refused or unreadable input, 6 try again.
#[derive(Debug, Parser)]
#[command(name = "hersysctl surge", bin_name = "hersysctl surge", version)]
pub struct Cli {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    command: Command,
}

/// Which system.
#[derive(Args, Debug)]
struct Target {
    /// The cluster that kubectl is set to, instead of the running stack.
    #[arg(long, global = true)]
    cluster: bool,
    /// The plan's namespace in the cluster.
    #[arg(long, default_value = "hersys", global = true)]
    namespace: String,
    /// The plan's name in the cluster.
    #[arg(long, default_value = "hersys", global = true)]
    name: String,
    /// The stack that `make up` runs.
    #[arg(long, env = "HERSYS_STACK", default_value = ".run/stack.json", global = true)]
    stack: PathBuf,
    /// A file with the plan, for the stack and for `simulate`. Default: that of the chart's profile `surge`.
    #[arg(long, global = true)]
    plan: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the level in force, why, and what became of each service.
    Show,
    /// Set a level by hand. It ends by itself.
    Set {
        /// The level, by its name in the plan.
        level: String,
        /// When it ends: `2h`, `90m`, `1d`, or a moment such as `2022-02-01T06:00` (Japan).
        #[arg(long)]
        until: String,
        /// Why: whoever comes after you reads it.
        #[arg(long)]
        reason: String,
    },
    /// End the level that was set by hand.
    Clear,
    /// Print the definition of the resource, as the operator's chart installs it.
    #[command(hide = true)]
    Definition,
    /// Play a curve of new cases a day through the plan: a table by week, and a picture.
    Simulate {
        /// A CSV: a date, and new cases.
        file: PathBuf,
        /// The first day.
        #[arg(long, value_parser = day)]
        from: Option<Date>,
        /// The last day.
        #[arg(long, value_parser = day)]
        to: Option<Date>,
        /// Multiplies the curve.
        #[arg(long, default_value_t = 1.0)]
        times: f64,
        /// Write a picture (SVG) here.
        #[arg(long)]
        svg: Option<PathBuf>,
    },
}

/// The input is at fault.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadInput(String);

/// Runs a command.
///
/// # Errors
/// What went wrong.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    let (target, clock) = (&cli.target, Clock::system());
    let said = match cli.command {
        Command::Simulate { file, from, to, times, svg } => {
            if !(times.is_finite() && times > 0.0) {
                return Err(BadInput("--times must be above 0".to_owned()).into());
            }
            simulate(&target.plan().await?, &file, (from, to), times, svg.as_deref())?
        }
        Command::Definition => crate::plan::definition()?,
        Command::Show if target.cluster => in_cluster::show(target).await?,
        Command::Show => on_stack::show(target, clock.now())?,
        Command::Set { level, until, reason } => {
            let requested_at = clock.now();
            let until = until::parse(&until, requested_at).map_err(|error| BadInput(format!("--until {error}")))?;
            let asked = Asked { level, until, reason, at: requested_at };
            if target.cluster { in_cluster::set(target, asked).await? } else { on_stack::set(target, asked)? }
        }
        Command::Clear if target.cluster => in_cluster::clear(target).await?,
        Command::Clear => on_stack::clear(target)?,
    };
    Ok(io::stdout().lock().write_all(said.as_bytes())?)
}

/// What somebody asks for.
struct Asked {
    level: String,
    until: time::OffsetDateTime,
    reason: String,
    at: time::OffsetDateTime,
}

impl Asked {
    /// Puts it into a plan, if it may be.
    fn put_into(self, plan: &mut SurgePlan, requested_by: String) -> anyhow::Result<Manual> {
        use crate::plan::Moment;

        if plan.spec.rank(&self.level).is_none() {
            let levels: Vec<&str> = plan.spec.levels.iter().map(|level| level.name.as_str()).collect();
            return Err(BadInput(format!("there is no level {}: {}", self.level, levels.join(", "))).into());
        }
        if self.reason.trim().is_empty() {
            return Err(BadInput("--reason must say why".to_owned()).into());
        }
        let manual = Manual {
            level: self.level,
            reason: self.reason.trim().to_owned(),
            requested_by,
            requested_at: Moment::new(self.at),
            expires_at: Moment::new(self.until),
        };
        plan.spec.manual = Some(manual.clone());
        plan.check().map_err(|error| BadInput(format!("{error:#}")))?;
        Ok(manual)
    }
}

impl Target {
    /// The plan: of a file, of the cluster, or of the chart.
    async fn plan(&self) -> anyhow::Result<SurgePlan> {
        if self.cluster && self.plan.is_none() {
            return in_cluster::plan(self).await;
        }
        self.plan_of_file()
    }

    fn plan_of_file(&self) -> anyhow::Result<SurgePlan> {
        let Some(file) = &self.plan else { return SurgePlan::read(OF_THE_CHART) };
        let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        SurgePlan::read(&text).map_err(|error| BadInput(format!("{}: {error:#}", file.display())).into())
    }
}

fn simulate(
    plan: &SurgePlan,
    file: &std::path::Path,
    (from, to): (Option<Date>, Option<Date>),
    times: f64,
    svg: Option<&std::path::Path>,
) -> anyhow::Result<String> {
    let input = fs::File::open(file).with_context(|| format!("read {}", file.display()))?;
    let curve = Curve::read(input, from, to).map_err(|error| BadInput(format!("{}: {error:#}", file.display())))?;
    let (curve, model) = (curve.times(times), Model::default());
    let steps = simulate::play(&plan.spec, &curve, &model);
    let without = simulate::play(&simulate::without_levels(&plan.spec), &curve, &model);
    if let Some(svg) = svg {
        fs::write(svg, simulate::svg(&plan.spec, &steps)).with_context(|| format!("write {}", svg.display()))?;
    }
    Ok(format!("{model}{}", simulate::weeks(&plan.spec, &steps, &without)))
}

fn day(text: &str) -> Result<Date, String> {
    simulate::date(text).ok_or_else(|| format!("`{text}` is no date"))
}

/// The exit code of a failure.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let code = if let Some(kube::Error::Api(status)) = error.downcast_ref() {
        match status.code {
            401 | 403 | 404 => 4,
            400 | 409 | 422 => 5,
            _ => 6,
        }
    } else if error.is::<BadInput>() || error.chain().any(<dyn std::error::Error>::is::<io::Error>) {
        5
    } else {
        1
    };
    ExitCode::from(code)
}

/// Where the running stack keeps the file that its processes read.
fn state_file(target: &Target) -> anyhow::Result<PathBuf> {
    if !target.stack.is_file() {
        bail!("is the stack up (make up)? For a cluster say --cluster; could not find {}", target.stack.display());
    }
    Ok(target.stack.with_file_name("surge.json"))
}
