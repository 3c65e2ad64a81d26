"""Checks the charts: they render in every profile, say what is wrong in words of their own, and what they render keeps the rules.

    python3 check.py                 all checks, fifty random sets of values
    python3 check.py --sets 1000     more of them
    python3 check.py --write         writes the golden renders and the chart's README anew
"""

import argparse
import pathlib
import random
import re
import subprocess
import sys

import jsonschema
import kubernetes_validate
import policy
import readme
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/hersys"
OPERATOR = ROOT / "charts/hersys-operator"
PROFILES = {"dev": ["dev"], "ha": ["ha"], "surge": ["ha", "surge"]}
# The API versions of the schemas, and what the chart is told the cluster is.
VERSIONS = ["1.34", "1.35", "1.36"]
ODD_NAMES = ["n", "on", "1e3", "true", "null", "a" * 53]
# What a refusal of ours begins with; anything else is a template that broke.
OURS = re.compile(r"guards\.yaml:\d+:\d+\): (services|calls|database|edge|keys|surge)\b|values don't meet the specifications of the schema")


class Helm:
    def __init__(self, program: str) -> None:
        self.program = program

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run([self.program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def template(self, name: str, *arguments: str) -> subprocess.CompletedProcess:
        return self.run("template", name, str(CHART), "--namespace", "hersys", *arguments)


def values_of(profile: str) -> list[str]:
    return [argument for part in PROFILES[profile] for argument in ("-f", str(CHART / f"values-{part}.yaml"))]


def objects(text: str) -> list[dict]:
    return [found for found in yaml.safe_load_all(text) if found]


def plan_schema() -> dict:
    """What the API server asks of a SurgePlan before its CEL rules, unknown fields included."""

    def closed(schema: dict) -> dict:
        closed_by = {"additionalProperties": False} if "properties" in schema and "additionalProperties" not in schema else {}
        return {key: closed(value) if isinstance(value, dict) else value for key, value in schema.items()} | closed_by

    definition = yaml.safe_load((OPERATOR / "definition.yaml").read_text())
    return closed(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"])


def validate(rendered: list[dict], version: str) -> None:
    for one in rendered:
        if one["kind"] == "SurgePlan":
            jsonschema.validate(one["spec"], plan_schema())
        # Resources of operators have no schema here; `policy` looks at those that matter.
        if "." not in one["apiVersion"].split("/")[0] or one["apiVersion"].split("/")[0].endswith(".k8s.io"):
            if one["apiVersion"].startswith("gateway."):
                continue
            kubernetes_validate.validate(one, version, strict=True)


def check_profiles(helm: Helm, write: bool) -> None:
    for profile in PROFILES:
        linted = helm.run("lint", "--strict", str(CHART), *values_of(profile))
        assert linted.returncode == 0, linted.stdout + linted.stderr
        for version in VERSIONS:
            done = helm.template("hersys", "--kube-version", f"{version}.0", *values_of(profile))
            assert done.returncode == 0, done.stderr
            rendered = objects(done.stdout)
            validate(rendered, version)
            broken = policy.broken(rendered, policy.calls(CHART))
            assert not broken, f"{profile}: " + "\n".join(broken)
        golden = CHART / f"golden/{profile}.yaml"
        if write:
            golden.write_text(done.stdout)
        assert golden.read_text() == done.stdout, f"{golden.name} is not what the chart renders; `check.py --write` and look at the difference"


def check_operator(helm: Helm, write: bool) -> None:
    """The operator's chart: the same rules, and no right that it does not need."""
    some = ["--set", "monitoring.podMonitor=true,monitoring.namespace=monitoring,priorityClass.create=true"]
    linted = helm.run("lint", "--strict", str(OPERATOR), *some)
    assert linted.returncode == 0, linted.stdout + linted.stderr
    for version in VERSIONS:
        done = helm.run("template", "hersys-operator", str(OPERATOR), "--namespace", "hersys", "--kube-version", f"{version}.0", *some)
        assert done.returncode == 0, done.stderr
        rendered = objects(done.stdout)
        validate(rendered, version)
        broken = policy.operator_broken(rendered)
        assert not broken, "\n".join(broken)
    golden = OPERATOR / "golden/operator.yaml"
    if write:
        golden.write_text(done.stdout)
    assert golden.read_text() == done.stdout, "golden/operator.yaml is not what the chart renders; `check.py --write`"
    for fault in policy.OPERATOR_FAULTS:
        spoiled = objects(done.stdout)
        fault(spoiled)
        assert policy.operator_broken(spoiled), f"{fault.__name__} is not seen"
    plan = next(one for one in objects((CHART / "golden/surge.yaml").read_text()) if one["kind"] == "SurgePlan")
    plan["spec"]["levels"][0]["bounds"][0]["floor"] = 0
    try:
        jsonschema.validate(plan["spec"], plan_schema())
        raise SystemExit("chart: a floor of 0 is not seen")
    except jsonschema.ValidationError:
        pass
    for name in ODD_NAMES:
        done = helm.run("template", name, str(OPERATOR), "--namespace", "hersys")
        assert done.returncode == 0 and not policy.operator_broken(objects(done.stdout)), f"{name}: {done.stderr}"
    for values, rule in [("unknown=1", "unknown"), ("replicas=0", "replicas"), ("image.digest=latest", "digest"), ("apiServer.networks={x}", "networks")]:
        done = helm.run("template", "hersys-operator", str(OPERATOR), "--set", values)
        assert done.returncode != 0 and rule in done.stderr, f"{values}: {done.stderr}"


def check_names(helm: Helm) -> None:
    for name in ODD_NAMES:
        done = helm.template(name, *values_of("ha"))
        assert done.returncode == 0, f"{name}: {done.stderr}"
        rendered = objects(done.stdout)
        validate(rendered, VERSIONS[-1])
        assert not policy.broken(rendered, policy.calls(CHART)), name
        for one in rendered:
            assert len(one["metadata"]["name"]) <= 63, one["metadata"]["name"]


def check_refusals(helm: Helm) -> None:
    refused = [
        ("unknown=1", "unknown"),
        ("services.registry.replcas=2", "replcas"),
        ("defaults.autoscaling.min=9", "is more than max"),
        ("services.gateway.image.digest=latest", "digest"),
        ("database.maxConnections=100", "database.maxConnections: all replicas together"),
        ("defaults.maxUnavailable=2", "would leave none"),
        ("edge.externalTrafficPolicy=Cluster", "edge.perAddress"),
        ("edge.exposure=TLSRoute", "edge.perAddress: behind a TLSRoute"),
        ("services.registry.env.HERSYS_OTLP=http://otel:4317", "nothing here speaks without TLS"),
        ("calls.beds={registry,nobody}", "calls"),
        ("edge.certificate.issuer.name=public,edge.certificate.secret=", "edge.certificate: an issuer needs"),
        ("keys.external.enabled=true", "keys.external.store.name"),
        ("defaults.autoscaling.enabled=false,defaults.replicas=1,defaults.maxUnavailable=0", "two of everything"),
    ]
    of_a_surge = [
        ("surge.levels=null", "surge.levels: at least one"),
        ("surge.levels[0].bounds.beds=null", "bounds/beds"),
        ("surge.levels[1].bounds.beds.floor=9", "more than its ceiling"),
        ("surge.levels[1].name=normal", "surge.levels: normal is there twice"),
        ("surge.levels[3].bounds.registry.ceiling=99", "database.maxConnections: all replicas together"),
        ("surge.levels[0].bounds.gateway.floor=1", "services.gateway"),
        ("surge.signals[0].level=nowhere", "which is no level"),
        ("surge.freezeScaleInFrom=nowhere", "surge.freezeScaleInFrom"),
        ("surge.importance={gateway}", "surge.importance"),
        ("surge.placeholders.image.digest=", "surge.placeholders.image.digest"),
        ("surge.levels[2].degrade={filing}", "degrade"),
        ("surge.schedules[0].from=7:30", "from"),
    ]
    cases = [("ha", *case) for case in refused] + [("surge", *case) for case in of_a_surge]
    for profile, values, rule in cases:
        done = helm.template("hersys", *values_of(profile), "--set", values)
        assert done.returncode != 0, f"{values} is taken"
        assert rule in done.stderr and OURS.search(done.stderr), f"{values}: {done.stderr}"
    by_tag = helm.template("hersys", *values_of("dev"), "--set", "profile=ha")
    assert "image.digest: is required in profile ha" in by_tag.stderr, by_tag.stderr
    # The control: the same command without them renders.
    assert helm.template("hersys", *values_of("ha"), "--set", "edge.externalTrafficPolicy=Local").returncode == 0


def some_values(dice: random.Random) -> list[str]:
    toggles = {
        "profile": ["dev", "ha"],
        "defaults.autoscaling.enabled": ["true", "false"],
        "surge.enabled": ["true", "false"],
        "surge.mode": ["Enforce", "Recommend"],
        "surge.freezeScaleInFrom": ["", "surge", "nowhere"],
        "surge.placeholders.enabled": ["true", "false"],
        "defaults.autoscaling.min": [2, 3, 4],
        "defaults.autoscaling.max": [4, 5, 12],
        "defaults.replicas": [2, 3],
        "defaults.maxUnavailable": [0, 1, 2],
        "defaults.connections": [1, 4, 8, 16],
        "database.maxConnections": [600, 3000, 5000],
        "database.namespace": ["", "data"],
        "edge.exposure": ["None", "LoadBalancer", "TLSRoute"],
        "edge.externalTrafficPolicy": ["Local", "Local", "Cluster"],
        "edge.perAddress": ["true", "false"],
        "edge.hosts": ["{a.example.jp}", "{hersys.example.jp,www.example.jp}"],
        "edge.certificate.secret": ["", "edge-tls"],
        "edge.certificate.issuer.name": ["", "public"],
        "edge.proxyHops": ["{}", "{10.0.0.0/8}", "{2001:db8::/32}"],
        "keys.external.enabled": ["true", "false"],
        "keys.external.store.name": ["vault"],
        "network.enabled": ["true", "false"],
        "network.mail": ["{}", "{192.0.2.0/24}"],
        "network.dnsNetworks": ["{}", "{169.254.20.10/32}"],
        "priorityClasses.create": ["true", "false"],
        "migrate.enabled": ["true", "false"],
        "telemetry.podMonitor": ["true", "false"],
        "telemetry.rules": ["true", "false"],
        "telemetry.dashboards": ["true", "false"],
        "telemetry.otlp": ["", "otel:4317"],
        "telemetry.namespace": ["", "monitoring"],
        "tests.enabled": ["true", "false"],
        "image.pullSecrets": ["{}", "{registry}"],
        "fullnameOverride": ["", "x"],
        "commonLabels.team": ["a", "1e3"],
        "services.beds.replicas": [2, 3],
        "services.registry.autoscaling.max": [6, 30],
        "services.gateway.image.tag": ["1.0", "true"],
    }
    chosen = dice.sample(sorted(toggles), dice.randint(3, 12))
    text = ("commonLabels.team", "services.gateway.image.tag", "keys.external.store.name", "database.namespace")
    arguments = []
    for key in chosen:
        value = str(dice.choice(toggles[key]))
        if value == "{}":
            arguments += ["--set-json", f"{key}=[]"]
        else:
            arguments += ["--set-string" if key in text else "--set", f"{key}={value}"]
    return [*values_of(dice.choice(sorted(PROFILES))), *arguments]


def check_random(helm: Helm, sets: int, seed: int) -> None:
    rendered, refused = 0, 0
    for number in range(sets):
        values = some_values(random.Random(f"{seed}-{number}"))
        done = helm.template("hersys", *values)
        if done.returncode != 0:
            assert OURS.search(done.stderr), f"seed {seed}-{number}, {values}: {done.stderr}"
            refused += 1
            continue
        found = objects(done.stdout)
        validate(found, VERSIONS[-1])
        broken = policy.broken(found, policy.calls(CHART))
        assert not broken, f"seed {seed}-{number}, {values}:\n" + "\n".join(broken)
        rendered += 1
    print(f"  {sets} random sets of values (seed {seed}): {rendered} rendered, {refused} refused in words of ours")
    assert rendered and refused, "the sets try nothing"


def check_policy_sees(helm: Helm) -> None:
    """The control of the rules: each fault that is put in is found."""
    text = helm.template("hersys", *values_of("ha")).stdout
    for fault in policy.FAULTS:
        spoiled = objects(text)
        fault(spoiled)
        assert policy.broken(spoiled, policy.calls(CHART)), f"{fault.__name__} is not seen"


def check_platform(kubectl: str) -> None:
    for overlay in ("dev", "ha"):
        done = subprocess.run([kubectl, "kustomize", str(ROOT / "k8s/overlays" / overlay)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 0, f"{overlay}: {done.stderr}"
        found = objects(done.stdout)
        for version in VERSIONS:
            validate(found, version)
        broken = policy.platform_broken(found)
        assert not broken, f"k8s/overlays/{overlay}: " + "\n".join(broken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tools", type=pathlib.Path, required=True, help="folder of helm and kubectl")
    parser.add_argument("--sets", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--write", action="store_true")
    told = parser.parse_args()
    helm = Helm(str(told.tools / "helm"))
    for chart in (CHART, OPERATOR):
        written = readme.of(chart)
        if told.write:
            (chart / "README.md").write_text(written)
        assert (chart / "README.md").read_text() == written, f"README.md of {chart.name} is not what values.yaml says; `check.py --write`"
    check_profiles(helm, told.write)
    check_operator(helm, told.write)
    check_platform(str(told.tools / "kubectl"))
    check_policy_sees(helm)
    check_names(helm)
    check_refusals(helm)
    check_random(helm, told.sets, told.seed)
    print("  the charts keep their rules")


if __name__ == "__main__":
    try:
        main()
    except AssertionError as broken:
        sys.exit(f"chart: {broken}")
