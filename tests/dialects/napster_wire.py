"""The messages of the Napster-like network as bytes.

"Napster-like p2p network", a final project report (index server and peer servers, messages REGISTER to DATA).
Assumptions beyond the document:

- the structs are packed and in network byte order; types are numbered 0 to 6 in the order of the document's table;
- strings are padded with NUL, a full field has none; addresses are dotted text; a hash is 64 hexadecimal digits;
- the data field of DATA has a fixed size, 8192 bytes or what both sides agree on; what is used of it stands in
  segment_size, segments are numbered from 0, and an empty file is one DATA with nothing in it;
- a reader goes on with messages until the connection ends.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

NAME_BYTES = 20
MAX_FILE_BYTES = 2**32 - 1

_NUMBERS = {2: "H", 4: "I"}
_TEXTS = {"file_name": NAME_BYTES, "ip": 16, "file_hash": 64}
_WIDTHS = {"file_size": 4, "segment_size": 4, "segno": 4, "port": 2}
_KINDS: dict[str, tuple[str, ...]] = {
    "REGISTER": ("file_size", "file_name", "ip", "port", "file_hash"),
    "REGISTER_CONF": ("file_size", "file_name", "ip", "port"),
    "REGISTER_ACK": ("file_size", "file_name", "ip", "port", "file_hash"),
    "FILE_FOUND": ("file_name", "ip", "port", "file_hash"),
    "ERR_FILE_NOT_FOUND": (),
    "REQ_FILE": ("file_name", "ip", "port"),
    "DATA": ("file_size", "file_name", "segment_size", "segno", "ip", "port", "file_hash", "data"),
}
KIND_NAMES = tuple(_KINDS)


@dataclass(frozen=True)
class Message:
    """One message; fields that its kind does not have stay empty."""

    kind: str
    file_name: str = ""
    ip: str = ""
    port: int = 0
    file_hash: str = ""
    file_size: int = 0
    segment_size: int = 0
    segno: int = 0
    data: bytes = b""

    @property
    def address(self) -> tuple[str, int]:
        return self.ip, self.port

    def __str__(self) -> str:
        shown = [f"{name}={getattr(self, name)}" for name in _KINDS[self.kind] if name != "data"]
        return " ".join([self.kind, *shown])


class BadMessage(ValueError):
    """What came is not a message of this protocol."""


def _layout(kind: str, segment: int) -> str:
    def part(name: str) -> str:
        if name == "data":
            return f"{segment}s"
        return f"{_TEXTS[name]}s" if name in _TEXTS else _NUMBERS[_WIDTHS[name]]

    return "!" + "".join(part(name) for name in _KINDS[kind])


def encode(message: Message, segment: int) -> bytes:
    """The bytes of a message with a data field of `segment` bytes."""
    values = []
    for name in _KINDS[message.kind]:
        value = getattr(message, name)
        if name in _TEXTS and len(value.encode()) > _TEXTS[name]:
            raise BadMessage(f"{name} is longer than {_TEXTS[name]} bytes")
        values.append(value.encode() if name in _TEXTS else value)
    kind = struct.pack("!H", KIND_NAMES.index(message.kind))
    return kind + struct.pack(_layout(message.kind, segment), *values)


def read(stream: BinaryIO, segment: int) -> Message | None:
    """The next message of a connection; None at its end."""
    head = stream.read(2)
    if not head:
        return None
    number = int.from_bytes(head, "big")
    if len(head) < 2 or number >= len(KIND_NAMES):
        raise BadMessage(f"no such type: {head.hex()}")
    kind = KIND_NAMES[number]
    layout = _layout(kind, segment)
    body = stream.read(struct.calcsize(layout))
    if len(body) < struct.calcsize(layout):
        raise BadMessage(f"{kind} ends after {len(body)} bytes")
    values = dict(zip(_KINDS[kind], struct.unpack(layout, body), strict=True))
    for name in _TEXTS:
        if name in values:
            values[name] = values[name].split(b"\0")[0].decode("utf-8", "replace")
    return Message(kind, **values)
