"""Runs schemathesis over the REST surface of a running stack, as several of the demo's users.

    python3 surface.py STACK.json             every operation, a thousand generated calls or so; fails on any fault
    python3 surface.py STACK.json --soak      several thousand, and calls that follow from each other
    python3 surface.py STACK.json --control   proves that such a run can fail

It writes what it makes up into the stack: give it one that may be thrown away.
"""

import argparse
import base64
import json
import os
import pathlib
import string
import subprocess
import sys
import tempfile
import time
import uuid

import rest
import venv

HERE = pathlib.Path(__file__).resolve().parent
EXAMPLE_FORM = HERE.parents[1] / "docs/example-form.json"

# Runs of a pass that met nothing but transport errors.
ATTEMPTS = 4
# Generated calls for each operation and pass, and how many there must be altogether: a run that calls next to nothing
# finds nothing.
EXAMPLES, SOAK_EXAMPLES = 2, 6
CALLS, SOAK_CALLS = 600, 2000
# Every value at its bounds once, in the first pass; in the others what is generated at random.
FIRST, OTHERS = ["--phases", "examples,coverage,fuzzing"], ["--phases", "examples,fuzzing"]
# Who calls what: a nurse of a health centre calls everything, the others what their role gets furthest with.
# With each comes somebody whose token is spent on signing out.
PASSES = [
    ("osaka-nurse", "ibaraki-nurse", []),
    ("clinic-physician", "clinic-clerk", ["registry", "notification"]),
    ("analyst", "auditor", ["statistics"]),
    ("osaka-coordinator", "tokyo-coordinator", ["beds"]),
    ("hospital-physician", "tokyo-physician", ["beds"]),
    ("admin", "osaka-admin", ["identity"]),
    ("operator", "minato-nurse", ["operations"]),
]


class Surface:
    """A stack with a case and a notification to call about, and the folder for what a run needs."""

    def __init__(self, stack: rest.Stack, scratch: pathlib.Path, examples: int, control: bool) -> None:
        self.stack, self.scratch = stack, scratch
        self.tokens: dict[str, str] = {}
        door, physician = stack.door(), self.token("clinic-physician")
        case = door.done("POST", "/v1/cases", rest.registration(), physician)["caseId"]
        filing = {"requestId": str(uuid.uuid4()), "caseId": case, "form": json.loads(EXAMPLE_FORM.read_text("utf-8"))}
        filled = string.Template((HERE / "schemathesis.toml").read_text("utf-8")).safe_substitute(
            hooks=HERE / "hooks.py",
            examples=examples,
            case=case,
            notification=door.done("POST", "/v1/notifications", filing, physician)["notificationId"],
            # By the time of the control, the run has disabled this one.
            user=uuid.uuid4() if control else subject(self.token("fax-physician")),
            facility=stack.told["demo"]["organisations"]["hospital"],
        )
        self.configuration = scratch / "schemathesis.toml"
        self.configuration.write_text(filled, "utf-8")

    def token(self, login: str) -> str:
        """A token of somebody; one sign-in each, for a one-time code works once."""
        if login not in self.tokens:
            self.tokens[login] = self.stack.sign_in(login)
        return self.tokens[login]

    def run(self, login: str, spare: str, document: str, selection: list[str]) -> tuple[dict, str]:
        """One run of schemathesis: its report and what it printed."""
        report = self.scratch / "report.json"
        report.unlink(missing_ok=True)
        command = [str(venv.python_of("schemathesis").with_name("schemathesis")), "--config-file", self.configuration,
                   "--no-color", "run", document, "--url", self.stack.url,
                   "--report", "json", "--report-json-path", report, *selection]
        # Tokens go by the environment: arguments are for everybody to see.
        environment = {**os.environ, "HERSYS_CA": self.stack.ca, "HERSYS_TOKEN": self.token(login),
                       "HERSYS_TOKEN_TO_END": self.token(spare)}
        done = subprocess.run(command, cwd=self.scratch, env=environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if not report.exists():
            sys.exit(f"surface: no report of {login}'s run\n{done.stdout}")
        told = json.loads(report.read_text("utf-8"))
        told["exit_code"] = done.returncode
        return told, done.stdout


def subject(token: str) -> str:
    """Whose token it is."""
    claims = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"]


def sound(surface: Surface, soak: bool) -> bool:
    """Every pass; tells each in a line, and a failed one in full."""
    began, cases, good = time.monotonic(), 0, True
    for login, spare, tags in PASSES:
        phases = [] if soak else OTHERS if tags else FIRST
        selection = [*phases, *(part for tag in tags for part in ("--include-tag", tag))]
        for _ in range(ATTEMPTS):
            told, output = surface.run(login, spare, f"{surface.stack.url}/openapi.json", selection)
            # A starved machine can miss a TLS handshake. The run is deterministic: what is wrong is wrong again.
            if told["failures"] or not told["errors"]:
                break
        counts = told["test_cases"]
        cases += counts["generated"]
        passed = told["exit_code"] == 0 and told["complete"] and not told["errors"]
        # A run that only ever hears 401 tests nothing, and would pass: the token must have lasted to its end.
        lasted = surface.stack.door().call("GET", "/v1/reportForm", token=surface.token(login))[0] == 200
        good = good and passed and lasted
        print(f"  {login}: {told['operations']['tested']} operations, {counts['generated']} cases in "
              f"{told['running_time']:.0f} s, {counts['unique_failures']} faults{'' if lasted else ', TOKEN ENDED'}", flush=True)
        if not passed:
            print(output)
    good = good and cases >= (SOAK_CALLS if soak else CALLS)
    print(f"surface {'passed' if good else 'FAILED'}: {cases} cases in {time.monotonic() - began:.0f} s")
    return good


def control(surface: Surface) -> bool:
    """The same run against a document that is wrong in two places must find both."""
    document = json.loads(surface.stack.door().call("GET", "/openapi.json")[1])
    del document["paths"]["/v1/cases/{caseId}"]["get"]["responses"]["404"]
    document["components"]["schemas"]["identity.Organisation"]["properties"]["name"] = {"type": "integer"}
    wrong = surface.scratch / "wrong.json"
    wrong.write_text(json.dumps(document), "utf-8")
    selection = ["--include-operation-id", "GetCase", "--include-operation-id", "ListOrganisations"]
    told, output = surface.run("osaka-nurse", "ibaraki-nurse", str(wrong), selection)
    found = {failure["type"]: failure["operations"] for failure in told["failures"]}
    expected = {
        "UndefinedStatusCode": ["GET /v1/cases/{caseId}"],
        "JsonSchemaError": ["GET /v1/organisations"],
    }
    good = told["exit_code"] == 1 and found == expected
    print(f"control {'passed: both faults were found' if good else f'FAILED: found {found}'}")
    if not good:
        print(output)
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stack", help="the stack.json of a running stack")
    parser.add_argument("--soak", action="store_true", help="take the time for several thousand calls")
    parser.add_argument("--control", action="store_true", help="prove that the run can fail")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hersys-surface-") as scratch:
        examples = SOAK_EXAMPLES if arguments.soak or arguments.control else EXAMPLES
        surface = Surface(rest.Stack(arguments.stack), pathlib.Path(scratch), examples, arguments.control)
        good = control(surface) if arguments.control else sound(surface, arguments.soak)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
