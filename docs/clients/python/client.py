"""An example client of HER-SYS over gRPC: sign in, register a person, file a notification, list one's cases.

README.md tells how to run it.
"""

import base64
import hashlib
import hmac
import os
import pathlib
import struct
import sys
import tempfile
import time
import uuid

import grpc
import grpc_tools
from google.rpc import error_details_pb2, status_pb2
from grpc_tools import protoc

# The contract: the folder `proto` of the project, wherever above this file it lies.
PROTO = next(p / "proto" for p in pathlib.Path(__file__).resolve().parents if (p / "proto/hersys").is_dir())


def generate(out: str) -> None:
    """Makes the stubs. A real client does this once, when it is built. `google.api` comes with googleapis-common-protos."""
    wanted = [str(path.relative_to(PROTO)) for path in PROTO.glob("hersys/**/*.proto")]
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    # `vendor` lies inside of `proto` and must come first, or its files are found twice.
    roots = [f"-I{PROTO}/vendor", f"-I{PROTO}", f"-I{well_known}"]
    targets = [f"--python_out={out}", f"--grpc_python_out={out}"]
    if protoc.main(["protoc", *roots, *targets, *wanted, "buf/validate/validate.proto"]) != 0:
        sys.exit("the contract does not compile")


stubs = tempfile.TemporaryDirectory()
generate(stubs.name)
sys.path.insert(0, stubs.name)

from hersys.identity.v1 import sign_in_pb2 as sign_in, sign_in_pb2_grpc  # noqa: E402
from hersys.notification.v1 import filing_pb2 as filing, filing_pb2_grpc, form_pb2 as forms  # noqa: E402
from hersys.registry.v1 import case_pb2 as cases, case_pb2_grpc, codes_pb2 as codes  # noqa: E402


def one_time_code(base32: str) -> str:
    """The six digits an authenticator app shows now (RFC 6238: SHA-1, 30 seconds)."""
    key = base64.b32decode(base32 + "=" * (-len(base32) % 8))
    digest = hmac.new(key, struct.pack(">Q", int(time.time()) // 30), hashlib.sha1).digest()
    start = digest[-1] & 0x0F
    number = struct.unpack(">I", digest[start : start + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"


def violations(error: grpc.RpcError) -> list[tuple[str, str]]:
    """The fields at fault and the rules they break, from the details of an INVALID_ARGUMENT."""
    found = []
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                bad = error_details_pb2.BadRequest()
                if detail.Unpack(bad):
                    found += [(field.field, field.description) for field in bad.field_violations]
    return found


def main() -> None:
    with open(os.environ["HERSYS_CA"], "rb") as file:
        tls = grpc.ssl_channel_credentials(root_certificates=file.read())
    with grpc.secure_channel(os.environ["HERSYS_GATEWAY"].removeprefix("https://"), tls) as channel:
        session(channel)


def session(channel: grpc.Channel) -> None:
    # Messages in English; Japanese without it.
    metadata = [("accept-language", "en")]
    sign_ins = sign_in_pb2_grpc.SignInServiceStub(channel)
    request = sign_in.SignInRequest(login=os.environ["HERSYS_LOGIN"], password=os.environ["HERSYS_PASSWORD"])
    first = sign_ins.SignIn(request, metadata=metadata, timeout=10)
    if first.next_step != sign_in.NEXT_STEP_OTP:
        sys.exit("enrol first: this ID has no one-time code yet")
    # A code works once: signing in twice within 30 seconds means waiting for the next one.
    request = sign_in.VerifyOtpRequest(challenge=first.challenge, code=one_time_code(os.environ["HERSYS_OTP_SECRET"]))
    tokens = sign_ins.VerifyOtp(request, metadata=metadata, timeout=10)
    # Lives ten minutes; RefreshTokens exchanges tokens.refresh_token for new ones.
    metadata.append(("authorization", f"Bearer {tokens.access_token}"))

    # Changes carry a request id of the client's choice. Keep it, and send it again after a time-out or UNAVAILABLE:
    # the same id and body never count twice and give the same answer.
    case_service = case_pb2_grpc.CaseServiceStub(channel)
    person = cases.Person(
        name_kanji="見本 太郎",
        name_kana="ミホン タロウ",
        birth_date="1980-01-31",  # or by era: "S55.1.31"
        sex=codes.SEX_MALE,
        phone="06-6000-0000",
        municipality_code="271004",
    )
    request = cases.RegisterCaseRequest(request_id=str(uuid.uuid4()), person=person, consultation_date="2020-06-01")
    registered = case_service.RegisterCase(request, metadata=metadata, timeout=10)
    print(f"Registered case {registered.case_id}")

    form = forms.Form(
        purpose=forms.PURPOSE_NOTIFICATION,
        report_date="2020-06-01",
        diagnosis_class=codes.DIAGNOSIS_CLASS_CONFIRMED,
        subject=forms.Subject(
            name_kanji=person.name_kanji,
            name_kana=person.name_kana,
            sex=person.sex,
            birth_date=person.birth_date,
            whereabouts="大阪市北区中之島",
            whereabouts_code="271004",
        ),
        findings=forms.Findings(
            symptoms=[forms.SYMPTOM_FEVER, forms.SYMPTOM_COUGH],
            diagnoses=[
                forms.Diagnosis(
                    method=codes.TEST_METHOD_NUCLEIC_ACID,
                    specimen=codes.SPECIMEN_SALIVA,
                    result=codes.TEST_RESULT_POSITIVE,
                    sampled_date="2020-05-31",
                )
            ],
            diagnosis_date="2020-06-01",
        ),
    )
    filing_service = filing_pb2_grpc.FilingServiceStub(channel)
    request = filing.FileNotificationRequest(request_id=str(uuid.uuid4()), case_id=registered.case_id, form=form)
    receipt = filing_service.FileNotification(request, metadata=metadata, timeout=10)
    print(f"Filed {receipt.number} with {receipt.receiving_centre_name}")

    newest = case_service.ListCases(cases.ListCasesRequest(page_size=1), metadata=metadata, timeout=10).cases[0]
    print(f"The newest of our cases is {newest.case_id}, changed {newest.update_time.ToJsonString()}")

    # What a mistake looks like: each field at fault, and the rule it breaks.
    form.subject.birth_date = "2020-02-31"
    try:
        filing_service.FileNotification(
            filing.FileNotificationRequest(request_id=str(uuid.uuid4()), form=form), metadata=metadata, timeout=10
        )
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.INVALID_ARGUMENT:
            raise
        for field, rule in violations(error):
            print(f"Refused: {field}: {rule}")


if __name__ == "__main__":
    try:
        main()
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
