"""What the server of P2PBRS knows, and keeps over a crash: peers, backups, and messages still to be sent.

"Project: Peer-to-Peer File Backup and Recovery System (P2PBRS)", COEN 366, Concordia University, Fall 2025. How the
server acts on it is not here.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import p2pbrs_text as text
from console import Address, Fields

ORDER_SENDINGS = 3


@dataclass
class Member:
    """A registered peer."""

    name: str
    role: str
    ip: str
    udp: int
    tcp: int
    capacity: int
    heard: float = field(default_factory=time.time)
    failed: bool = False

    @property
    def stores(self) -> bool:
        return self.role in ("STORAGE", "BOTH") and not self.failed


@dataclass
class Backup:
    """A file of an owner: the plan, and who has confirmed which chunk."""

    owner: str
    file: str
    size: int
    checksum: str
    chunk_size: int
    rq: str
    plan: list[str]
    done: bool = False
    started: float = field(default_factory=time.time)
    asked: dict[int, list[str]] = field(default_factory=dict)
    holders: dict[int, list[str]] = field(default_factory=dict)
    replanned: int = 0

    @property
    def chunks(self) -> int:
        return text.chunk_count(self.size, self.chunk_size)

    def planned(self, chunk: int, count: int) -> list[str]:
        places = [self.plan[(chunk + step) % len(self.plan)] for step in range(min(count, len(self.plan)))]
        return list(dict.fromkeys(places))

    def complete(self) -> bool:
        return self.done and all(self.holders.get(chunk) for chunk in range(self.chunks))


@dataclass
class Order:
    """A message to a peer about a chunk, sent again until that peer has confirmed the chunk."""

    address: Address
    message: str
    backup: Backup
    chunk: int
    name: str
    due: float = 0.0
    left: int = ORDER_SENDINGS

    def settled(self) -> bool:
        return self.name in self.backup.holders.get(self.chunk, [])


class State:
    """What survives a crash: the peers and the backups, in a JSON file that is replaced as a whole."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.members: dict[str, Member] = {}
        self.backups: list[Backup] = []
        if path and path.exists():
            self._load(json.loads(path.read_text()))

    def _load(self, stored: Fields) -> None:
        self.members = {m["name"]: Member(**{**m, "heard": time.time()}) for m in stored["members"]}
        for item in stored["backups"]:
            for key in ("asked", "holders"):
                item[key] = {int(chunk): names for chunk, names in item[key].items()}
            self.backups.append(Backup(**item))

    def save(self) -> None:
        if self.path is None:
            return
        stored = {
            "members": [asdict(member) for member in self.members.values()],
            "backups": [asdict(backup) for backup in self.backups],
        }
        draft = self.path.with_suffix(".draft")
        with draft.open("w") as file:
            json.dump(stored, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)

    def by_address(self, address: Address) -> Member | None:
        return next((m for m in self.members.values() if (m.ip, m.udp) == address), None)

    def backup(self, owner: str, file: str, complete: bool) -> Backup | None:
        found = [b for b in self.backups if (b.owner, b.file) == (owner, file) and b.complete() == complete]
        return found[-1] if found else None

    def used(self, name: str) -> int:
        held = 0
        for backup in self.backups:
            names = backup.holders if backup.complete() else backup.asked
            held += backup.chunk_size * sum(name in peers for peers in names.values())
        return held

    def free(self, member: Member) -> int:
        return member.capacity - self.used(member.name)
