"""The messages of SuperNova as text over TCP.

"Peer to Peer (P2P) Sharing Application", report for COMP480 by Ujjwal Kumar, November 2020; the document names the
welcome and the thanks, the other words are assumptions:

- a message is one or more lines and ends with newline and NUL; a list is one message: `LIST n` and n lines;
- to the tracker `HELLO [name]`, `IWANT name`, `LISTENING ip port`, `LIST n`, `SENDLIST`, `WHERE peer`; from it
  `AVAILABLE name`, `WELCOME name`, `OK`, `FULLLIST n` and n lines `peer file`, `AT ip port`, `ERROR`;
- between peers `GIVE file`, answered with `TAKE size` and the bytes or with `ERROR`, then `THANKS`.
"""

from __future__ import annotations

import socket

from console import Address, trace

END = b"\n\0"
MAX_MESSAGE_BYTES = 4 << 20


class Channel:
    """A connection that carries messages, and bytes between them."""

    def __init__(self, connection: socket.socket, address: Address) -> None:
        self.connection = connection
        self.address = address
        self.buffer = b""

    def send(self, message: str) -> None:
        trace(">", self.address, message)
        self.connection.sendall(message.encode() + END)

    def receive(self) -> str | None:
        """The next message without its end; None at the end of the connection."""
        while END not in self.buffer:
            if len(self.buffer) > MAX_MESSAGE_BYTES or not self._fill():
                return None
        message, _, self.buffer = self.buffer.partition(END)
        text = message.decode("utf-8", "replace")
        trace("<", self.address, text)
        return text

    def receive_list(self, head: str) -> list[str]:
        """The n lines after `WORD n`; in the same message, or in more of them."""
        first, *lines = head.split("\n")
        count = int(first.split(" ")[1])
        while len(lines) < count and (more := self.receive()) is not None:
            lines += more.split("\n")
        if len(lines) < count:
            raise ConnectionError(f"{len(lines)} lines of {count}")
        return lines[:count]

    def receive_bytes(self, size: int) -> bytes:
        """Bytes that follow a message; fewer only if the connection ends."""
        while len(self.buffer) < size and self._fill():
            pass
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def _fill(self) -> bool:
        more = self.connection.recv(65536)
        self.buffer += more
        return bool(more)


def write_list(head: str, lines: list[str]) -> str:
    """A message with a list."""
    return "\n".join([f"{head} {len(lines)}", *lines])
