"""Makes a virtual environment from NAME.txt (pinned, with hashes) beside this file and prints its python.

An environment that is complete is used again; another set of pins makes another environment.
"""

import argparse
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def python_of(name: str) -> pathlib.Path:
    """The interpreter of the environment, made first where it is missing."""
    pins = HERE / f"{name}.txt"
    if not pins.is_file():
        sys.exit(f"venv: there is no {pins.name}")
    folder = pathlib.Path("/var/tmp") / f"hersys-tools-{os.getuid()}"
    target = folder / hashlib.sha256(pins.read_bytes()).hexdigest()[:16]
    python = target / "bin/python"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    # One at a time: tests that run beside each other need the same one.
    with (folder / f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target / "complete").exists():
            print(f"  fetching {name} into {target}", file=sys.stderr, flush=True)
            shutil.rmtree(target, ignore_errors=True)
            # `-I`: or this file would be taken for the module of the same name.
            run([sys.executable, "-I", "-m", "venv", str(target)])
            # `--no-deps`: the list is complete, and nothing that is not on it gets in.
            run([str(python), "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
                 "--require-hashes", "-r", str(pins)])
            target.chmod(0o755)
            (target / "complete").touch()
    return python


def run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"venv: `{' '.join(command[2:5])} …` failed:\n{done.stdout}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="the name of a file NAME.txt of pins")
    print(python_of(parser.parse_args().name))
