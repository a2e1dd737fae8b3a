"""A peer server of the Napster-like network: shares the files of a folder, and fetches files of others.

"Napster-like p2p network", a final project report. Assumptions beyond the document:

- each message goes over a connection of its own, DATA too unless told otherwise;
- messages of the index count only if they come from the index server's IP address;
- DATA may come in any order and twice; the file appears under its name when its SHA-256 fits FILE_FOUND;
- a seeder that stops or sends something else is given up, and the index asked again, three times in all;
- a seeder without the file answers ERR_FILE_NOT_FOUND.
"""

from __future__ import annotations

import hashlib
import queue
import random
import socket
import threading
import time
from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path

from console import Address, Fields, Quit, Refused, in_background, obey, parse_address, report, trace
from napster_link import Door
from napster_wire import MAX_FILE_BYTES, NAME_BYTES, Message, encode

ROUNDS = 3
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0
FINISH_SECONDS = 3.0


@dataclass
class Download:
    """A file on its way: the segments that have come."""

    name: str
    file_hash: str
    seeder: Address
    size: int | None = None
    parts: dict[int, bytes] = field(default_factory=dict)
    progress: threading.Event = field(default_factory=threading.Event)
    failed: bool = False

    def take(self, message: Message, segment: int) -> None:
        self.size = message.file_size
        length = min(message.segment_size, segment, max(0, self.size - message.segno * segment))
        self.parts[message.segno] = message.data[:length]
        self.progress.set()

    def bytes(self) -> bytes | None:
        """The whole file once every byte is there."""
        if self.size is None or sum(map(len, self.parts.values())) < self.size:
            return None
        return b"".join(self.parts[number] for number in sorted(self.parts))


class Peer:
    """Leecher by command, seeder for whoever asks."""

    def __init__(self, options: Namespace) -> None:
        self.options = options
        self.server = parse_address(options.server)
        self.folder: Path = options.dir
        self.folder.mkdir(parents=True, exist_ok=True)
        self.faults_left = options.faults
        self.found: queue.Queue[Message] = queue.Queue()
        self.confirmed: dict[str, threading.Event] = {}
        self.download: Download | None = None
        self.door = Door(options.listen, options.segment)
        self.here = self.door.here

    def run(self) -> None:
        self.door.open(self._handle)
        obey({"register": self.register, "get": self.get, "list": self.show, "quit": self.quit})

    # Commands

    def register(self, name: str) -> Fields:
        """Offers a file; done when the index has asked for the confirmation and got it."""
        data = (self.folder / name).read_bytes()
        if len(name.encode()) > NAME_BYTES:
            raise Refused("Name_Too_Long")
        if len(data) > MAX_FILE_BYTES:
            raise Refused("File_Too_Big")
        confirmed = self.confirmed[name] = threading.Event()
        digest = hashlib.sha256(data).hexdigest()
        self._send(self.server, Message("REGISTER", name, *self.here, digest, len(data)))
        if not confirmed.wait(ANSWER_SECONDS):
            raise Refused("Not_Confirmed")
        return {"file": name, "size": len(data), "hash": digest}

    def get(self, name: str) -> Fields:
        """Fetches a file from a seeder the index names."""
        for attempt in range(1, ROUNDS + 1):
            found = self._ask_index(name)
            if found.kind == "ERR_FILE_NOT_FOUND":
                raise Refused("File_Not_Found")
            reason = self._fetch(found)
            seeder = "{}:{}".format(*found.address)
            if reason is None:
                return {"file": name, "hash": found.file_hash, "seeder": seeder, "attempts": attempt}
            report("attempt", file=name, seeder=seeder, attempt=attempt, reason=reason)
        raise Refused(reason or "Not_Fetched")

    def show(self) -> Fields:
        """The files of the folder."""
        names = [path.name for path in self.folder.iterdir() if path.is_file() and not path.name.startswith(".")]
        return {"files": sorted(names)}

    def quit(self) -> Fields:
        """Ends the program; the index finds out."""
        raise Quit

    def _ask_index(self, name: str) -> Message:
        while not self.found.empty():
            self.found.get_nowait()
        self._send(self.server, Message("REQ_FILE", name, *self.here))
        deadline = time.time() + ANSWER_SECONDS
        try:
            while True:
                answer = self.found.get(timeout=max(0.0, deadline - time.time()))
                if answer.kind == "ERR_FILE_NOT_FOUND" or answer.file_name == name:
                    return answer
        except queue.Empty:
            raise Refused("No_Answer") from None

    def _fetch(self, found: Message) -> str | None:
        """Has the seeder send the file; returns why it did not come, or None."""
        download = self.download = Download(found.file_name, found.file_hash, found.address)
        try:
            self._send(found.address, Message("REQ_FILE", found.file_name, *self.here))
            while (data := download.bytes()) is None:
                if download.failed or not download.progress.wait(self.options.stall):
                    return "Seeder_Has_It_Not" if download.failed else "Stalled"
                download.progress.clear()
            if hashlib.sha256(data).hexdigest() != found.file_hash.lower():
                return "Hash_Mismatch"
            draft = self.folder / f".{found.file_name}.part"
            draft.write_bytes(data)
            draft.replace(self.folder / found.file_name)
            return None
        except OSError as error:
            return str(error)
        finally:
            self.download = None

    # Messages

    def _send(self, address: Address, message: Message) -> None:
        trace(">", address, str(message))
        with self._connect(address) as connection:
            connection.sendall(encode(message, self.options.segment))

    def _connect(self, address: Address) -> socket.socket:
        """A connection that comes from the address inside the messages."""
        return socket.create_connection(address, CONNECT_SECONDS, source_address=(self.here[0], 0))

    def _handle(self, message: Message, sender: Address) -> None:
        download = self.download
        if message.kind == "REQ_FILE":
            in_background(self._seed, message, sender)
        elif message.kind == "DATA" and download and message.file_name == download.name:
            if sender[0] == download.seeder[0]:
                download.take(message, self.options.segment)
        elif message.kind == "ERR_FILE_NOT_FOUND" and download and sender[0] == download.seeder[0]:
            download.failed = True
            download.progress.set()
        elif sender[0] == self.server[0]:
            self._obey_index(message)

    def _obey_index(self, message: Message) -> None:
        if message.kind == "REGISTER_CONF":
            in_background(self._confirm, message)
        elif message.kind in ("FILE_FOUND", "ERR_FILE_NOT_FOUND"):
            self.found.put(message)

    def _confirm(self, message: Message) -> None:
        """Answers the index with the hash of the file as it is now; waits for a download that is about to end."""
        name = message.file_name
        deadline = time.time() + FINISH_SECONDS
        while (data := self._read_file(name)) is None and time.time() < deadline:
            time.sleep(0.05)
        if data is None or self.options.silent_conf:
            return
        digest = "0" * 64 if self.options.lie_hash else hashlib.sha256(data).hexdigest()
        try:
            self._send(message.address, Message("REGISTER_ACK", name, *self.here, digest, len(data)))
        except OSError as error:
            trace("!", message.address, str(error))
        if name in self.confirmed:
            self.confirmed[name].set()

    def _read_file(self, name: str) -> bytes | None:
        if not name or name.startswith(".") or "/" in name:
            return None
        path = self.folder / name
        return path.read_bytes() if path.is_file() else None

    # Seeding

    def _seed(self, message: Message, sender: Address) -> None:
        leecher = message.address
        data = self._read_file(message.file_name)
        try:
            if message.ip != sender[0]:
                trace("!", sender, f"asks for another: {message.ip}")
            elif data is None:
                self._send(leecher, Message("ERR_FILE_NOT_FOUND"))
            else:
                self._send_file(leecher, message.file_name, data)
                self._report_leecher(leecher, message.file_name, data)
        except OSError as error:
            trace("!", leecher, str(error))

    def _send_file(self, leecher: Address, name: str, data: bytes) -> None:
        segments = self._segments(name, data)
        if self.options.shuffle:
            segments = segments * 2
            random.shuffle(segments)
        if self._is_faulty() and self.options.break_after is not None:
            stream = b"".join(encode(segment, self.options.segment) for segment in segments)
            self._send_bytes(leecher, stream[: self.options.break_after])
            raise ConnectionAbortedError(f"broken off after {self.options.break_after} bytes")
        if self.options.one_connection:
            trace(">", leecher, f"{len(segments)} DATA, from {segments[0]}")
            self._send_bytes(leecher, b"".join(encode(segment, self.options.segment) for segment in segments))
            return
        for segment in segments:
            self._send(leecher, segment)

    def _send_bytes(self, address: Address, data: bytes) -> None:
        with self._connect(address) as connection:
            connection.sendall(data)

    def _segments(self, name: str, data: bytes) -> list[Message]:
        step = self.options.segment
        digest = hashlib.sha256(data).hexdigest()
        size = len(data)
        if self.options.corrupt and self.faults_left != 0 and data:
            data = bytes([data[0] ^ 0xFF]) + data[1:]
        segments = []
        for number in range(max(1, -(-size // step))):
            part = data[number * step : (number + 1) * step]
            used = step if self.options.full_segment_size else len(part)
            segments.append(Message("DATA", name, *self.here, digest, size, used, number, part))
        return segments

    def _is_faulty(self) -> bool:
        faulty = self.faults_left != 0 and (self.options.corrupt or self.options.break_after is not None)
        self.faults_left -= 1 if faulty else 0
        return faulty

    def _report_leecher(self, leecher: Address, name: str, data: bytes) -> None:
        """The leecher has the file now: the index shall know it as a seeder."""
        if not self.options.no_report:
            digest = hashlib.sha256(data).hexdigest()
            self._send(self.server, Message("REGISTER", name, *leecher, digest, len(data)))
