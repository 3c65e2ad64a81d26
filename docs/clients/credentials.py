"""Prints a demo user's settings for the client examples, to be evaluated by a shell: `eval "$(python3 … LOGIN)"`."""

import json
import pathlib
import shlex
import sys

login = sys.argv[1] if len(sys.argv) > 1 else "clinic-physician"
stack = json.loads(pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else ".run/stack.json").read_text(encoding="utf-8"))
users = [user["credentials"] for user in stack["demo"]["users"] if user["credentials"]["login"] == login]
if not users:
    sys.exit(f"there is no demo user {login}")
settings = {
    "HERSYS_GATEWAY": stack["gateway"]["url"],
    "HERSYS_CA": stack["gateway"]["ca"],
    "HERSYS_LOGIN": login,
    "HERSYS_PASSWORD": users[0]["password"],
    "HERSYS_OTP_SECRET": users[0]["otp_secret"],
}
for name, value in settings.items():
    print(f"export {name}={shlex.quote(value)}")
