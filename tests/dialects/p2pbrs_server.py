"""The server of P2PBRS: who is registered, who holds which chunk, and what to do when a peer fails.

"Project: Peer-to-Peer File Backup and Recovery System (P2PBRS)", COEN 366, Concordia University, Fall 2025.
Assumptions beyond the document:

- the sender of a datagram is the peer registered with that IP address and UDP port; the source address counts, not
  what the message says about it;
- an exact repetition of a message within a minute gets the same answer again and has no second effect;
- three missed heartbeats are a failure; any message of a peer shows that it is alive; a name of a failed peer may be
  taken over from the same IP address;
- chunk i goes to peer i mod n of the plan and, with replicas, to the next ones; the one after those is its fallback
  and gets a STORE_REQ too;
- STORAGE_TASK and STORE_REQ end with `ip:udp:tcp` of the peer that will bring the chunk;
- a new backup of a file replaces the former when it is complete.
"""

from __future__ import annotations

import socket
import threading
import time
from argparse import Namespace
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import asdict

import p2pbrs_text as text
from console import Address, Fields, every, in_background, obey, parse_address, report, trace
from p2pbrs_state import Backup, Member, Order, State
from p2pbrs_text import Place, quote, unquote_name

REPEAT_SECONDS = 60.0
ORDER_PAUSE_SECONDS = 1.0
MAX_REPLANS = 3
REPLICATE_DELAY_SECONDS = 0.1
ORDERS_PER_SLICE = 50
SLICE_SECONDS = 0.01


class Server:
    """Answers datagrams one after the other; timers watch heartbeats and acknowledgments."""

    def __init__(self, options: Namespace) -> None:
        self.options = options
        self.state = State(options.state)
        self.lock = threading.RLock()
        self.changed = False
        self.answered: dict[tuple[Address, str], tuple[float, list[str]]] = {}
        self.answers: list[str] = []
        self.orders: deque[Order] = deque()
        self.ordered: Counter[str] = Counter()
        self.next_rq = int(time.time()) % 100_000
        self.to_ignore = options.drop
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, text.RECEIVE_BUFFER_BYTES)
        self.socket.bind(parse_address(options.listen))

    def run(self) -> None:
        in_background(self._receive_all)
        every(SLICE_SECONDS, self._send_orders)
        every(max(0.1, self.options.heartbeat / 4), self._check_heartbeats)
        every(max(0.1, self.options.ack_timeout / 4), self._check_acks)
        every(0.2, self._save)
        report("ready", listen="{}:{}".format(*self.socket.getsockname()))
        obey({"peers": self._list_peers, "files": self._list_files})

    # Datagrams in and out

    def _receive_all(self) -> None:
        while True:
            try:
                data, address = self.socket.recvfrom(65536)
            except OSError:
                continue
            message = data.decode("utf-8", "replace").rstrip("\r\n")
            trace("<", address, message)
            with self.lock:
                self._receive(message, address)

    def _receive(self, message: str, address: Address) -> None:
        if self.to_ignore > 0 or message.startswith(tuple(self.options.deaf)):
            self.to_ignore -= 1
            return
        when, answers = self.answered.get((address, message), (0.0, []))
        if time.time() - when > REPEAT_SECONDS:
            self.answers = answers = []
            self._handle(message, address)
            if answers:
                self._save()
            self.answered[address, message] = (time.time(), answers)
        for answer in answers:
            self._send(address, answer)

    def _send(self, address: Address, message: str) -> None:
        trace(">", address, message)
        try:
            self.socket.sendto(message.encode(), address)
        except OSError as error:
            trace("!", address, str(error))

    def _handle(self, message: str, address: Address) -> None:
        keyword, _, rest = message.partition(" ")
        handlers: dict[str, Callable[..., None]] = {
            "REGISTER": self._register,
            "DE-REGISTER": self._deregister,
            "BACKUP_REQ": self._backup_req,
            "BACKUP_DONE": self._backup_done,
            "STORE_ACK": self._store_ack,
            "HEARTBEAT": self._heartbeat,
            "RESTORE_REQ": self._restore_req,
            "RESTORE_OK": self._restored,
            "RESTORE_FAIL": self._restored,
        }
        handler = handlers.get(keyword)
        if handler is None:
            return
        fields = rest.split(" ")
        try:
            if len(message.encode()) > text.MAX_DATAGRAM_BYTES:
                raise ValueError("too long")
            handler(address, *fields)
        except (ValueError, TypeError):
            self._deny_malformed(keyword, fields)

    def _deny_malformed(self, keyword: str, fields: list[str]) -> None:
        rq = fields[0][:20]
        if keyword in ("REGISTER", "BACKUP_REQ"):
            self.answers.append(f"{keyword.removesuffix('_REQ')}-DENIED {rq} Bad_Request")
        elif keyword == "RESTORE_REQ":
            self.answers.append(f"RESTORE_FAIL {rq} {fields[-1][:200]} Bad_Request")

    def _sender(self, address: Address) -> Member | None:
        member = self.state.by_address(address)
        if member:
            member.heard = time.time()
            self.changed |= member.failed
            member.failed = False
        return member

    def _save(self) -> None:
        with self.lock:
            if self.changed:
                self.changed = False
                self.state.save()

    # Registration

    def _register(
        self, address: Address, rq: str, name: str, role: str, ip: str, udp: str, tcp: str, room: str
    ) -> None:
        member = Member(name, role.upper(), address[0], address[1], int(tcp), text.parse_capacity(room))
        if not text.PEER_NAME.fullmatch(name) or member.role not in ("OWNER", "STORAGE", "BOTH"):
            raise ValueError("name or role")
        if (ip, int(udp)) != address:
            trace("!", address, f"says it is at {ip}:{udp}")
        reason = self._objection(member, address)
        if reason:
            self.answers.append(f"REGISTER-DENIED {rq} {reason}")
            return
        self.state.members[name] = member
        self.changed = True
        self.answers.append(f"REGISTERED {rq}")

    def _objection(self, member: Member, address: Address) -> str | None:
        known = self.state.members.get(member.name)
        if known and (known.ip, known.udp) != address and not (known.failed and known.ip == address[0]):
            return "Name_In_Use"
        other = self.state.by_address(address)
        if other and other.name != member.name:
            return "Endpoint_In_Use"
        if known is None and len(self.state.members) >= self.options.max_peers:
            return "Server_Full"
        return None

    def _deregister(self, address: Address, rq: str, name: str) -> None:
        member = self._sender(address)
        if member and member.name == name:
            del self.state.members[name]
            self.changed = True
            self._forget(address)
            self._lose(name)
            if self.options.acks:
                self.answers.append(f"DE-REGISTERED {rq}")

    def _forget(self, address: Address) -> None:
        for key in [key for key in self.answered if key[0] == address]:
            del self.answered[key]

    def _heartbeat(self, address: Address, rq: str, name: str, *_: str) -> None:
        if self._sender(address) and self.options.acks:
            self.answers.append(f"HEARTBEAT {rq} {name} OK")

    # Backup

    def _backup_req(
        self, address: Address, rq: str, file: str, size: str, checksum: str, wanted: str | None = None
    ) -> None:
        owner = self._sender(address)
        file = unquote_name(file)
        chunk_size = text.chunk_bytes(int(size), int(wanted) if wanted else None)
        places = self._choose(owner, int(size), chunk_size) if owner else []
        reason = self._backup_objection(owner, file, int(size), places)
        if owner is None or reason:
            self.answers.append(f"BACKUP-DENIED {rq} {reason}")
            return
        pending = self.state.backup(owner.name, file, complete=False)
        if pending:
            self.state.backups.remove(pending)
        backup = Backup(owner.name, file, int(size), checksum, chunk_size, rq, [place.name for place in places])
        self.state.backups.append(backup)
        self.changed = True
        self._order_storage(backup, owner, places)
        self.answers.append(self._backup_plan(backup))

    def _backup_objection(self, owner: Member | None, file: str, size: int, places: list[Member]) -> str | None:
        if owner is None:
            return "Not_Registered"
        if owner.role == "STORAGE":
            return "Storage_Role"
        if size > 0 and not places:
            return "No_Storage"
        for backup in self.state.backups:
            other = self.state.members.get(backup.owner)
            if backup.file == file and other and other is not owner and other.ip == owner.ip:
                return "File_Name_In_Use"
        return None

    def _choose(self, owner: Member, size: int, chunk_size: int) -> list[Member]:
        """The peers with the most room; none if the file and its replicas do not fit."""
        chunks = text.chunk_count(size, chunk_size)
        room = {m.name: self.state.free(m) for m in self.state.members.values() if m.stores and m is not owner}
        best = sorted(room, key=lambda name: -room[name])[: text.MAX_PLAN_PEERS]
        while best:
            share = -(-chunks // len(best)) * min(self.options.replicas, len(best))
            if room[best[-1]] >= share * chunk_size:
                return [self.state.members[name] for name in best]
            best.pop()
        return []

    def _order_storage(self, backup: Backup, owner: Member, places: Iterable[Member]) -> None:
        """A STORAGE_TASK leaves at once, before the plan; the requests for chunks follow at a pace."""
        for place in places:
            task = f"STORAGE_TASK {self._rq()} {quote(backup.file)} {backup.chunk_size} {owner.name}"
            self._send((place.ip, place.udp), task + self._bringer(owner))
        replicas = self.options.replicas
        for chunk in range(backup.chunks):
            names = backup.planned(chunk, replicas + 1)
            backup.asked[chunk] = names[:replicas]
            for name in names:
                self._order_store(backup, chunk, self.state.members[name], owner)

    def _order_store(self, backup: Backup, chunk: int, place: Member, bringer: Member) -> None:
        request = f"STORE_REQ {self._rq()} {quote(backup.file)} {chunk} {backup.owner}"
        address = (place.ip, place.udp)
        self.ordered[place.name] += backup.chunk_size
        self.orders.append(Order(address, request + self._bringer(bringer), backup, chunk, place.name))

    def _bringer(self, member: Member) -> str:
        return "" if self.options.bare else f" {member.ip}:{member.udp}:{member.tcp}"

    def _send_orders(self) -> None:
        with self.lock:
            for _ in range(min(ORDERS_PER_SLICE, len(self.orders))):
                order = self.orders.popleft()
                if order.settled():
                    continue
                if order.due <= time.time():
                    self._send(order.address, order.message)
                    order.due = time.time() + ORDER_PAUSE_SECONDS
                    order.left -= 1
                if order.left > 0:
                    self.orders.append(order)

    def _rq(self) -> str:
        self.next_rq += 1
        return str(self.next_rq)

    def _backup_plan(self, backup: Backup) -> str:
        places = self._places(backup, backup.asked)
        written = text.write_list(self.options.peer_list, places)
        return f"BACKUP_PLAN {backup.rq} {quote(backup.file)} {written} {backup.chunk_size}"

    def _places(self, backup: Backup, chunks: dict[int, list[str]]) -> list[Place]:
        places = []
        for name in backup.plan:
            member = self.state.members[name]
            theirs = frozenset(chunk for chunk, names in chunks.items() if name in names)
            places.append(Place(name, (member.ip, member.tcp), theirs))
        return places

    def _store_ack(self, address: Address, rq: str, file: str, chunk: str, *_: str) -> None:
        member = self._sender(address)
        file = unquote_name(file)
        if member is None:
            return
        candidates = [b for b in self.state.backups if b.file == file and 0 <= int(chunk) < b.chunks]
        for backup in sorted(candidates, key=lambda b: member.name not in b.asked.get(int(chunk), [])):
            holders = backup.holders.setdefault(int(chunk), [])
            if member.name not in holders:
                holders.append(member.name)
                self.changed = True
                self._replace_former(backup)
                if backup.done:
                    self._replicate(backup, int(chunk))
                return

    def _backup_done(self, address: Address, rq: str, file: str) -> None:
        member = self._sender(address)
        backup = member and self.state.backup(member.name, unquote_name(file), complete=False)
        if backup:
            backup.done = True
            self.changed = True
            self._replace_former(backup)
            for chunk in range(backup.chunks):
                self._replicate(backup, chunk)
        if self.options.acks:
            self.answers.append(f"BACKUP_DONE {rq} {file}")

    def _replace_former(self, backup: Backup) -> None:
        if backup.complete():
            same = [b for b in self.state.backups if (b.owner, b.file) == (backup.owner, backup.file)]
            for former in same:
                if former is not backup:
                    self.state.backups.remove(former)

    # Missing acknowledgments and failed peers

    def _check_acks(self) -> None:
        with self.lock:
            for backup in self.state.backups:
                if time.time() - backup.started > self.options.ack_timeout:
                    backup.started = time.time()
                    self._replicate_missing(backup)
                    self._plan_anew(backup)
            self._save()

    def _live(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name in self.state.members and not self.state.members[name].failed]

    def _replicate_missing(self, backup: Backup) -> None:
        """Has holders copy the chunks that fewer peers hold than should; peers that stayed silent come last."""
        for chunk in range(backup.chunks):
            self._replicate(backup, chunk, avoid=backup.asked.get(chunk, []))

    def _replicate(self, backup: Backup, chunk: int, avoid: Iterable[str] = (), at_least: int = 0) -> None:
        live = self._live(backup.holders.get(chunk, []))
        wanted = max(at_least, self.options.replicas - len(live)) if live else 0
        if wanted <= 0:
            return
        asked = backup.asked.get(chunk, [])
        spare = [m for m in self.state.members.values() if m.stores and m.name not in {backup.owner, *live}]
        spare.sort(key=lambda m: (m.name in avoid, m.name not in asked, self.ordered[m.name] - m.capacity))
        backup.asked[chunk] = [*live, *(target.name for target in spare[:wanted])]
        self.changed = True
        for target in spare[:wanted]:
            self._order_replica(backup, chunk, self.state.members[live[0]], target)

    def _order_replica(self, backup: Backup, chunk: int, holder: Member, target: Member) -> None:
        self._order_store(backup, chunk, target, holder)
        where = f"{target.name}:{target.ip}:{target.tcp}"
        message = f"REPLICATE_REQ {self._rq()} {quote(backup.file)} {chunk} {where}"
        address = (holder.ip, holder.udp)
        self.orders.append(Order(address, message, backup, chunk, target.name, time.time() + REPLICATE_DELAY_SECONDS))

    def _plan_anew(self, backup: Backup) -> None:
        """Puts another peer in the place of each that has confirmed nothing of what nobody has, and tells the owner."""
        owner = self.state.members.get(backup.owner)
        missing = [chunk for chunk in range(backup.chunks) if not backup.holders.get(chunk)]
        if owner is None or owner.failed or not missing or backup.replanned >= MAX_REPLANS:
            return
        silent = {backup.plan[chunk % len(backup.plan)] for chunk in missing}
        silent |= {name for name in backup.plan if name not in self.state.members}
        others = [m.name for m in self.state.members.values() if m.stores and m is not owner and m.name not in silent]
        others.sort(key=lambda name: name in backup.plan)
        if not others:
            return
        new = {name: others[turn % len(others)] for turn, name in enumerate(sorted(silent))}
        backup.plan = [new.get(name, name) for name in backup.plan]
        backup.replanned += 1
        self.changed = True
        for chunk in missing:
            target = self.state.members[backup.plan[chunk % len(backup.plan)]]
            backup.asked[chunk] = [target.name]
            self._order_store(backup, chunk, target, owner)
        self._send((owner.ip, owner.udp), self._backup_plan(backup))

    def _check_heartbeats(self) -> None:
        with self.lock:
            for member in self.state.members.values():
                if not member.failed and time.time() - member.heard > 3 * self.options.heartbeat:
                    trace("!", (member.ip, member.udp), f"{member.name} has failed")
                    report("failed", name=member.name)
                    member.failed = True
                    self.changed = True
                    self._lose(member.name)
            self._save()

    def _lose(self, name: str) -> None:
        """Has what a peer held copied again from the holders that are left."""
        for backup in self.state.backups:
            for chunk, holders in backup.holders.items():
                if name in holders:
                    self._replicate(backup, chunk, at_least=1)
                    if name not in self.state.members:
                        holders.remove(name)

    # Restore

    def _restore_req(self, address: Address, rq: str, file: str) -> None:
        member = self._sender(address)
        if member is None:
            self.answers.append(f"RESTORE_FAIL {rq} {file} Not_Registered")
            return
        name = unquote_name(file)
        former, newest = (self.state.backup(member.name, name, complete) for complete in (True, False))
        backup = former or newest
        if backup is None or not backup.done:
            self.answers.append(f"RESTORE_FAIL {rq} {file} No_Such_File")
            return
        holding = [n for names in backup.holders.values() for n in names]
        names = dict.fromkeys([*backup.plan, *holding])
        live = self._live(names)
        held = Backup(**{**vars(backup), "plan": live[: text.MAX_PLAN_PEERS]})
        written = text.write_list(self.options.peer_list, self._places(held, backup.holders))
        tail = "" if self.options.bare else f" {backup.chunk_size} {backup.chunks} {backup.checksum}"
        self.answers.append(f"RESTORE_PLAN {rq} {file} {written}{tail}")

    def _restored(self, address: Address, rq: str, file: str, *reason: str) -> None:
        if self._sender(address):
            report("restored", file=unquote_name(file), reason=" ".join(reason) or None)

    # Commands

    def _list_peers(self) -> Fields:
        with self.lock:
            return {"peers": [asdict(member) for member in self.state.members.values()]}

    def _list_files(self) -> Fields:
        with self.lock:
            files = [
                {"owner": b.owner, "file": b.file, "chunks": b.chunks, "done": b.done, "complete": b.complete(),
                 "plan": b.plan, "holders": b.holders}
                for b in self.state.backups
            ]  # fmt: skip
            return {"files": files}
