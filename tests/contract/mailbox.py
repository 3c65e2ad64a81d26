"""A mail server on loopback that asks for STARTTLS and keeps every mail as a file.

Usage: mailbox.py CERT KEY FOLDER. Prints its port and serves until its standard input closes.
"""

import pathlib
import ssl
import sys
import uuid

from aiosmtpd.controller import Controller


class Keep:
    """Keeps what arrives."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - the library's name
        new = self.folder / f"{uuid.uuid4()}.new"
        new.write_bytes(",".join(envelope.rcpt_tos).encode() + b"\n" + envelope.content)
        new.rename(new.with_suffix(".mail"))
        return "250 kept"


def main() -> None:
    cert, key, folder = sys.argv[1:]
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(cert, key)
    controller = Controller(
        Keep(pathlib.Path(folder)), hostname="127.0.0.1", port=0, tls_context=tls, require_starttls=True
    )
    # The library cannot be asked for a free port: it connects to the one it was given.
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        controller.port = free.getsockname()[1]
    controller.start()
    print(controller.port, flush=True)
    sys.stdin.read()
    controller.stop()


if __name__ == "__main__":
    main()
