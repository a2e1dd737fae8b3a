"""A peer of the peer to peer content system: registers, serves and downloads content.

A course report on a peer to peer content system, section 2, Client. Assumptions beyond the document:

- a request to the index without answer is sent again, three times in all;
- every content has a port of its own; a connection that closes without a word is a probe of the index;
- a D PDU has the peer name at 0 to 9 and the content name at 10 to 19; the other order is understood too;
- a content that is not there is answered with an E PDU; an empty one is the type byte of a C PDU alone.
"""

from __future__ import annotations

import socket
import threading
import time
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from console import Address, Fields, Quit, Refused, in_background, obey, parse_address, report, trace
from content_pdu import (
    CONTENT,
    DATA_BYTES,
    HOST,
    MAX_NAME_BYTES,
    PDU_BYTES,
    PEER,
    PORT,
    BadPdu,
    Pdu,
    decode,
    pdu,
    split_content,
    text_pdu,
)

ATTEMPTS = 3
ANSWER_SECONDS = 2.0
TCP_SECONDS = 10.0


@dataclass
class Offer:
    """A registered content and the socket that waits for those who want it."""

    name: str
    listener: socket.socket

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])


class Peer:
    """The commands are the letters of the document's menu."""

    def __init__(self, options: Namespace) -> None:
        self.options = options
        self.server = parse_address(options.server)
        self.folder: Path = options.dir
        self.folder.mkdir(parents=True, exist_ok=True)
        self.offers: dict[str, Offer] = {}
        self.lock = threading.Lock()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((options.listen, 0))

    def run(self) -> None:
        report("ready", name=self.options.name, listen="{}:{}".format(*self.udp.getsockname()), udp=self._udp_port())
        obey({
            "R": self.register,
            "T": self.deregister,
            "L": self.list_local,
            "O": self.list_index,
            "D": self.download,
            "Q": self.quit,
        })  # fmt: skip

    def _udp_port(self) -> int:
        return int(self.udp.getsockname()[1])

    # Commands

    def register(self, name: str) -> Fields:
        """R: offers a content of the folder on a port of its own."""
        self._check_name(name)
        if not (self.folder / name).is_file():
            raise Refused("No_Such_File")
        offer = Offer(name, socket.create_server((self.options.listen, 0), backlog=128))
        self._ask_acknowledged(pdu("R", (PEER, self.options.name), (CONTENT, name), (PORT, str(offer.port))), offer)
        self.offers[name] = offer
        in_background(self._serve_all, offer)
        return {"peer": self.options.name, "content": name, "port": offer.port}

    def deregister(self, name: str) -> Fields:
        """T: takes a content back."""
        self._ask_acknowledged(pdu("T", (PEER, self.options.name), (CONTENT, name)), None)
        offer = self.offers.pop(name, None)
        if offer:
            offer.listener.shutdown(socket.SHUT_RDWR)
            offer.listener.close()
        return {"content": name}

    def list_local(self) -> Fields:
        """L: what is registered, with its port."""
        return {"contents": [{"name": offer.name, "port": offer.port} for offer in self.offers.values()]}

    def list_index(self) -> Fields:
        """O: all names the index knows."""
        with self.lock:
            first = self._ask(pdu("O", (PEER, self.options.name)))
            if first.kind != "O" or not first.any_text().isdigit():
                raise Refused(first.any_text())
            names = [self._receive("O").any_text() for _ in range(int(first.any_text()))]
        return {"names": names}

    def download(self, name: str) -> Fields:
        """D: fetches a content from the provider the index names, then registers it."""
        self._check_name(name)
        with self.lock:
            answer = self._ask(pdu("S", (PEER, self.options.name), (CONTENT, name)))
        if answer.kind != "S":
            raise Refused(answer.any_text())
        address = answer.text(HOST), int(answer.text(PORT))
        data = self._fetch(address, name)
        draft = self.folder / f".{name}.part"
        draft.write_bytes(data)
        draft.replace(self.folder / name)
        result = {"content": name, "host": address[0], "port": address[1], "bytes": len(data)}
        try:
            return {**result, "registered": self.register(name)["port"]}
        except Refused as error:
            return {**result, "registered": None, "refused": str(error)}

    def quit(self) -> Fields:
        """Q: takes everything back, and leaves."""
        for name in list(self.offers):
            try:
                self.deregister(name)
            except Refused as error:
                trace("!", self.server, f"{name}: {error}")
        raise Quit

    def _check_name(self, name: str) -> None:
        if not 0 < len(name.encode()) <= MAX_NAME_BYTES or "/" in name or name.startswith("."):
            raise Refused("Bad_Name")

    # The index

    def _ask_acknowledged(self, request: Pdu, offer: Offer | None) -> None:
        with self.lock:
            answer = self._ask(request)
        if answer.kind != "A":
            if offer:
                offer.listener.close()
            raise Refused(answer.any_text())

    def _ask(self, request: Pdu) -> Pdu:
        self._discard_late()
        for _ in range(ATTEMPTS):
            trace(">", self.server, str(request))
            self.udp.sendto(request.encode(), self.server)
            try:
                return self._receive("AESO")
            except Refused:
                continue
        raise Refused("No_Answer")

    def _discard_late(self) -> None:
        self.udp.setblocking(False)
        try:
            while True:
                self.udp.recv(4096)
        except BlockingIOError:
            pass

    def _receive(self, kinds: str) -> Pdu:
        deadline = time.time() + ANSWER_SECONDS
        while (left := deadline - time.time()) > 0:
            self.udp.settimeout(left)
            try:
                data, address = self.udp.recvfrom(4096)
            except TimeoutError:
                break
            answer = decode(data)
            trace("<", address, str(answer))
            if address == self.server and answer.kind in kinds:
                return answer
        raise Refused("No_Answer")

    # Other peers

    def _fetch(self, address: Address, name: str) -> bytes:
        fields = [(PEER, self.options.name), (CONTENT, name)]
        if self.options.content_first:
            fields = [(PEER, name), (CONTENT, self.options.name)]
        request = pdu("D", *fields)
        source = (self.options.listen, 0)
        with socket.create_connection(address, TCP_SECONDS, source_address=source) as connection:
            trace(">", address, str(request))
            connection.sendall(request.encode())
            data = connection.makefile("rb").read()
        trace("<", address, f"{len(data)} bytes, from {data[:20]!r}")
        if not data:
            raise Refused("Closed_Without_Answer")
        if data.startswith(b"E"):
            raise Refused(decode(data[:PDU_BYTES]).any_text())
        try:
            return split_content(data)
        except BadPdu as error:
            raise Refused(str(error)) from None

    def _serve_all(self, offer: Offer) -> None:
        while True:
            try:
                connection, address = offer.listener.accept()
            except OSError:
                return
            in_background(self._serve, connection, address, offer)

    def _serve(self, connection: socket.socket, address: Address, offer: Offer) -> None:
        connection.settimeout(TCP_SECONDS)
        try:
            with connection:
                data = connection.makefile("rb").read(PDU_BYTES)
                if not data:
                    return
                request = decode(data)
                trace("<", address, str(request))
                connection.sendall(self._content(request, offer))
        except (OSError, BadPdu) as error:
            trace("!", address, str(error))

    def _content(self, request: Pdu, offer: Offer) -> bytes:
        """The whole answer to a D PDU, in the form the options say."""
        path = self.folder / offer.name
        if request.kind != "D" or offer.name not in (request.text(CONTENT), request.text(PEER)) or not path.is_file():
            return text_pdu("E", "Content not found").encode()
        data = path.read_bytes()
        if self.options.short is not None:
            return _c_pdus(data)[: self.options.short]
        answer = _c_pdus(data)
        if self.options.padded and len(answer) % PDU_BYTES:
            answer += bytes(PDU_BYTES - len(answer) % PDU_BYTES)
        return answer + (text_pdu("A", "").encode() if self.options.end_mark else b"")


def _c_pdus(data: bytes) -> bytes:
    starts = range(0, max(1, len(data)), DATA_BYTES)
    return b"".join(b"C" + data[start : start + DATA_BYTES] for start in starts)
