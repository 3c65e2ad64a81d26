"""Runs a command with Envoy beside the gateway of a running stack; `--envoy URL` is appended to it."""

import pathlib
import subprocess
import sys
import tempfile

import envoy
import rest

if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit("usage: beside.py STACK.json DESCRIPTORS COMMAND…")
    stack, descriptors, command = rest.Stack(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3:]
    with (tempfile.TemporaryDirectory(prefix="hersys-beside-") as scratch,
          envoy.running(stack, descriptors, pathlib.Path(scratch)) as url):
        code = subprocess.run([*command, "--envoy", url], check=False).returncode
    sys.exit(code)
