"""A peer of P2PBRS, as owner of backups and as storage for others.

"Project: Peer-to-Peer File Backup and Recovery System (P2PBRS)", COEN 366, Concordia University, Fall 2025.
Assumptions beyond the document:

- a request without answer is sent again after 1, 2 and 4 seconds;
- the peer registers when it starts and listens to the server's address alone;
- a chunk is taken only if a STORAGE_TASK or STORE_REQ named its file, and from the address named there if one was;
  the request may come a moment after the chunk;
- CHUNK_OK and CHUNK_ERROR may come as a line on the TCP connection or by UDP;
- after three failed attempts a chunk goes to the next peer of the list; a file of which a chunk went nowhere is not
  reported with BACKUP_DONE;
- a holder closes the connection after CHUNK_DATA and its bytes.
"""

from __future__ import annotations

import queue
import socket
import time
from argparse import Namespace
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import p2pbrs_text as text
from console import Address, Fields, Quit, Refused, every, in_background, leave, obey, parse_address, report, trace
from p2pbrs_chunks import ChunkStore
from p2pbrs_text import ChunkHeader, Place, Plan, parse_header, parse_plan, quote, unquote_name

RESEND_SECONDS = (1.0, 2.0, 4.0, 3.0)
ATTEMPTS = 3
RETRY_PAUSE_SECONDS = 0.05
EXPECT_SECONDS = 2.0
TCP_SECONDS = 10.0


@dataclass
class Job:
    """A file being backed up: which peer has confirmed which chunk."""

    file: str
    data: bytes
    plan: Plan
    chunk_size: int
    confirmed: dict[int, list[str]] = field(default_factory=dict)

    def chunk(self, number: int) -> bytes:
        return self.data[number * self.chunk_size : (number + 1) * self.chunk_size]

    @property
    def chunks(self) -> int:
        return text.chunk_count(len(self.data), self.chunk_size)


@dataclass(frozen=True)
class Task:
    """What the server has announced for a file: whose it is, and from where it will come, if told."""

    owner: str
    bringer: Address | None


class Peer:
    """Both roles; the command line decides which the server is told."""

    def __init__(self, options: Namespace) -> None:
        self.options = options
        self.server = parse_address(options.server)
        self.folder: Path = options.dir
        self.folder.mkdir(parents=True, exist_ok=True)
        self.store = ChunkStore(self.folder / ".chunks")
        self.capacity = text.parse_capacity(options.capacity)
        self.known: dict[str, Address] = dict(_named_address(item) for item in options.know)
        self.tasks: dict[str, Task] = {}
        self.jobs: dict[str, Job] = {}
        self.waiting: dict[str, queue.Queue[str]] = {}
        self.verdicts: dict[tuple[str, ...], queue.Queue[str]] = {}
        self.faults_left = options.faults
        self.next_rq = int(time.time() * 10) % 1_000_000
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, text.RECEIVE_BUFFER_BYTES)
        self.udp.bind((options.listen, options.udp))
        self.tcp = socket.create_server((options.listen, options.tcp), backlog=64)

    def run(self) -> None:
        in_background(self._receive_all)
        in_background(self._accept_all)
        self._register()
        if not self.options.mute:
            every(self.options.heartbeat, self._heartbeat)
        ip, udp, tcp = self._endpoint()
        report("ready", name=self.options.name, listen=f"{ip}:{tcp}", udp=udp, tcp=tcp)
        obey({
            "backup": self.backup,
            "restore": self.restore,
            "list": self.show,
            "deregister": self.deregister,
            "quit": self.quit,
        })  # fmt: skip

    # Control messages

    def _endpoint(self) -> tuple[str, int, int]:
        return self.options.listen, self.udp.getsockname()[1], self.tcp.getsockname()[1]

    def _rq(self) -> str:
        self.next_rq += 1
        return str(self.next_rq)

    def _send(self, address: Address, message: str) -> None:
        trace(">", address, message)
        self.udp.sendto(message.encode(), address)

    def _ask(self, keyword: str, *fields: str) -> str:
        """Sends a request until its answer comes."""
        rq = self._rq()
        answers = self.waiting[rq] = queue.Queue()
        try:
            for seconds in RESEND_SECONDS:
                self._send(self.server, " ".join([keyword, rq, *fields]))
                try:
                    return answers.get(timeout=seconds)
                except queue.Empty:
                    continue
            raise Refused("No_Answer")
        finally:
            del self.waiting[rq]

    def _receive_all(self) -> None:
        while True:
            try:
                data, address = self.udp.recvfrom(65536)
            except OSError:
                continue
            message = data.decode("utf-8", "replace").rstrip("\r\n")
            trace("<", address, message)
            try:
                self._receive(message, address)
            except (ValueError, IndexError) as error:
                trace("!", address, f"not understood: {error}")

    def _receive(self, message: str, address: Address) -> None:
        keyword, *fields = message.split(" ")
        if keyword in ("CHUNK_OK", "CHUNK_ERROR"):
            self._note_verdict(message)
        elif address != self.server:
            trace("!", address, "is not the server")
        elif keyword in ("STORAGE_TASK", "STORE_REQ"):
            self._note_task(fields)
        elif keyword == "REPLICATE_REQ":
            in_background(self._replicate, fields)
        elif (answers := self.waiting.get(fields[0])) is not None:
            answers.put(message)
        elif keyword == "BACKUP_PLAN":
            in_background(self._follow_new_plan, message)

    def _note_verdict(self, message: str) -> None:
        waiting = self.verdicts.get(tuple(message.split(" ")[1:4]))
        if waiting is not None:
            waiting.put(message)

    def _note_task(self, fields: list[str]) -> None:
        bringer = None
        if len(fields) > 4:
            ip, udp, *_ = fields[4].strip("[]").split(":")
            bringer = ip, int(udp)
        self.tasks[unquote_name(fields[1])] = Task(fields[3], bringer)

    def _register(self) -> None:
        ip, udp, tcp = self._endpoint()
        options = self.options
        try:
            answer = self._ask("REGISTER", options.name, options.role, ip, str(udp), str(tcp), options.capacity)
            if not answer.startswith("REGISTERED"):
                raise Refused(answer.split(" ", 2)[-1])
        except Refused as error:
            report("error", command="register", reason=str(error))
            leave(1)

    def _heartbeat(self) -> None:
        stamp = str(int(time.time()))
        self._send(self.server, f"HEARTBEAT {self._rq()} {self.options.name} {len(self.store.sizes)} {stamp}")

    # Owner

    def backup(self, name: str, chunk_size: str | None = None) -> Fields:
        """Brings the file to the peers the server plans for it."""
        data = (self.folder / name).read_bytes()
        file = Path(name).name
        fields = [quote(file), str(len(data)), text.checksum(self.options.checksum, data)]
        answer = self._ask("BACKUP_REQ", *fields, *([chunk_size] if chunk_size else []))
        if not answer.startswith("BACKUP_PLAN"):
            raise Refused(answer.split(" ", 2)[-1])
        plan = parse_plan(answer, self.known)
        job = self.jobs[file] = Job(file, data, plan, int(plan.rest[0]))
        self._bring_all(job, plan.rq)
        count = Counter(name for names in job.confirmed.values() for name in names)
        return {"file": file, "chunks": job.chunks, "chunk_size": job.chunk_size, "holders": dict(count)}

    def _bring_all(self, job: Job, rq: str) -> None:
        lost = [chunk for chunk in range(job.chunks) if not self._bring(job, chunk)]
        if lost:
            raise Refused(f"Not_Stored {' '.join(map(str, lost[:20]))}")
        if self.options.acks:
            self._ask("BACKUP_DONE", quote(job.file))
        else:
            self._send(self.server, f"BACKUP_DONE {rq} {quote(job.file)}")

    def _bring(self, job: Job, chunk: int) -> bool:
        """Brings a chunk to as many peers as it should have; the next of the list stands in for one that fails."""
        confirmed = job.confirmed.setdefault(chunk, [])
        places = job.plan.holders(chunk)
        named = [place.name for place in places if place.chunks and chunk in place.chunks]
        wanted = max(self.options.replicas, len(named))
        fresh = 0
        for place in places[: wanted + 1]:
            if fresh < wanted and (place.name in confirmed or self._bring_to(job, chunk, place)):
                fresh += 1
                confirmed[:] = list(dict.fromkeys([*confirmed, place.name]))
        return fresh > 0

    def _bring_to(self, job: Job, chunk: int, place: Place) -> bool:
        for attempt in range(ATTEMPTS):
            try:
                verdict = self._send_chunk(job.file, chunk, job.chunk(chunk), place.address)
            except OSError as error:
                verdict = str(error)
            if verdict.startswith("CHUNK_OK"):
                return True
            report("attempt", file=job.file, chunk=chunk, peer=place.name, attempt=attempt + 1, reason=verdict)
            time.sleep(RETRY_PAUSE_SECONDS)
        return False

    def _send_chunk(self, file: str, chunk: int, data: bytes, address: Address) -> str:
        """Sends one chunk on a connection of its own; returns the verdict."""
        check = None if self.options.no_checksum else text.checksum(self.options.checksum, data)
        rq = self._rq()
        header = ChunkHeader(rq, file, chunk, len(data), check).write(not self.options.no_keyword)
        verdicts = self.verdicts[rq, quote(file), str(chunk)] = queue.Queue()
        with self._connect(address) as connection:
            trace(">", address, header)
            connection.sendall(header.encode() + b"\n")
            self._send_body(connection, data)
            return self._verdict(connection, address, verdicts)

    def _connect(self, address: Address) -> socket.socket:
        """A connection that comes from the address the peer has registered."""
        return socket.create_connection(address, TCP_SECONDS, source_address=(self.options.listen, 0))

    def _send_body(self, connection: socket.socket, data: bytes) -> None:
        """The bytes of a chunk, damaged or cut short if the program is told to misbehave."""
        cut = self.options.break_after
        if self.faults_left == 0 or not (self.options.corrupt or cut is not None):
            connection.sendall(data)
            return
        self.faults_left -= 1
        if self.options.corrupt and data:
            data = bytes([data[0] ^ 0xFF]) + data[1:]
        connection.sendall(data[:cut])
        if cut is not None:
            raise ConnectionAbortedError(f"broken off after {cut} bytes")

    def _verdict(self, connection: socket.socket, address: Address, by_udp: queue.Queue[str]) -> str:
        """Waits for CHUNK_OK or CHUNK_ERROR, by either way."""
        connection.settimeout(0.05)
        deadline, line, ended = time.time() + TCP_SECONDS, b"", False
        while time.time() < deadline:
            try:
                return by_udp.get_nowait()
            except queue.Empty:
                pass
            if ended:
                time.sleep(0.02)
                continue
            try:
                more = connection.recv(text.MAX_HEADER_BYTES)
            except TimeoutError:
                continue
            line += more
            if b"\n" in line or (not more and line):
                message = line.split(b"\n")[0].decode("utf-8", "replace")
                trace("<", address, message)
                return message
            if not more:
                ended, deadline = True, time.time() + 1.0
        return "No_Answer"

    def _follow_new_plan(self, message: str) -> None:
        """The server has put other peers in the place of silent ones: what they do not have is brought to them."""
        plan = parse_plan(message, self.known)
        job = self.jobs.get(plan.file)
        if job is None:
            return
        job.plan = plan
        try:
            self._bring_all(job, plan.rq)
            report("replanned", file=job.file, peers=[place.name for place in plan.places])
        except (Refused, OSError) as error:
            report("replan-failed", file=job.file, reason=str(error))

    def restore(self, name: str) -> Fields:
        """Fetches a file back from its holders, and checks it as a whole."""
        answer = self._ask("RESTORE_REQ", quote(name))
        if not answer.startswith("RESTORE_PLAN"):
            raise Refused(answer.split(" ", 3)[-1])
        plan = parse_plan(answer, self.known)
        chunk_size, chunks, check = self._shape(name, plan)
        parts = [self._fetch(plan, chunk, chunk_size) for chunk in range(chunks)]
        missing = [chunk for chunk, part in enumerate(parts) if part is None]
        data = b"".join(part or b"" for part in parts)
        mismatch = None if text.matches(check, data) else "Checksum_Mismatch"
        reason = f"Missing_Chunk_{missing[0]}" if missing else mismatch
        if reason:
            self._send(self.server, f"RESTORE_FAIL {plan.rq} {quote(name)} {reason}")
            raise Refused(reason)
        draft = self.folder / f".{name}.part"
        draft.write_bytes(data)
        draft.replace(self.folder / name)
        self._send(self.server, f"RESTORE_OK {plan.rq} {quote(name)}")
        return {"file": name, "size": len(data), "checksum": check}

    def _shape(self, name: str, plan: Plan) -> tuple[int, int, str | None]:
        """Chunk size, number of chunks and checksum: from the plan, or from memory if it has the bare form."""
        if len(plan.rest) >= 3:
            return int(plan.rest[0]), int(plan.rest[1]), plan.rest[2]
        job = self.jobs.get(name)
        if job is None:
            raise Refused("Unknown_Size")
        return job.chunk_size, job.chunks, text.checksum(self.options.checksum, job.data)

    def _fetch(self, plan: Plan, chunk: int, chunk_size: int) -> bytes | None:
        for place in plan.holders(chunk):
            for _ in range(ATTEMPTS):
                try:
                    return self._get_chunk(plan, chunk, chunk_size, place.address)
                except Refused:
                    break
                except (OSError, ValueError) as error:
                    trace("!", place.address, str(error))
        return None

    def _get_chunk(self, plan: Plan, chunk: int, chunk_size: int, address: Address) -> bytes:
        with self._connect(address) as connection:
            message = f"GET_CHUNK {plan.rq} {quote(plan.file)} {chunk}"
            trace(">", address, message)
            connection.sendall(message.encode() + b"\n")
            stream = connection.makefile("rb")
            header = stream.readline(text.MAX_HEADER_BYTES).decode().rstrip("\r\n")
            trace("<", address, header)
            if not header.startswith("CHUNK_DATA"):
                raise Refused(header)
            data = stream.read(chunk_size)
        if not text.matches(header.split(" ")[4], data):
            raise ValueError("Checksum_Mismatch")
        return data

    # Storage

    def _accept_all(self) -> None:
        while True:
            connection, address = self.tcp.accept()
            in_background(self._serve, connection, address)

    def _serve(self, connection: socket.socket, address: Address) -> None:
        connection.settimeout(TCP_SECONDS)
        try:
            with connection, connection.makefile("rb") as stream:
                while header := stream.readline(text.MAX_HEADER_BYTES).decode().rstrip("\r\n"):
                    trace("<", address, header)
                    if header.startswith("GET_CHUNK"):
                        self._give(connection, address, header)
                        return
                    self._take(connection, address, parse_header(header), stream)
        except (OSError, ValueError) as error:
            trace("!", address, str(error))

    def _give(self, connection: socket.socket, address: Address, header: str) -> None:
        _, rq, file, chunk = header.split(" ")
        path = self.store.find(unquote_name(file), int(chunk))
        if path is None:
            self._answer(connection, address, f"CHUNK_ERROR {rq} {file} {chunk} No_Such_Chunk")
            return
        data = path.read_bytes()
        check = text.checksum(self.options.checksum, data)
        self._answer(connection, address, f"CHUNK_DATA {rq} {file} {chunk} {check}")
        self._send_body(connection, data)

    def _answer(self, connection: socket.socket, address: Address, message: str) -> None:
        trace(">", address, message)
        connection.sendall(message.encode() + b"\n")

    def _take(self, connection: socket.socket, address: Address, header: ChunkHeader, stream: BinaryIO) -> None:
        data = stream.read(header.size)
        if len(data) < header.size:
            raise ConnectionError(f"only {len(data)} of {header.size} bytes came")
        task = self._expected(header.file, address[0])
        reason = self._objection(task, header, data)
        subject = f"{header.rq} {quote(header.file)} {header.chunk}"
        if task and not reason:
            self.store.put(task.owner, header.file, header.chunk, data)
        verdict = f"CHUNK_ERROR {subject} {reason}" if reason else f"CHUNK_OK {subject}"
        by_udp = self.options.answer != "tcp" and task and task.bringer
        if by_udp:
            self._send(by_udp, verdict)
        if not self.options.silent and not (by_udp and self.options.answer == "udp"):
            self._answer(connection, address, verdict)
        if not reason and not self.options.no_ack:
            self._send(self.server, f"STORE_ACK {subject} {header.size}")

    def _expected(self, file: str, ip: str) -> Task | None:
        """The task that allows a chunk; datagram and connection race, so it waits for a moment."""
        deadline = time.time() + EXPECT_SECONDS
        while True:
            task = self.tasks.get(file)
            if task and (task.bringer is None or task.bringer[0] == ip):
                return task
            if time.time() > deadline:
                return None
            time.sleep(0.02)

    def _objection(self, task: Task | None, header: ChunkHeader, data: bytes) -> str | None:
        if self.options.refuse:
            return str(self.options.refuse)
        if task is None:
            return "Not_Expected"
        if not text.matches(header.checksum, data):
            return "Checksum_Mismatch"
        if self.store.used() + len(data) > self.capacity:
            return "No_Space"
        return None

    def _replicate(self, fields: list[str]) -> None:
        file, chunk = unquote_name(fields[1]), int(fields[2])
        name, _, where = fields[3].partition(":")
        address = parse_address(where) if where else self.known.get(name)
        path = self.store.find(file, chunk)
        if path is None or address is None:
            trace("!", self.server, f"cannot replicate chunk {chunk} of {file} to {fields[3]}")
            return
        ok = self._send_often(file, chunk, path.read_bytes(), address)
        report("replicated", file=file, chunk=chunk, target=name, ok=ok)

    def _send_often(self, file: str, chunk: int, data: bytes, address: Address) -> bool:
        for _ in range(ATTEMPTS):
            try:
                if self._send_chunk(file, chunk, data, address).startswith("CHUNK_OK"):
                    return True
            except OSError as error:
                trace("!", address, str(error))
        return False

    # Commands about the peer itself

    def show(self) -> Fields:
        """What was backed up since the start, and what is kept for others."""
        return {"backups": sorted(self.jobs), "chunks": self.store.listing()}

    def deregister(self) -> Fields:
        """Takes the peer's record from the server."""
        if self.options.acks:
            self._ask("DE-REGISTER", self.options.name)
        else:
            self._send(self.server, f"DE-REGISTER {self._rq()} {self.options.name}")
        return {"name": self.options.name}

    def quit(self) -> Fields:
        """Ends the process; the registration stays."""
        raise Quit


def _named_address(item: str) -> tuple[str, Address]:
    name, _, where = item.partition("=")
    return name, parse_address(where)
