"""What the contract tests share: a running stack, a connection to its gateway, signing in by REST."""

import base64
import hashlib
import hmac
import http.client
import json
import ssl
import struct
import time
import urllib.parse
import uuid


class Door:
    """A keep-alive connection to an address that speaks the REST surface: the gateway, or what stands in for it."""

    def __init__(self, url: str, ca: str) -> None:
        host = urllib.parse.urlsplit(url).netloc
        self.connection = http.client.HTTPSConnection(host, timeout=20, context=ssl.create_default_context(cafile=ca))

    def call(self, method: str, path: str, body: object = None, token: str | None = None,
             **headers: str) -> tuple[int, bytes]:
        """The status and the body of an answer. A `bytes` body is sent as it is."""
        headers.setdefault("accept-language", "en")
        if token:
            headers["authorization"] = f"Bearer {token}"
        if body is not None:
            headers.setdefault("content-type", "application/json")
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def done(self, method: str, path: str, body: object = None, token: str | None = None) -> dict:
        """The JSON of an answer that must be 200."""
        status, text = self.call(method, path, body, token)
        if status != 200:
            raise SystemExit(f"{method} {path.split('?')[0]} answered {status}: {text.decode(errors='replace')[:300]}")
        return json.loads(text)


class Stack:
    """A stack as its `stack.json` tells it."""

    def __init__(self, path: str) -> None:
        with open(path, encoding="utf-8") as file:
            self.told = json.load(file)
        self.url: str = self.told["gateway"]["url"]
        self.ca: str = self.told["gateway"]["ca"]

    def door(self) -> Door:
        return Door(self.url, self.ca)

    def sign_in(self, login: str) -> str:
        """An access token of a demo user; it lives ten minutes."""
        users = (user["credentials"] for user in self.told["demo"]["users"])
        user = next(user for user in users if user["login"] == login)
        secret, deadline = user["otp_secret"], time.monotonic() + 100
        while time.monotonic() < deadline:
            code = one_time_code(secret)
            # Not the connection of the attempt before: the gateway closes what is idle for some seconds.
            door = self.door()
            status, text = door.call("POST", "/v1/sessions:signIn", {"login": login, "password": user["password"]})
            if status == 200:
                answer = {"challenge": json.loads(text)["challenge"], "code": code}
                status, text = door.call("POST", "/v1/sessions:verifyOtp", answer)
            if status == 200:
                return json.loads(text)["accessToken"]
            # A code works once, and a refusal makes the next attempt wait: another run may have spent this code.
            while one_time_code(secret) == code:
                time.sleep(0.2)
        raise SystemExit(f"{login} cannot sign in: {status}")


def one_time_code(base32: str) -> str:
    """The six digits an authenticator app shows now (RFC 6238: SHA-1, 30 seconds)."""
    key = base64.b32decode(base32 + "=" * (-len(base32) % 8))
    digest = hmac.new(key, struct.pack(">Q", int(time.time()) // 30), hashlib.sha1).digest()
    start = digest[-1] & 0x0F
    number = struct.unpack(">I", digest[start : start + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"


def phone() -> str:
    """A telephone in Osaka, unlike any other."""
    number = uuid.uuid4().int % 10_000_000
    return f"06-6{number // 10_000:03}-{number % 10_000:04}"


def registration() -> dict:
    """A request that registers somebody in Osaka; each one is somebody else's."""
    person = {
        "nameKanji": "見本 太郎",
        "nameKana": "ミホン タロウ",
        "birthDate": "S55.1.31",
        "sex": "SEX_MALE",
        # Whoever has another telephone is another person.
        "phone": phone(),
        "municipalityCode": "271004",
    }
    return {"requestId": str(uuid.uuid4()), "person": person, "consultationDate": "2020-06-01"}
