"""The index server of the Napster-like network: who has which file.

"Napster-like p2p network", a final project report. Assumptions beyond the document:

- one message per connection; an answer goes over a new connection to the address inside the message;
- that address must be the sender's own, except that a seeder may register a leecher that has asked for the file;
- a seeder is listed once it has answered REGISTER_CONF with the hash that was registered; one not heard of for a
  while is asked again before it is handed out, and dropped if it does not answer;
- seeders are chosen at random, in turn, or by credit: in proportion to 1 + the downloads they have completed.
"""

from __future__ import annotations

import queue
import random
import socket
import threading
import time
from argparse import Namespace
from dataclasses import dataclass, field

from console import Address, Fields, in_background, obey, report, trace
from napster_link import Door
from napster_wire import Message, encode

ASKED_SECONDS = 600.0


@dataclass
class Seeder:
    """A peer that has a file, as the index knows it."""

    address: Address
    file_size: int
    file_hash: str
    heard: float = field(default_factory=time.time)
    handed: int = 0
    credit: int = 0


class Index:
    """Handles each connection in a thread of its own."""

    def __init__(self, options: Namespace) -> None:
        self.options = options
        self.lock = threading.Lock()
        self.files: dict[str, list[Seeder]] = {}
        self.awaited: dict[tuple[Address, str], queue.Queue[Message]] = {}
        self.asked: dict[tuple[Address, str], tuple[float, Seeder | None]] = {}
        self.door = Door(options.listen, options.segment)
        self.here = self.door.here

    def run(self) -> None:
        self.door.open(self._handle)
        obey({"files": self.show})

    def show(self) -> Fields:
        """What is listed."""
        with self.lock:
            listed = {name: [vars(seeder) for seeder in seeders] for name, seeders in self.files.items() if seeders}
            return {"files": listed}

    def _handle(self, message: Message, sender: Address) -> None:
        if message.kind in self.options.deaf:
            return
        if message.kind == "REGISTER" and self._may_register(message, sender):
            in_background(self._register, message)
        elif message.kind == "REGISTER_ACK":
            with self.lock:
                waiting = self.awaited.get((message.address, message.file_name))
            if waiting:
                waiting.put(message)
        elif message.kind == "REQ_FILE" and self._is_own(message, sender):
            in_background(self._find, message)

    def _send(self, address: Address, message: Message) -> None:
        trace(">", address, str(message))
        with socket.create_connection(address, timeout=self.options.timeout) as connection:
            connection.sendall(encode(message, self.options.segment))

    def _is_own(self, message: Message, sender: Address) -> bool:
        own = message.ip == sender[0] or self.options.allow_other_addresses
        if not own:
            trace("!", sender, f"names the address of another: {message.ip}")
        return own

    def _may_register(self, message: Message, sender: Address) -> bool:
        with self.lock:
            when, _ = self.asked.get((message.address, message.file_name), (0.0, None))
        return time.time() - when < ASKED_SECONDS or self._is_own(message, sender)

    def _register(self, message: Message) -> None:
        seeder = Seeder(message.address, message.file_size, message.file_hash)
        confirmed = self._confirm(message.file_name, seeder)
        with self.lock:
            listed = self.files.setdefault(message.file_name, [])
            known = [other for other in listed if other.address == seeder.address]
            if known:
                seeder.credit, seeder.handed = known[0].credit, known[0].handed
                listed.remove(known[0])
            if confirmed:
                listed.append(seeder)
                self._give_credit(message)
        where = "{}:{}".format(*message.address)
        report("registered" if confirmed else "dropped", file=message.file_name, seeder=where)

    def _give_credit(self, message: Message) -> None:
        """A leecher that has become a seeder is to the credit of the seeder it was sent to."""
        _, giver = self.asked.pop((message.address, message.file_name), (0.0, None))
        if giver:
            giver.credit += 1

    def _confirm(self, name: str, seeder: Seeder) -> bool:
        """Asks a seeder for the hash of a file, and compares."""
        answers: queue.Queue[Message] = queue.Queue()
        with self.lock:
            self.awaited[seeder.address, name] = answers
        try:
            ip, port = self.here
            self._send(seeder.address, Message("REGISTER_CONF", name, ip, port, file_size=seeder.file_size))
            answer = answers.get(timeout=self.options.timeout)
        except (OSError, queue.Empty) as error:
            trace("!", seeder.address, f"no confirmation: {error}")
            return False
        finally:
            with self.lock:
                self.awaited.pop((seeder.address, name), None)
        seeder.heard = time.time()
        return answer.file_hash.lower() == seeder.file_hash.lower()

    def _find(self, message: Message) -> None:
        seeder = self._choose_live(message.file_name, message.address)
        with self.lock:
            self.asked[message.address, message.file_name] = (time.time(), seeder)
        answer = Message("ERR_FILE_NOT_FOUND")
        if seeder:
            ip, port = seeder.address
            answer = Message("FILE_FOUND", message.file_name, ip, port, seeder.file_hash)
        try:
            self._send(message.address, answer)
        except OSError as error:
            trace("!", message.address, str(error))

    def _choose_live(self, name: str, asker: Address) -> Seeder | None:
        while seeder := self._choose(name, asker):
            if time.time() - seeder.heard < self.options.fresh or self._confirm(name, seeder):
                seeder.handed += 1
                return seeder
            with self.lock:
                self.files[name].remove(seeder)
            report("dropped", file=name, seeder="{}:{}".format(*seeder.address))
        return None

    def _choose(self, name: str, asker: Address) -> Seeder | None:
        with self.lock:
            seeders = [seeder for seeder in self.files.get(name, []) if seeder.address != asker]
        if not seeders:
            return None
        if self.options.pick == "round-robin":
            return min(seeders, key=lambda seeder: seeder.handed)
        weights = [1 + seeder.credit if self.options.pick == "credit" else 1 for seeder in seeders]
        return random.choices(seeders, weights)[0]
