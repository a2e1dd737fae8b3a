"""The messages of P2PBRS as text: fields, file names, checksums, capacities and peer lists.

"Project: Peer-to-Peer File Backup and Recovery System (P2PBRS)", COEN 366, Concordia University, Fall 2025.
Nothing here sends or stores anything. Assumptions beyond the document:

- a message is one line of fields with single spaces between them; white space and `%` in file names are
  percent-encoded;
- a checksum is hexadecimal: up to 8 digits CRC32, up to 32 MD5, up to 40 SHA-1, read in either case and without
  leading zeros too;
- a bare capacity is in MB; B, KB, MB and GB are powers of 1024;
- a peer list carries addresses, `[B:ip:port,C:ip:port]` or, with the chunks, `[B@ip:port:0,2;C@ip:port:1]`; the
  document's `[B, C]` is read with addresses known from elsewhere;
- chunk i is at the peer i mod n of a list of n peers without chunk numbers.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from console import Address

MAX_DATAGRAM_BYTES = 1400
MAX_HEADER_BYTES = 1024
MAX_PLAN_PEERS = 8
MIN_CHUNK_BYTES = 1024
MAX_CHUNK_BYTES = 1 << 20
DEFAULT_CHUNK_BYTES = 4096
MAX_CHUNKS = 65536
RECEIVE_BUFFER_BYTES = 4 << 20

PEER_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_CAPACITY = re.compile(r"(\d+(?:\.\d+)?)(B|KB|MB|GB)?", re.IGNORECASE)
_PLAN = re.compile(r"\S+ (?:(\S+) )?(\S+) \[(.*)\](?: (.*))?")


@dataclass(frozen=True)
class Place:
    """A peer of a list: where its chunks are, and which, if the list says so."""

    name: str
    address: Address
    chunks: frozenset[int] | None = None


@dataclass(frozen=True)
class Plan:
    """A BACKUP_PLAN or RESTORE_PLAN."""

    rq: str
    file: str
    places: tuple[Place, ...]
    rest: tuple[str, ...]

    def holders(self, chunk: int) -> list[Place]:
        """The peers to try for a chunk, in order: its own place first, then the others."""
        named = [place for place in self.places if place.chunks is not None and chunk in place.chunks]
        first = chunk % len(self.places) if self.places else 0
        others = [*self.places[first:], *self.places[:first]]
        return list(dict.fromkeys(named + others))


def quote(name: str) -> str:
    """A file name as it goes over the wire."""
    return "".join(f"%{ord(c):02X}" if c == "%" or c <= " " else c for c in name)


def unquote_name(text: str) -> str:
    """A file name as it came over the wire."""
    return unquote(text)


def checksum(kind: str, data: bytes) -> str:
    """The checksum of the kind crc32, md5 or sha1, in full length."""
    return f"{zlib.crc32(data):08x}" if kind == "crc32" else hashlib.new(kind, data).hexdigest()


def matches(text: str | None, data: bytes) -> bool:
    """Whether data has the checksum; a missing checksum fits everything."""
    if text is None:
        return True
    try:
        wanted = int(text, 16)
    except ValueError:
        return False
    kind = "crc32" if len(text) <= 8 else "md5" if len(text) <= 32 else "sha1"
    return int(checksum(kind, data), 16) == wanted


def parse_capacity(text: str) -> int:
    """A storage capacity in bytes; ValueError if it is none."""
    match = _CAPACITY.fullmatch(text)
    if match is None:
        raise ValueError(f"not a capacity: {text}")
    power = ("B", "KB", "MB", "GB").index((match[2] or "MB").upper())
    return int(float(match[1]) * 1024**power)


def chunk_bytes(size: int, wanted: int | None) -> int:
    """The chunk size for a file: the wanted one within the limits, or the least power of two that is enough."""
    if wanted is not None:
        return max(MIN_CHUNK_BYTES, min(MAX_CHUNK_BYTES, wanted))
    chosen = DEFAULT_CHUNK_BYTES
    while chosen * MAX_CHUNKS < size and chosen < MAX_CHUNK_BYTES:
        chosen *= 2
    return chosen


def chunk_count(size: int, chunk_size: int) -> int:
    """How many chunks a file has; an empty one has none."""
    return -(-size // chunk_size)


def write_list(style: str, places: Sequence[Place]) -> str:
    """A peer list in the style colon, at or names; `at` gives way to `colon` where it would not fit."""
    if style == "names":
        return "[" + ", ".join(place.name for place in places) + "]"
    if style == "at":
        text = "[" + ";".join(_at_place(place) for place in places) + "]"
        if len(text) < MAX_DATAGRAM_BYTES - 400:
            return text
    return "[" + ",".join("{}:{}:{}".format(place.name, *place.address) for place in places) + "]"


def _at_place(place: Place) -> str:
    numbers = ",".join(str(chunk) for chunk in sorted(place.chunks or ()))
    return "{}@{}:{}:{}".format(place.name, *place.address, numbers)


def parse_plan(text: str, known: Mapping[str, Address]) -> Plan:
    """Reads a plan with any style of list; `known` are the addresses for lists of bare names."""
    match = _PLAN.fullmatch(text)
    if match is None:
        raise ValueError(f"not a plan: {text}")
    rest = tuple(match[4].split(" ")) if match[4] else ()
    return Plan(match[1] or "", unquote_name(match[2]), parse_list(match[3], known), rest)


def parse_list(text: str, known: Mapping[str, Address]) -> tuple[Place, ...]:
    """Reads what stands between the brackets."""
    if "@" in text:
        return tuple(_read_at(item) for item in text.split(";") if item.strip())
    return tuple(_read_item(item.strip(), known) for item in text.split(",") if item.strip())


def _read_at(item: str) -> Place:
    name, _, rest = item.strip().partition("@")
    ip, port, numbers = rest.split(":")
    return Place(name, (ip, int(port)), frozenset(int(number) for number in numbers.split(",") if number))


def _read_item(item: str, known: Mapping[str, Address]) -> Place:
    if ":" not in item:
        if item not in known:
            raise ValueError(f"no address known for {item}")
        return Place(item, known[item])
    name, ip, port = item.split(":")
    return Place(name, (ip, int(port)))


@dataclass(frozen=True)
class ChunkHeader:
    """The line before the bytes of a chunk that is brought."""

    rq: str
    file: str
    chunk: int
    size: int
    checksum: str | None

    def write(self, keyword: bool = True) -> str:
        """The line without its newline; the form without keyword is the document's table read literally."""
        fields = [self.rq, quote(self.file), str(self.chunk), str(self.size)]
        fields += [self.checksum] if self.checksum else []
        return " ".join((["SEND_CHUNK"] if keyword else []) + fields)


def parse_header(line: str) -> ChunkHeader:
    """Reads `[SEND_CHUNK] rq file chunk size [checksum]`."""
    fields = line.split(" ")
    fields = fields[1:] if fields[0] == "SEND_CHUNK" else fields
    if len(fields) not in (4, 5):
        raise ValueError(f"not a chunk header: {line}")
    size = int(fields[3])
    if not 0 <= size <= MAX_CHUNK_BYTES:
        raise ValueError(f"not a chunk size: {size}")
    check = fields[4] if len(fields) == 5 else None
    return ChunkHeader(fields[0], unquote_name(fields[1]), int(fields[2]), size, check)
