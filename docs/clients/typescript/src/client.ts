// An example client of HER-SYS over gRPC-Web: sign in, register a person, file a notification, list one's cases.
// README.md tells how to run it.
//
// In a browser the same code runs without `node:crypto`: there the person types the one-time code.

import { createHmac, randomUUID } from "node:crypto";

import { timestampDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { BadRequestSchema } from "./gen/google/rpc/error_details_pb.js";
import { NextStep, SignInService } from "./gen/hersys/identity/v1/sign_in_pb.js";
import { FilingService } from "./gen/hersys/notification/v1/filing_pb.js";
import { Purpose, Symptom } from "./gen/hersys/notification/v1/form_pb.js";
import { CaseService } from "./gen/hersys/registry/v1/case_pb.js";
import { DiagnosisClass, Sex, Specimen, TestMethod, TestResult } from "./gen/hersys/registry/v1/codes_pb.js";

function setting(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`set ${name}`);
  return value;
}

/** The six digits an authenticator app shows now (RFC 6238: SHA-1, 30 seconds). */
function oneTimeCode(base32: string): string {
  let bits = "";
  for (const letter of base32.replace(/=+$/, "")) {
    bits += "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0");
  }
  const key = Buffer.from((bits.match(/[01]{8}/g) ?? []).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const hash = createHmac("sha1", key).update(counter).digest();
  const number = hash.readUInt32BE(hash[hash.length - 1]! & 0x0f) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, "0");
}

// Every call carries the access token once there is one, and asks for messages in English (Japanese without it).
let accessToken = "";
const headers: Interceptor = (next) => (request) => {
  if (accessToken) request.header.set("authorization", `Bearer ${accessToken}`);
  request.header.set("accept-language", "en");
  return next(request);
};
const transport = createGrpcWebTransport({
  baseUrl: setting("HERSYS_GATEWAY"),
  interceptors: [headers],
  defaultTimeoutMs: 10_000,
});
const signIns = createClient(SignInService, transport);
const cases = createClient(CaseService, transport);
const filing = createClient(FilingService, transport);

async function signIn(): Promise<void> {
  const first = await signIns.signIn({ login: setting("HERSYS_LOGIN"), password: setting("HERSYS_PASSWORD") });
  if (first.nextStep !== NextStep.OTP) throw new Error("enrol first: this ID has no one-time code yet");
  // A code works once: signing in twice within 30 seconds means waiting for the next one.
  const code = oneTimeCode(setting("HERSYS_OTP_SECRET"));
  const tokens = await signIns.verifyOtp({ challenge: first.challenge, code });
  accessToken = tokens.accessToken; // lives ten minutes; refreshTokens exchanges tokens.refreshToken for new ones
}

async function main(): Promise<void> {
  await signIn();

  // Changes carry a request id of the client's choice. Keep it, and send it again after a time-out or UNAVAILABLE:
  // the same id and body never count twice and give the same answer.
  const registered = await cases.registerCase({
    requestId: randomUUID(),
    person: {
      nameKanji: "見本 花子",
      nameKana: "ミホン ハナコ",
      birthDate: "1985-04-01", // or by era: "S60.4.1"
      sex: Sex.FEMALE,
      phone: "06-6000-0000",
      municipalityCode: "271004",
    },
    consultationDate: "2020-06-01",
  });
  console.log(`Registered case ${registered.caseId}`);

  const form = {
    purpose: Purpose.NOTIFICATION,
    reportDate: "2020-06-01",
    diagnosisClass: DiagnosisClass.CONFIRMED,
    subject: {
      nameKanji: "見本 花子",
      nameKana: "ミホン ハナコ",
      sex: Sex.FEMALE,
      birthDate: "1985-04-01",
      whereabouts: "大阪市北区中之島",
      whereaboutsCode: "271004",
    },
    findings: {
      symptoms: [Symptom.FEVER, Symptom.COUGH],
      diagnoses: [
        {
          method: TestMethod.NUCLEIC_ACID,
          specimen: Specimen.SALIVA,
          result: TestResult.POSITIVE,
          sampledDate: "2020-05-31",
        },
      ],
      diagnosisDate: "2020-06-01",
    },
  };
  const receipt = await filing.fileNotification({ requestId: randomUUID(), caseId: registered.caseId, form });
  console.log(`Filed ${receipt.number} with ${receipt.receivingCentreName}`);

  const [newest] = (await cases.listCases({ pageSize: 1 })).cases;
  if (newest?.updateTime) {
    console.log(`The newest of our cases is ${newest.caseId}, changed ${timestampDate(newest.updateTime).toISOString()}`);
  }

  // What a mistake looks like: each field at fault, and the rule it breaks.
  try {
    const wrong = { ...form, subject: { ...form.subject, birthDate: "2020-02-31" } };
    await filing.fileNotification({ requestId: randomUUID(), form: wrong });
  } catch (error) {
    const problem = ConnectError.from(error);
    if (problem.code !== Code.InvalidArgument) throw error;
    for (const { fieldViolations } of problem.findDetails(BadRequestSchema)) {
      for (const { field, description } of fieldViolations) console.log(`Refused: ${field}: ${description}`);
    }
  }
}

main().catch((error: unknown) => {
  const problem = ConnectError.from(error);
  const cause = problem.cause instanceof Error ? problem.cause.cause : undefined; // of "fetch failed"
  console.error(`${Code[problem.code]}: ${problem.rawMessage}${cause instanceof Error ? `: ${cause.message}` : ""}`);
  process.exitCode = 1;
});
