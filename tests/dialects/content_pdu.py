"""The PDUs of the peer to peer content system.

A course report on a peer to peer content system: an index server over UDP, content between peers over TCP. Assumptions
beyond the document:

- a PDU is one byte type and 100 bytes data, unused bytes NUL; texts end with NUL, padding of spaces is cut;
- peer name at 0 to 9 of the data, content name at 10 to 19, a port as decimal text at 20 to 25; in the S answer the
  address as text at 0 to 19 and the port at 20 to 25; other answers carry a text from 0 on;
- names have at most 9 characters;
- C PDUs carry up to 100 bytes; the last is as short as its content and the connection closes, so that the length is
  exact; an A PDU of full size may come after it as an end mark.
"""

from __future__ import annotations

from dataclasses import dataclass

DATA_BYTES = 100
PDU_BYTES = 1 + DATA_BYTES
MAX_NAME_BYTES = 9

PEER = slice(0, 10)
CONTENT = slice(10, 20)
PORT = slice(20, 26)
HOST = slice(0, 20)


class BadPdu(ValueError):
    """What came is not a PDU of this protocol."""


@dataclass(frozen=True)
class Pdu:
    """One PDU, its data padded to the full size."""

    kind: str
    data: bytes

    def text(self, part: slice = slice(0, DATA_BYTES)) -> str:
        return self.data[part].split(b"\0")[0].decode("utf-8", "replace").strip(" ")

    def any_text(self) -> str:
        """The text of an answer, wherever it begins."""
        return self.data.strip(b"\0 ").split(b"\0")[0].decode("utf-8", "replace").strip(" ")

    def encode(self) -> bytes:
        return self.kind.encode() + self.data

    def __str__(self) -> str:
        return f"{self.kind} " + " ".join(part.decode("latin-1") for part in self.data.split(b"\0") if part)


def pdu(kind: str, *fields: tuple[slice, str]) -> Pdu:
    """A PDU with texts at their places; ValueError if one does not fit."""
    data = bytearray(DATA_BYTES)
    for part, text in fields:
        encoded = text.encode()
        if len(encoded) >= part.stop - part.start:
            raise BadPdu(f"too long: {text}")
        data[part.start : part.start + len(encoded)] = encoded
    return Pdu(kind, bytes(data))


def text_pdu(kind: str, text: str) -> Pdu:
    """A PDU whose data is one text."""
    return pdu(kind, (slice(0, DATA_BYTES), text[: DATA_BYTES - 1]))


def decode(data: bytes) -> Pdu:
    """A PDU from a datagram or a connection; one with its end cut off is read as if padded."""
    if not data or len(data) > PDU_BYTES or not 65 <= data[0] <= 90:
        raise BadPdu(f"{len(data)} bytes: {data[:8].hex()}")
    return Pdu(chr(data[0]), data[1:].ljust(DATA_BYTES, b"\0"))


def split_content(stream: bytes) -> bytes:
    """The content in everything a connection brought: C PDUs, the last short or not, and perhaps an end mark.

    After a short C PDU of r bytes an end mark starts where no PDU of full size would. Then byte `len - r` belongs to
    the mark; without a mark that byte is the C of the short PDU.
    """
    rest = len(stream) % PDU_BYTES
    marked = len(stream) >= PDU_BYTES + rest and stream[-PDU_BYTES : -PDU_BYTES + 1] == b"A"
    if marked and (rest == 0 or stream[-rest : len(stream) - rest + 1] != b"C"):
        stream = stream[:-PDU_BYTES]
    parts = [stream[start : start + PDU_BYTES] for start in range(0, len(stream), PDU_BYTES)]
    if any(not part.startswith(b"C") for part in parts):
        raise BadPdu("a PDU that is not C in the content")
    return b"".join(part[1:] for part in parts)
