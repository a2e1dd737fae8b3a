"""The index server of the peer to peer content system.

A course report on a peer to peer content system, section 2, Server. Assumptions beyond the document:

- a provider's address is where its datagram came from, its port stands in the R PDU;
- R is refused if the peer provides the content already, or if its name is registered from another host;
- O is answered with one PDU that has the number of names, then one PDU for each name;
- now and then the index connects to each provider's port, and forgets those that are gone.
"""

from __future__ import annotations

import socket
import threading
from argparse import Namespace
from dataclasses import dataclass

from console import Address, Fields, every, in_background, obey, parse_address, report, trace
from content_pdu import CONTENT, HOST, PEER, PORT, BadPdu, Pdu, decode, pdu, text_pdu

PROBE_SECONDS = 3.0


@dataclass(frozen=True)
class Entry:
    """A content of a provider."""

    content: str
    peer: str
    host: str
    port: int


class Index:
    """The queue of entries, searched from the front; what is handed out goes to the back."""

    def __init__(self, options: Namespace) -> None:
        self.options = options
        self.lock = threading.Lock()
        self.queue: list[Entry] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(parse_address(options.listen))

    def run(self) -> None:
        in_background(self._receive_all)
        every(self.options.probe, self._probe)
        report("ready", listen="{}:{}".format(*self.socket.getsockname()))
        obey({"entries": self.show})

    def show(self) -> Fields:
        """The queue from front to back."""
        with self.lock:
            return {"entries": [vars(entry) for entry in self.queue]}

    def _receive_all(self) -> None:
        while True:
            try:
                data, address = self.socket.recvfrom(4096)
                request = decode(data)
                trace("<", address, str(request))
                for answer in self._answer(request, address):
                    trace(">", address, str(answer))
                    self.socket.sendto(answer.encode(), address)
            except (OSError, BadPdu) as error:
                trace("!", "-", str(error))

    def _answer(self, request: Pdu, address: Address) -> list[Pdu]:
        if request.kind in self.options.deaf:
            return []
        with self.lock:
            match request.kind:
                case "R":
                    return [self._register(request, address)]
                case "S":
                    return [self._search(request)]
                case "T":
                    return [self._deregister(request)]
                case "O":
                    return self._list()
        return [text_pdu("E", "Unknown type")]

    def _register(self, request: Pdu, address: Address) -> Pdu:
        peer, content, port = (request.text(part) for part in (PEER, CONTENT, PORT))
        if not peer or not content or not port.isdigit() or not 0 < int(port) < 65536:
            return text_pdu("E", "Malformed registration")
        entry = Entry(content, peer, address[0], int(port))
        if any(other.peer == peer and other.host != entry.host for other in self.queue):
            return text_pdu("E", "Peer name already registered")
        if any((other.peer, other.content) == (peer, content) for other in self.queue):
            return text_pdu("E", "Content already registered")
        self.queue.append(entry)
        return text_pdu("A", "Registered")

    def _search(self, request: Pdu) -> Pdu:
        content = request.text(CONTENT)
        for entry in self.queue:
            if entry.content == content:
                self.queue.remove(entry)
                self.queue.append(entry)
                return pdu("S", (HOST, entry.host), (PORT, str(entry.port)))
        return text_pdu("E", "Content not found")

    def _deregister(self, request: Pdu) -> Pdu:
        wanted = request.text(PEER), request.text(CONTENT)
        for entry in self.queue:
            if (entry.peer, entry.content) == wanted:
                self.queue.remove(entry)
                return text_pdu("A", "Deregistered")
        return text_pdu("E", "Content not found")

    def _list(self) -> list[Pdu]:
        names = list(dict.fromkeys(entry.content for entry in self.queue))
        start = self.options.names_at
        place = slice(start, start + 10)
        return [text_pdu("O", str(len(names))), *(pdu("O", (place, name)) for name in names)]

    def _probe(self) -> None:
        with self.lock:
            entries = list(self.queue)
        for entry in entries:
            try:
                socket.create_connection((entry.host, entry.port), PROBE_SECONDS).close()
            except OSError as error:
                self._drop(entry, str(error))

    def _drop(self, entry: Entry, reason: str) -> None:
        trace("!", (entry.host, entry.port), f"gone: {reason}")
        with self.lock:
            if entry in self.queue:
                self.queue.remove(entry)
        report("dropped", peer=entry.peer, content=entry.content)
