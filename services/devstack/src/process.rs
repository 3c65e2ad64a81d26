//! Processes that outlive the command that started them, and are stopped only by their own ids.

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};

/// Starts a process in a group of its own, its output in a log file. Returns its id.
///
/// # Errors
/// When it cannot be started.
pub fn start(command: &mut Command, log: &Path) -> anyhow::Result<u32> {
    let out = File::options().create(true).append(true).open(log).with_context(|| format!("open {}", log.display()))?;
    let child = command
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .process_group(0)
        .spawn()
        .with_context(|| format!("start {}", command.get_program().to_string_lossy()))?;
    Ok(child.id())
}

/// Whether a process with this id runs this program.
pub fn is_alive(pid: u32, program: &str) -> bool {
    reap(pid);
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
        if line.is_empty() {
            // In the middle of `exec`, or a zombie (ended and not yet reaped).
            return fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        }
        // Or a script that is about to become it.
        line.split(|byte| *byte == 0).any(|argument| {
            Path::new(&*String::from_utf8_lossy(argument)).file_name().is_some_and(|name| name == program)
        })
    })
}

/// Sends a signal to a process.
///
/// # Errors
/// When there is no such process.
pub fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    kill(Pid::from_raw(i32::try_from(pid)?), signal).with_context(|| format!("signal process {pid}"))
}

/// Asks a process to stop and waits for it; after `patience` it is killed.
///
/// # Errors
/// When it survives even that.
pub fn stop(pid: u32, program: &str, ask: Signal, patience: Duration) -> anyhow::Result<()> {
    if !is_alive(pid, program) {
        return Ok(());
    }
    let _ = signal(pid, ask);
    if wait_until(patience, || !is_alive(pid, program)) {
        return Ok(());
    }
    let _ = signal(pid, Signal::SIGKILL);
    if wait_until(Duration::from_secs(5), || !is_alive(pid, program)) {
        return Ok(());
    }
    bail!("process {pid} ({program}) does not stop")
}

/// Kills a process and its children at once, as a power cut would, and waits until all of them are gone. Children that outlive their
/// parent for a moment would keep its memory and its locks.
///
/// # Errors
/// When one of them survives.
pub fn kill_family(pid: u32, program: &str) -> anyhow::Result<()> {
    let children = children(pid);
    stop(pid, program, Signal::SIGKILL, Duration::from_secs(30))?;
    for child in &children {
        let _ = signal(*child, Signal::SIGKILL);
    }
    // Those who lost their parent are the system's to reap.
    let runs = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z ") && stat.contains(program))
    };
    if wait_until(Duration::from_secs(30), || !children.iter().any(runs)) {
        return Ok(());
    }
    bail!("children of process {pid} ({program}) do not stop")
}

/// A process and those it started, such as a database server's.
pub fn family(pid: u32) -> Vec<u32> {
    std::iter::once(pid).chain(children(pid)).collect()
}

/// The processes that a process started.
fn children(pid: u32) -> Vec<u32> {
    let parent_of = |stat: String| stat.rsplit(") ").next()?.split(' ').nth(1)?.parse::<u32>().ok();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|child| fs::read_to_string(format!("/proc/{child}/stat")).ok().and_then(parent_of) == Some(pid))
        .collect()
}

/// Polls until something holds; `false` if it does not within `patience`.
pub fn wait_until(patience: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    loop {
        if holds() {
            return true;
        }
        if started.elapsed() > patience {
            return false;
        }
        pause();
    }
}

/// A port nobody listens on, below the range that the system uses for outgoing connections: a port from that range
/// could be taken before its server starts. Stacks started at the same time look in different places.
///
/// # Errors
/// When there is none.
pub fn free_port() -> anyhow::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20_000;
    const PORTS: u16 = 12_000;
    let start = u16::try_from(std::process::id() % 240)? * 50;
    for _ in 0..PORTS {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free")
}

/// A given port if it is free, else another.
///
/// # Errors
/// When there is none.
pub fn port_or_free(wanted: u16) -> anyhow::Result<u16> {
    if TcpListener::bind(("127.0.0.1", wanted)).is_ok() { Ok(wanted) } else { free_port() }
}

/// A child that has ended stays a zombie until it is reaped.
fn reap(pid: u32) {
    if let Ok(pid) = i32::try_from(pid) {
        // This fails if it is not our child; then somebody else reaps it.
        let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
    }
}

#[expect(clippy::disallowed_methods, reason = "a command waiting for processes, with nothing else to do")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}
