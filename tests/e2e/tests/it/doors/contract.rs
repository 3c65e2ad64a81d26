//! The REST surface against its own description and against another transcoder, and the client examples as their readers
//! run them. The programs come pinned by hash, as PostgreSQL and NATS do.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use e2e::{World, amount, program};

use crate::Outcome;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Runs a command and returns what it printed; fails with all of it where the command did.
fn said(command: &mut Command) -> anyhow::Result<String> {
    let done = command.output().with_context(|| format!("run {}", command.get_program().display()))?;
    let text = [done.stdout, done.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    anyhow::ensure!(done.status.success(), "{} failed:\n{text}", command.get_program().display());
    Ok(text)
}

fn python(script: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg(Path::new(ROOT).join(script));
    command
}

/// The settings of a demo user, as `docs/clients/credentials.py` tells a shell.
fn settings(world: &World, login: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
    let credentials = world.stack.credentials(login)?;
    Ok(vec![
        ("HERSYS_GATEWAY", world.stack.gateway.url.clone()),
        ("HERSYS_CA", world.stack.gateway.ca.display().to_string()),
        ("HERSYS_LOGIN", credentials.login),
        ("HERSYS_PASSWORD", credentials.password),
        ("HERSYS_OTP_SECRET", credentials.otp_secret),
    ])
}

/// What every example must have shown.
fn showed_everything(text: &str) {
    for part in ["27-", "大阪市保健所", "form.subject.birth_date"] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}

#[tokio::test]
async fn the_example_in_rust_does_what_it_says() -> Outcome {
    let world = World::shared()?;
    let text = said(program("client-example")?.envs(settings(&world, "clinic-physician")?))?;
    showed_everything(&text);
    Ok(())
}

#[tokio::test]
async fn the_example_in_python_does_what_it_says() -> Outcome {
    let world = World::shared()?;
    let interpreter = said(python("tests/contract/venv.py").arg("grpc"))?;
    let interpreter =
        interpreter.lines().find(|line| line.starts_with('/')).context("venv.py prints where Python is")?;
    let text = said(
        Command::new(interpreter)
            .arg(Path::new(ROOT).join("docs/clients/python/client.py"))
            .envs(settings(&world, "tokyo-physician")?),
    )?;
    showed_everything(&text);
    Ok(())
}

#[tokio::test]
async fn the_example_in_typescript_does_what_it_says() -> Outcome {
    let world = World::shared()?;
    // In a copy of its own, as far below the project as it stands there: building it makes files.
    let place = Path::new(ROOT).join("docs/clients/typescript");
    let copy: PathBuf = world.stack.run.join("typescript/docs/clients/typescript");
    said(Command::new("mkdir").arg("-p").arg(&copy))?;
    said(Command::new("cp").arg("-r").arg(place.join(".")).arg(&copy))?;
    said(
        Command::new("ln")
            .arg("-sfn")
            .arg(fs::canonicalize(Path::new(ROOT).join("proto"))?)
            .arg(world.stack.run.join("typescript/proto")),
    )?;
    said(Command::new("npm").args(["ci", "--ignore-scripts", "--no-progress"]).current_dir(&copy))?;
    said(Command::new("npm").args(["run", "build"]).current_dir(&copy))?;
    let text = said(Command::new("npm").arg("start").current_dir(&copy).envs(settings(&world, "hospital-physician")?))?;
    showed_everything(&text);
    Ok(())
}

#[tokio::test]
async fn the_rest_surface_is_what_it_says_and_answers_as_another_transcoder_does() -> Outcome {
    // Of its own: lists must stand still while they are compared, and what is generated disables IDs and fills every list.
    let world = World::private().await?;
    let (stack, descriptors) = (world.stack.run.join("stack.json"), world.stack.run.join("descriptors.bin"));
    fs::write(&descriptors, program("hersysctl")?.arg("contract").output()?.stdout)?;
    let text = said(python("tests/contract/transcoding.py").arg(&stack).arg(&descriptors))?;
    assert!(text.contains("transcoding passed"), "{text}");
    said(python("tests/contract/surface.py").arg(&stack).args(amount(&[][..], &["--soak"][..])))?;
    // The control: a description that is wrong in one status and one schema is found out.
    let text = said(python("tests/contract/surface.py").arg(&stack).arg("--control"))?;
    assert!(text.contains("both faults were found"), "{text}");
    Ok(())
}
