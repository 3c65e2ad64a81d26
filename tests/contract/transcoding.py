"""Holds the gateway's REST against an independent transcoder, Envoy, in front of the same services.

    python3 transcoding.py STACK.json DESCRIPTORS               the same calls through both must get the same answers
    python3 transcoding.py STACK.json DESCRIPTORS --seconds 20  and measures both, slice by slice in turn

DESCRIPTORS is the contract as a FileDescriptorSet. It writes into the stack: give it one that may be thrown away.
"""

import argparse
import asyncio
import json
import pathlib
import re
import ssl
import statistics
import sys
import tempfile
import time
import urllib.parse
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import envoy
import rest

EXAMPLE_FORM = pathlib.Path(__file__).resolve().parents[2] / "docs/example-form.json"
NOBODY = "00000000-0000-0000-0000-000000000000"

# Where the two may differ: what each answers, and why that is right. Whatever is not here must be equal, and what is
# here must still differ.
WORDING = "its parser tells the fault as text and repeats what was sent; ours names the field and repeats nothing"
KNOWN: dict[str, tuple[int, int, str]] = {
    "no such path": (404, 404, "it answers without a body"),
    "no such method": (405, 404, "it does not tell a path without the method from no path"),
    "a parameter that does not exist": (400, 404, "it takes the path for another one, and answers without a body"),
    "a field that does not exist": (400, 200, "it ignores what it does not know; ours must not lose what was written"),
    "a body that is not JSON": (400, 400, WORDING),
    "a code that does not exist": (400, 400, WORDING),
    "a parameter of the wrong form": (400, 400, WORDING),
}

# What differs from one record to the next. Points in time differ too.
OWN = {"caseId", "accessId", "factId", "notificationId", "notificationIds", "number", "reportId", "salt", "contentHash",
       "signature", "nextPageToken", "phone"}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+Z")


@dataclass
class Call:
    """A call that is made through both; `{case}`, `{notification}`, `{id}` and `{phone}` stand for each side's own."""

    name: str
    method: str
    path: str
    body: object = None
    who: str = "nurse"
    headers: dict[str, str] | None = None


def calls(form: dict, centre: str, institution: str) -> list[Call]:
    """What is compared, in this order."""
    report = {"temperatureDecicelsius": 368, "spo2Percent": 97, "cough": "ANSWER_NO"}
    test = {"method": "TEST_METHOD_ANTIGEN_QUALITATIVE", "specimen": "SPECIMEN_SALIVA", "result": "TEST_RESULT_NEGATIVE",
            "sampledDate": "2020-06-02"}
    registration = {**rest.registration(), "requestId": "{id}"}
    registration["person"]["phone"] = "{phone}"
    wrong = {**registration, "person": {**registration["person"], "birthDate": "2020-02-30", "phone": "x"}}
    unknown = {**registration, "person": {**registration["person"], "sex": "SEX_NONE"}}
    place = {"requestId": "{id}", "placement": "PLACEMENT_HOME", "sinceDate": "2020-06-02"}
    return [
        # Reading.
        Call("jwks", "GET", "/v1/jwks", who="nobody"),
        Call("receipt keys", "GET", "/v1/receiptKeys", who="nobody"),
        Call("case", "GET", "/v1/cases/{case}"),
        Call("case as its reporter", "GET", "/v1/cases/{case}", who="physician"),
        Call("cases", "GET", "/v1/cases"),
        Call("cases by snake_case query", "GET", "/v1/cases?page_size=2&open_only=true"),
        Call("cases by camelCase query", "GET", "/v1/cases?pageSize=2&openOnly=true"),
        Call("cases by relation", "GET", "/v1/cases?relation=RELATION_RESPONSIBLE_CENTRE&page_size=1"),
        Call("cases by the number of a relation", "GET", "/v1/cases?relation=1&page_size=1"),
        Call("notification", "GET", "/v1/notifications/{notification}"),
        Call("inbox", "GET", "/v1/inbox?page_size=1"),
        Call("organisations", "GET", "/v1/organisations?page_size=200"),
        Call("organisations of a kind", "GET", "/v1/organisations?kind=ORGANISATION_KIND_HEALTH_CENTRE"),
        Call("report form", "GET", "/v1/reportForm?as_of_date=R2.6.1"),
        Call("report form, escaped query", "GET", "/v1/reportForm?as_of_date=%32020-06-01"),
        Call("worklist", "GET", "/v1/worklist"),
        Call("availability", "GET", "/v1/availability"),
        Call("admissions", "GET", "/v1/admissions"),
        Call("release", "GET", "/v1/cases/{case}/release?release_date=2020-06-20"),
        Call("messages", "GET", "/v1/messages"),
        Call("summary", "GET", "/v1/statistics/summary", who="analyst"),
        Call("care status", "GET", "/v1/statistics/careStatus", who="analyst"),
        Call("statistics query", "POST", "/v1/statistics:query",
             {"timeAxis": "DIMENSION_REPORT_DATE", "dimensions": ["DIMENSION_SEX"],
              "fromDate": "2020-05-01", "untilDate": "2020-06-30"}, who="analyst"),
        # Writing.
        Call("register", "POST", "/v1/cases", registration, who="physician"),
        Call("file", "POST", "/v1/notifications", {"requestId": "{id}", "form": form}, who="physician"),
        Call("record a test", "POST", "/v1/cases/{case}/tests", {"requestId": "{id}", "test": test}),
        Call("place", "POST", "/v1/cases/{case}/placements", place),
        Call("place by number", "POST", "/v1/cases/{case}/placements", {**place, "placement": 3}),
        Call("snake_case body", "POST", "/v1/cases/{case}/placements",
             {"request_id": "{id}", "placement": "PLACEMENT_HOME", "sinceDate": "2020-06-05", "facility_id": ""}),
        Call("null in a body", "POST", "/v1/cases/{case}/placements", {**place, "sinceDate": "2020-06-06", "etag": None}),
        Call("correct one item", "PATCH", "/v1/cases/{case}/person?requestId={id}&updateMask=phone",
             {"phone": "{phone}", "nameKanji": "無視"}),
        Call("correct two items", "PATCH", "/v1/cases/{case}/person?request_id={id}&update_mask=phone%2CnameKana",
             {"phone": "{phone}", "nameKana": "ミホン ジロウ"}),
        Call("refer", "POST", "/v1/cases/{case}:refer", {"requestId": "{id}", "institutionId": institution}),
        Call("offer a transfer", "POST", "/v1/cases/{case}:offerTransfer",
             {"requestId": "{id}", "toCentreId": centre, "reason": "転居"}),
        Call("withdraw a transfer", "POST", "/v1/cases/{case}:declineTransfer", {"requestId": "{id}"}),
        Call("acknowledge", "POST", "/v1/notifications/{notification}:acknowledge", {"requestId": "{id}"}),
        Call("report health", "POST", "/v1/cases/{case}/reports", {"requestId": "{id}", "report": report}),
        Call("call back", "POST", "/v1/cases/{case}/contactAttempts",
             {"requestId": "{id}", "reached": True, "channel": "CONTACT_CHANNEL_PHONE"}),
        Call("followup", "GET", "/v1/cases/{case}/followup"),
        # Refusals.
        Call("fields at fault", "POST", "/v1/cases", wrong, who="physician"),
        Call("fields at fault in Japanese", "POST", "/v1/cases", wrong, who="physician",
             headers={"accept-language": "ja"}),
        Call("a stale revision", "POST", "/v1/cases/{case}/placements", {**place, "etag": "1"}),
        Call("not an id", "GET", "/v1/cases/17"),
        Call("an escaped slash in an id", "GET", "/v1/cases/1%2F7"),
        Call("nobody signed in", "GET", "/v1/cases", who="nobody"),
        Call("a forged token", "GET", "/v1/cases", who="forger"),
        Call("not one's role", "GET", "/v1/statistics/summary", who="physician"),
        Call("no such case", "GET", f"/v1/cases/{NOBODY}"),
        Call("no such path", "GET", "/v1/nothing"),
        Call("no such method", "DELETE", "/v1/cases"),
        Call("a body that is not JSON", "POST", "/v1/cases", b'{"person": ', who="physician"),
        Call("a code that does not exist", "POST", "/v1/cases", unknown, who="physician"),
        Call("a field that does not exist", "POST", "/v1/cases", {**registration, "colour": "red"}, who="physician"),
        Call("a parameter that does not exist", "GET", "/v1/cases?colour=red"),
        Call("a parameter of the wrong form", "GET", "/v1/cases?page_size=many"),
        Call("a page size out of range", "GET", "/v1/cases?page_size=201"),
        Call("an empty body", "POST", "/v1/cases", b"", who="physician"),
    ]


def plain(value: object, key: str = "") -> object:
    """An answer without what must differ."""
    if key in OWN or isinstance(value, str) and MOMENT.fullmatch(value):
        return "*"
    if key in ("field", "message") and isinstance(value, str):
        # The other one names fields as protobuf does; ours, as JSON does.
        return re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", value)
    if isinstance(value, dict):
        return {name: plain(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner, key) for inner in value]
    return value


def differences(ours: object, theirs: object, path: str = "") -> list[str]:
    """Where two answers differ, by path."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        names = sorted({*ours, *theirs})
        return [line for name in names for line in differences(ours.get(name), theirs.get(name), f"{path}.{name}")]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [line for at, pair in enumerate(zip(ours, theirs)) for line in differences(*pair, f"{path}[{at}]")]
    return [] if ours == theirs else [f"{path or 'body'}: {str(ours)[:200]!r} here, {str(theirs)[:200]!r} there"]


class Side:
    """One of the two doors, with records of its own, so that what is written through one does not change the other's."""

    def __init__(self, url: str, ca: str, tokens: dict[str, str | None], through: rest.Door, form: dict) -> None:
        self.door, self.tokens = rest.Door(url, ca), tokens
        registration = rest.registration()
        self.case = through.done("POST", "/v1/cases", registration, tokens["physician"])["caseId"]
        # A form joins the case it names only where it is about the same person.
        same = {name: registration["person"][name] for name in ("nameKanji", "nameKana", "birthDate", "phone")}
        form = {**form, "subject": {**form["subject"], **same}}
        filing = {"requestId": str(uuid.uuid4()), "caseId": self.case, "form": form}
        receipt = through.done("POST", "/v1/notifications", filing, tokens["physician"])
        self.notification = receipt["notificationId"]
        # The registry hears of the notification a moment later; what is compared must have settled.
        deadline = time.monotonic() + 20
        while "reportDate" not in through.done("GET", f"/v1/cases/{self.case}", None, tokens["nurse"]):
            if time.monotonic() > deadline:
                sys.exit("transcoding: the registry did not hear of the notification")
            time.sleep(0.05)

    def filled(self, text: str) -> str:
        names = {"{case}": self.case, "{notification}": self.notification, "{id}": str(uuid.uuid4()),
                 "{phone}": rest.phone()}
        for name, value in names.items():
            text = text.replace(name, value)
        return text

    def answer(self, call: Call) -> tuple[int, object]:
        body = call.body
        if body is not None and not isinstance(body, bytes):
            body = self.filled(json.dumps(body)).encode()
        status, text = self.door.call(call.method, self.filled(call.path), body, self.tokens[call.who],
                                      **(call.headers or {}))
        try:
            return status, plain(json.loads(text))
        except ValueError:
            return status, text.decode(errors="replace")


def compare(gateway: Side, other: Side, asked: list[Call]) -> bool:
    """Makes every call through both."""
    good, known = True, 0
    for call in asked:
        ours, theirs = gateway.answer(call), other.answer(call)
        expected = KNOWN.get(call.name)
        if expected and ours != theirs and (ours[0], theirs[0]) == expected[:2]:
            known += 1
            print(f"  differs as it should: {call.name}: {ours[0]} here, {theirs[0]} there: {expected[2]}")
        elif expected or ours != theirs:
            good = False
            print(f"  DIFFERS: {call.name}: {ours[0]} here, {theirs[0]} there{', not as listed' if expected else ''}")
            print("".join(f"    {line}\n" for line in differences(ours[1], theirs[1])), end="")
    print(f"transcoding {'passed' if good else 'FAILED'}: {len(asked)} calls, {known} known differences")
    return good


async def load(url: str, ca: str, request: Callable[[int], bytes], until: float, connections: int) -> list[float]:
    """Seconds each call took over connections that each send one call after the other. Anything but 200 ends it."""
    context = ssl.create_default_context(cafile=ca)
    address = urllib.parse.urlsplit(url)
    taken: list[float] = []

    async def one(index: int) -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port, ssl=context)
        while (began := time.perf_counter()) < until:
            writer.write(request(index))
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            if b" 200 " not in lines[0] + b" ":
                raise SystemExit(f"a measured call was refused: {lines[0].decode()}")
            length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
            await reader.readexactly(length)
            taken.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(one(index) for index in range(connections)))
    return taken


def measure(urls: dict[str, str], ca: str, name: str, request: Callable[[int], bytes], seconds: float) -> None:
    """Both in turn, in slices, so that whatever else happens on the machine meets both."""
    slices, connections = 6, 16
    taken: dict[str, list[float]] = {door: [] for door in urls}
    for number in range(slices):
        # The first slice warms both up and does not count; who goes first changes.
        for door in sorted(urls, reverse=number % 2 == 0):
            until = time.perf_counter() + seconds / 2 / slices
            got = asyncio.run(load(urls[door], ca, request, until, connections))
            if number > 0:
                taken[door] += got
    quantiles = {door: statistics.quantiles(all_of, n=100) for door, all_of in taken.items()}
    ratio = len(taken["gateway"]) / len(taken["envoy"])
    print(f"rest_vs_envoy call={name} throughput_ratio={ratio:.2f} "
          f"p99_ratio={quantiles['gateway'][98] / quantiles['envoy'][98]:.2f} " + " ".join(
              f"{door}_per_s={len(taken[door]) / (seconds / 2 / slices * (slices - 1)):.0f} "
              f"{door}_p50_ms={quantiles[door][49] * 1000:.1f} {door}_p99_ms={quantiles[door][98] * 1000:.1f}"
              for door in urls))


def raw(method: str, path: str, token: str, body: bytes = b"") -> bytes:
    """A call as it goes over the wire."""
    kind = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n{kind}\r\n".encode() + body


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stack", help="the stack.json of a running stack")
    parser.add_argument("descriptors", type=pathlib.Path, help="the contract as a FileDescriptorSet")
    parser.add_argument("--seconds", type=float, default=0, help="how long to measure each call")
    arguments = parser.parse_args()
    stack = rest.Stack(arguments.stack)
    form = json.loads(EXAMPLE_FORM.read_text("utf-8"))
    with (tempfile.TemporaryDirectory(prefix="hersys-transcoding-") as scratch,
          envoy.running(stack, arguments.descriptors, pathlib.Path(scratch)) as url):
        physician, nurse = stack.sign_in("clinic-physician"), stack.sign_in("osaka-nurse")
        tokens = {"physician": physician, "nurse": nurse, "analyst": stack.sign_in("analyst"), "nobody": None,
                  "forger": nurse[:-8] + "AAAAAAAA"}
        door, organisations = stack.door(), stack.told["demo"]["organisations"]
        sides = [Side(address, stack.ca, tokens, door, form) for address in (stack.url, url)]
        good = compare(*sides, calls(form, organisations["minato-centre"], organisations["hospital"]))
        if arguments.seconds:
            urls = {"gateway": stack.url, "envoy": url}
            # A case for each connection: people report about themselves, not all about one.
            cases = [door.done("POST", "/v1/cases", rest.registration(), physician)["caseId"] for _ in range(16)]
            measure(urls, stack.ca, "get_case", lambda index: raw("GET", f"/v1/cases/{cases[index]}", nurse),
                    arguments.seconds)
            report = {"temperatureDecicelsius": 368, "spo2Percent": 97, "cough": "ANSWER_NO"}
            measure(urls, stack.ca, "submit_report", lambda index: raw(
                "POST", f"/v1/cases/{cases[index]}/reports", nurse,
                json.dumps({"requestId": str(uuid.uuid4()), "report": report}).encode()), arguments.seconds)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
