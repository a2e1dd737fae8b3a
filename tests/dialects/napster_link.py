"""Where a program of the Napster-like network listens: it reads messages until each connection ends.

Both the index server and the peer servers do; what a message means is theirs.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from console import Address, in_background, parse_address, report, trace
from napster_wire import BadMessage, Message, read

READ_SECONDS = 30.0


class Door:
    """Takes connections, each in a thread of its own."""

    def __init__(self, listen: str, segment: int) -> None:
        self.segment = segment
        self.listener = socket.create_server(parse_address(listen), backlog=256)
        self.here: Address = self.listener.getsockname()[:2]

    def open(self, handle: Callable[[Message, Address], None]) -> None:
        """From now on `handle` is given every message, and who sent it."""
        in_background(self._accept_all, handle)
        report("ready", listen="{}:{}".format(*self.here))

    def _accept_all(self, handle: Callable[[Message, Address], None]) -> None:
        while True:
            connection, address = self.listener.accept()
            in_background(self._read_all, handle, connection, address)

    def _read_all(
        self, handle: Callable[[Message, Address], None], connection: socket.socket, address: Address
    ) -> None:
        connection.settimeout(READ_SECONDS)
        try:
            with connection, connection.makefile("rb") as stream:
                while message := read(stream, self.segment):
                    trace("<", address, str(message))
                    handle(message, address)
        except (OSError, BadMessage) as error:
            trace("!", address, str(error))
