"""Starts the real images where the development stack starts its programs, and plays the main job on them.

    run.py --images target/images --devstack target/debug/hersys-devstack --ctl target/debug/hersysctl --tools TOOLS gateway …

Each process runs in the root file system of its image (chroot), as user 65532, read-only, in a mount namespace of its own: what it needs
beside its image is mounted there, as a cluster would. Packs once more, too, and compares: the same binaries are the same images.
"""

import argparse
import gzip
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
UID = 65532
STACK = ["gateway", "identity", "registry", "notification", "followup", "beds", "statistics"]
WRAPPER = """#!/bin/sh
# Mounts belong to this process only, and end with it.
exec unshare --mount /bin/sh -ec '
chown -R {uid}:{uid} {run}/certs {run}/keys
mount --make-rprivate /
mount --bind {root} {root}
mount --bind {run} {root}{run}
mount --bind {font} {root}{font}
# As every container runtime gives them.
mount --bind /dev {root}/dev
mount -t proc proc {root}/proc
mount -o remount,bind,ro {root}
exec chroot --userspec={uid}:{uid} {root} /{service} "$@"' {service} "$@"
"""


def unpack(layout: pathlib.Path, root: pathlib.Path) -> dict:
    def blob(digest: str) -> bytes:
        return (layout / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()

    manifest = json.loads(blob(json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]))
    for layer in manifest["layers"]:
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob(layer["digest"])))) as tar:
            tar.extractall(root, filter="tar")
    return json.loads(blob(manifest["config"]["digest"]))


def digests(images: pathlib.Path) -> dict[str, str]:
    return {index.parent.name: json.loads(index.read_text())["manifests"][0]["digest"] for index in images.glob("*/index.json")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("images", "binaries", "devstack", "ctl", "tools"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("services", nargs="+", help="whose images to start; the others run as they are built beside the development stack")
    told = parser.parse_args()
    if os.getuid() != 0:
        print("  SKIPPED: starting the images needs root (chroot and mounts)")
        return
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="hersys-images-", dir="/var/tmp"))
    scratch.chmod(0o755)

    subprocess.run([sys.executable, str(HERE / "build.py"), "--binaries", str(told.binaries), "--font", str(told.tools / "ipaexg.ttf"),
                    "--into", str(scratch / "again"), *told.services], check=True, stdout=subprocess.DEVNULL)
    packed = {service: digest for service, digest in digests(told.images).items() if service in told.services}
    if digests(scratch / "again") != packed:
        sys.exit("images: two packings of the same binaries differ")

    run, programs = scratch / "run", scratch / "programs"
    run.mkdir()
    programs.mkdir()
    font = told.tools.resolve() / "ipaexg.ttf"
    for service in told.devstack.parent.iterdir():
        if service.name in STACK and service.name not in told.services:
            (programs / service.name).symlink_to(service.resolve())
    for service in told.services:
        root = scratch / "roots" / service
        root.mkdir(parents=True)
        config = unpack(told.images / service, root)
        if config["config"]["User"] != f"{UID}:{UID}" or config["config"]["Entrypoint"] != [f"/{service}"]:
            sys.exit(f"images: {service} would run as {config['config']['User']}")
        if [path.name for path in root.iterdir() if path.is_file()] != [service]:
            sys.exit(f"images: {service} holds more than its program")
        for folder in ("dev", "proc", str(run).lstrip("/")):
            (root / folder).mkdir(parents=True)
        place = root / str(font).lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
        wrapper = programs / service
        wrapper.write_text(WRAPPER.format(uid=UID, run=run, root=root, font=font, service=service))
        wrapper.chmod(0o755)
    # The stack takes its programs from the folder it is in itself.
    shutil.copy(told.devstack, programs / "hersys-devstack")
    stack = [str(programs / "hersys-devstack"), "--tools", str(told.tools), "--run", str(run)]
    try:
        began = time.monotonic()
        up = subprocess.run([*stack, "up", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if up.returncode != 0:
            sys.exit(f"images: the mesh does not come up:\n{up.stdout}")
        print(f"  the mesh of images is up after {time.monotonic() - began:.1f} s")
        described = json.loads((run / "stack.json").read_text())
        for name, process in described["services"].items():
            status = pathlib.Path(f"/proc/{process['pid']}/status").read_text()
            if name not in told.services:
                continue
            if f"Uid:\t{UID}\t{UID}" not in status:
                sys.exit(f"images: {name} does not run as {UID}")
            if os.readlink(f"/proc/{process['pid']}/root") == "/":
                sys.exit(f"images: {name} runs outside of its image")
        played = subprocess.run([str(told.ctl.resolve()), "demo", "--stack", str(run / "stack.json"), "--language", "en"],
                                cwd=scratch, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if played.returncode != 0:
            sys.exit(f"images: the demo fails on them:\n{played.stdout[-2000:]}")
        for name, process in ((name, process) for name, process in described["services"].items() if name in told.services):
            lines = pathlib.Path(f"/proc/{process['pid']}/status").read_text().splitlines()
            resident = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
            print(f"  {name:<14}{resident / 1024:6.1f} MiB resident after the demo")
    finally:
        subprocess.run([*stack, "reset"], stderr=subprocess.DEVNULL)
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"  the images of {', '.join(told.services)} do the main job, read-only and without root")


if __name__ == "__main__":
    main()
