"""Checks the chart's alerts with promtool, and that each has its runbook.

promtool comes from Debian's package `prometheus`, by apt, unpacked and not installed. Where apt does not have it, that is said and skipped.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
ALERTS = ROOT / "charts/hersys/alerts.yaml"
RUNBOOKS = ROOT / "docs/runbooks/alerts.md"
PACKAGE = "prometheus=2.42.0+ds-5+b6"
SHA256 = "3b0e0255b059a7696bd4a139a4a4eb24d71df067936a61ece5093559cbc7991c"


def promtool() -> pathlib.Path | None:
    folder = pathlib.Path("/var/tmp") / f"hersys-tools-{os.getuid()}" / SHA256[:16]
    program = folder / "promtool"
    if program.exists():
        return program
    with tempfile.TemporaryDirectory() as scratch:
        got = subprocess.run(["apt-get", "download", PACKAGE], cwd=scratch, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) if shutil.which("apt-get") else None
        packages = list(pathlib.Path(scratch).glob("*.deb"))
        if got is None or got.returncode != 0 or not packages:
            return None
        if hashlib.sha256(packages[0].read_bytes()).hexdigest() != SHA256:
            sys.exit(f"rules: {PACKAGE} is not the package that was pinned")
        subprocess.run(["dpkg-deb", "-x", str(packages[0]), scratch], check=True)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.move(f"{scratch}/usr/bin/promtool", program)
    return program


def main() -> None:
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    sections = {line.removeprefix("## ") for line in RUNBOOKS.read_text().splitlines() if line.startswith("## ")}
    for rule in rules:
        name = rule["alert"]
        if name not in sections or rule["annotations"]["runbook_url"] != f"RUNBOOKS#{name.lower()}":
            sys.exit(f"rules: {name} has no section in {RUNBOOKS.name}")
    cases = yaml.safe_load((ROOT / "tests/chart/alerts.yaml").read_text())["tests"]
    fired = {test["alertname"] for case in cases for test in case["alert_rule_test"] if test["exp_alerts"]}
    untested = {rule["alert"] for rule in rules} - fired
    if untested:
        sys.exit(f"rules: no case makes {sorted(untested)} fire")
    program = promtool()
    if program is None:
        print(f"  SKIPPED: promtool (apt does not have {PACKAGE} here)")
        return
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(ALERTS, f"{scratch}/rules.yaml")
        shutil.copy(ROOT / "tests/chart/alerts.yaml", f"{scratch}/cases.yaml")
        for words in (["check", "rules", "rules.yaml"], ["test", "rules", "cases.yaml"]):
            done = subprocess.run([str(program), *words], cwd=scratch, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode != 0:
                sys.exit(f"rules: {done.stdout}")
    print(f"  {len(rules)} alerts, each with a runbook and a case that makes it fire")


if __name__ == "__main__":
    main()
