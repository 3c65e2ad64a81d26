"""Packs the static binaries into OCI images, without a daemon: FROM scratch needs only tar and JSON.

    build.py --binaries target/static/x86_64-unknown-linux-gnu/release --into target/images

An image holds one program, the authorities of the public Web (certifi), time zones (tzdata), and a user who is not root. Two packings of
the same binaries are the same bytes. Beside the images: `digests.yaml` for the chart, and a CycloneDX list of what each is made of.
"""

import argparse
import gzip
import hashlib
import io
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile

import certifi
import tzdata

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVICES = ["gateway", "identity", "registry", "notification", "followup", "beds", "statistics", "operator"]
TARGET = "x86_64-unknown-linux-gnu"
UID = 65532
FILES = {
    "etc/passwd": f"hersys:x:{UID}:{UID}::/:/none\n",
    "etc/group": f"hersys:x:{UID}:\n",
    # A static glibc reads it before it asks a name server.
    "etc/nsswitch.conf": "hosts: files dns\n",
}


def git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()


def layer(files: dict[str, tuple[bytes, int]]) -> bytes:
    """A tar of these files: sorted, of root, without times."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        folders = sorted({str(parent) for name in files for parent in pathlib.PurePosixPath(name).parents} - {"."})
        for folder in folders:
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name, (content, mode) in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def base(font: bytes) -> dict[str, tuple[bytes, int]]:
    files = {name: (text.encode(), 0o644) for name, text in FILES.items()}
    files["etc/ssl/certs/ca-certificates.crt"] = (pathlib.Path(certifi.where()).read_bytes(), 0o644)
    zones = pathlib.Path(tzdata.__file__).parent / "zoneinfo"
    for zone in sorted(zones.rglob("*")):
        if zone.is_file() and zone.suffix != ".py" and "__pycache__" not in zone.parts:
            files[f"usr/share/zoneinfo/{zone.relative_to(zones)}"] = (zone.read_bytes(), 0o644)
    files["usr/share/hersys/ipaexg.ttf"] = (font, 0o644)
    # What a process writes is mounted here; in a read-only root the folder must be there.
    files["var/lib/hersys/.keep"] = (b"", 0o644)
    return files


class Layout:
    """An OCI image layout of one image."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        (folder / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))

    def blob(self, kind: str, content: bytes) -> dict:
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / "blobs/sha256" / digest).write_bytes(content)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    def document(self, kind: str, content: dict) -> dict:
        return self.blob(kind, json.dumps(content, sort_keys=True, separators=(",", ":")).encode())


def image(folder: pathlib.Path, service: str, layers: list[bytes], version: str) -> str:
    # What an earlier packing left is no part of this image.
    shutil.rmtree(folder, ignore_errors=True)
    layout = Layout(folder)
    labels = {
        "org.opencontainers.image.title": f"hersys/{service}",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.revision": git("rev-parse", "HEAD"),
        "org.opencontainers.image.created": git("log", "-1", "--format=%cI"),
        "org.opencontainers.image.licenses": "Apache-2.0",
    }
    # Without time and file name, gzip of the same bytes is the same.
    packed = [layout.blob("application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(one, mtime=0)) for one in layers]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": labels["org.opencontainers.image.created"],
        "config": {
            "User": f"{UID}:{UID}",
            "Entrypoint": [f"/{service}"],
            "Env": ["SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
            "WorkingDir": "/",
            "ExposedPorts": {"8443/tcp": {}, "9443/tcp": {}},
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in layers]},
    }
    manifest = layout.document(
        "application/vnd.oci.image.manifest.v1+json",
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": layout.document("application/vnd.oci.image.config.v1+json", config),
            "layers": packed,
            "annotations": labels,
        },
    )
    manifest["annotations"] = {"org.opencontainers.image.ref.name": version}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}, sort_keys=True))
    return manifest["digest"]


def parts(service: str, version: str) -> dict:
    """What a program is made of, in CycloneDX: every crate that is linked into it, by the lock file."""
    told = subprocess.run(
        ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET],
        cwd=ROOT, stdout=subprocess.PIPE, check=True,
    )
    metadata = json.loads(told.stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting = [package["id"] for package in metadata["packages"] if package["name"] == service and package["source"] is None]
    found: set[str] = set()
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        found.add(one)
        waiting += [
            dependency["pkg"]
            for dependency in nodes[one]["deps"]
            if any(kind["kind"] in (None, "build") for kind in dependency["dep_kinds"])
        ]
    components = [
        {
            "type": "library",
            "name": package["name"],
            "version": package["version"],
            "purl": f"pkg:cargo/{package['name']}@{package['version']}",
            "licenses": [{"expression": package["license"]}] if package["license"] else [],
        }
        for package in sorted((packages[one] for one in found), key=lambda package: (package["name"], package["version"]))
        if package["source"] is not None
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": f"hersys/{service}", "version": version}},
        "components": components,
    }


def static(program: pathlib.Path) -> bool:
    """Whether a program asks for no loader: nothing else is in the image."""
    content = program.read_bytes()
    return content[:4] == b"\x7fELF" and b"/lib64/ld-linux" not in content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binaries", type=pathlib.Path, required=True)
    parser.add_argument("--font", type=pathlib.Path, required=True)
    parser.add_argument("--into", type=pathlib.Path, required=True)
    parser.add_argument("--version", default="0.1.0")
    parser.add_argument("services", nargs="*", default=SERVICES)
    told = parser.parse_args()
    ground = layer(base(told.font.read_bytes()))
    digests, placeholders = [], ""
    for service in told.services:
        program = told.binaries / service
        if not static(program):
            sys.exit(f"images: {program} is not static")
        own = layer({service: (program.read_bytes(), 0o755)})
        digest = image(told.into / service, service, [ground, own], told.version)
        (told.into / f"{service}.cdx.json").write_text(json.dumps(parts(service, told.version), indent=1))
        size = sum(blob.stat().st_size for blob in (told.into / service / "blobs/sha256").iterdir())
        print(f"  {service:<14}{size / 2**20:6.1f} MiB  {digest}")
        if service == "operator":
            # It runs the placeholders, and has a chart of its own.
            (told.into / "operator-digest.yaml").write_text(f"# For the operator's chart.\nimage: {{digest: \"{digest}\"}}\n")
            placeholders = f"surge: {{placeholders: {{image: {{digest: \"{digest}\"}}}}}}\n"
            continue
        digests.append(f"  {service}: {{image: {{digest: \"{digest}\"}}}}\n")
    head = "# For the chart: the images by digest.\n"
    (told.into / "digests.yaml").write_text(head + placeholders + "services:\n" + "".join(digests))


if __name__ == "__main__":
    main()
