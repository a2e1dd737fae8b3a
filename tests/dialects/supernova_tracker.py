"""The tracker of SuperNova: who is there, where, and with which files.

"Peer to Peer (P2P) Sharing Application", report for COMP480 by Ujjwal Kumar, November 2020. Assumptions beyond the
document:

- a name that is known and not connected is welcomed back; to any other HELLO a free name peer_N is offered, and the
  peer asks for the name it wants with IWANT;
- a peer that is not connected, or whose port does not answer the heartbeat, is hidden from lists until it is back;
- registrations are kept in peers.json in the shape of the document, ports as text.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path

from console import Address, Fields, every, in_background, obey, parse_address, report, trace
from supernova_text import Channel, write_list

PROBE_SECONDS = 3.0
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass
class Member:
    """A peer of the network, connected or not."""

    name: str
    files: list[str] = field(default_factory=list)
    ip: str = ""
    port: int = 0
    channel: Channel | None = None
    answers: bool = True

    @property
    def visible(self) -> bool:
        return self.channel is not None and self.port > 0 and self.answers


class Tracker:
    """Handles each peer in a thread of its own."""

    def __init__(self, options: Namespace) -> None:
        self.options = options
        self.lock = threading.RLock()
        self.file: Path | None = options.home and options.home / "peers.json"
        self.members: dict[str, Member] = self._load()
        self.listener = socket.create_server(parse_address(options.listen), backlog=128)

    def run(self) -> None:
        in_background(self._accept_all)
        every(self.options.probe, self._probe_all)
        report("ready", listen="{}:{}".format(*self.listener.getsockname()))
        obey({"peers": self.show})

    def show(self) -> Fields:
        """Every peer the tracker knows."""
        with self.lock:
            return {
                "peers": [
                    {"name": m.name, "ip": m.ip, "port": m.port, "files": m.files, "visible": m.visible}
                    for m in self.members.values()
                ]
            }

    # peers.json

    def _load(self) -> dict[str, Member]:
        if not self.file or not self.file.exists():
            return {}
        stored = json.loads(self.file.read_text())
        return {
            name: Member(name, item["files"], item["listeningIP"], int(item["listeningPORT"]))
            for name, item in stored.items()
        }

    def _save(self) -> None:
        if not self.file:
            return
        stored = {
            m.name: {"files": m.files, "listeningIP": m.ip, "listeningPORT": str(m.port)} for m in self.members.values()
        }
        self.file.parent.mkdir(parents=True, exist_ok=True)
        draft = self.file.with_suffix(".draft")
        draft.write_text(json.dumps(stored, indent=4))
        draft.replace(self.file)

    # Peers

    def _accept_all(self) -> None:
        while True:
            connection, address = self.listener.accept()
            in_background(self._serve, Channel(connection, address))

    def _serve(self, channel: Channel) -> None:
        try:
            while (message := channel.receive()) is not None:
                answer = self._answer(channel, message)
                if answer:
                    channel.send(answer)
        except (OSError, ValueError, IndexError) as error:
            trace("!", channel.address, str(error))
        finally:
            channel.connection.close()
            self._part(channel)

    def _part(self, channel: Channel) -> None:
        with self.lock:
            for member in self.members.values():
                if member.channel is channel:
                    member.channel = None
                    report("left", name=member.name)

    def _answer(self, channel: Channel, message: str) -> str | None:
        word, *fields = message.split("\n")[0].split(" ")
        if word in self.options.deaf:
            return None
        lines = channel.receive_list(message) if word == "LIST" else []
        with self.lock:
            member = next((m for m in self.members.values() if m.channel is channel), None)
            if word in ("HELLO", "IWANT"):
                return self._welcome(channel, fields[0] if fields else "", word == "IWANT", member)
            if member is None:
                return "ERROR"
            return self._answer_member(member, word, fields, lines)

    def _answer_member(self, member: Member, word: str, fields: list[str], lines: list[str]) -> str:
        if word == "LISTENING" and len(fields) == 2:
            member.ip, member.port, member.answers = fields[0], int(fields[1]), True
        elif word == "LIST":
            member.files = lines
        elif word == "SENDLIST":
            return write_list("FULLLIST", [f"{m.name} {file}" for m in self._visible() for file in m.files])
        elif word == "WHERE" and fields:
            found = [m for m in self._visible() if m.name == fields[0]]
            return f"AT {found[0].ip} {found[0].port}" if found else "ERROR"
        else:
            return "ERROR"
        self._save()
        return "OK"

    def _visible(self) -> list[Member]:
        return [member for member in self.members.values() if member.visible]

    def _welcome(self, channel: Channel, name: str, wanted: bool, already: Member | None) -> str:
        known = self.members.get(name)
        free = known.channel is None if known else wanted and bool(NAME.fullmatch(name))
        if already is not None:
            return "ERROR"
        if not free:
            return f"AVAILABLE {self._free_name()}"
        member = self.members.setdefault(name, Member(name))
        member.channel = channel
        self._save()
        report("joined", name=name)
        return f"WELCOME {name}"

    def _free_name(self) -> str:
        number = 1
        while f"peer_{number}" in self.members:
            number += 1
        return f"peer_{number}"

    def _probe_all(self) -> None:
        with self.lock:
            probed = [member for member in self.members.values() if member.channel and member.port]
        for member in probed:
            answers = self._probe((member.ip, member.port))
            if answers != member.answers:
                report("back" if answers else "hidden", name=member.name)
            member.answers = answers

    def _probe(self, address: Address) -> bool:
        try:
            socket.create_connection(address, PROBE_SECONDS).close()
        except OSError as error:
            trace("!", address, f"no heartbeat: {error}")
            return False
        return True
