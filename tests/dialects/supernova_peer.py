"""A peer of SuperNova: shares a folder, and gets files of others.

"Peer to Peer (P2P) Sharing Application", report for COMP480 by Ujjwal Kumar, November 2020. Assumptions beyond the
document:

- the peer keeps one connection to the tracker, and makes a new one when it is lost;
- the files of the shared folder itself are shared, not those of folders in it; names of hidden files too, as in the
  document, but not of files on their way;
- the folder is looked at twice a second, and a change is told to the tracker with a new LIST;
- settings are kept in config.json in the shape of the document.
"""

from __future__ import annotations

import json
import select
import socket
import threading
from argparse import Namespace
from pathlib import Path

from console import Address, Fields, Quit, Refused, every, in_background, leave, obey, parse_address, report, trace
from supernova_text import Channel, write_list

TCP_SECONDS = 10.0
WATCH_SECONDS = 0.5
DRAFT_SUFFIX = ".supernova-part"


class Peer:
    """Menu in front, a thread for incoming connections behind."""

    def __init__(self, options: Namespace) -> None:
        self.options = options
        self.config: Path | None = options.home and options.home / "config.json"
        self.name: str = options.name or ""
        self.folder: Path = options.dir or Path(".")
        self.tracker: Address = parse_address(options.server or "127.0.0.1:45000")
        listen = parse_address(options.listen)
        if self.config and self.config.exists():
            listen = self._use_settings(json.loads(self.config.read_text()), listen)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.listener = socket.create_server(listen, backlog=128)
        self.here: Address = self.listener.getsockname()[:2]
        self.lock = threading.RLock()
        self.channel: Channel | None = None
        self.told: list[str] = []

    def run(self) -> None:
        in_background(self._accept_all)
        try:
            self._join()
        except (OSError, Refused) as error:
            report("error", command="join", reason=str(error))
            leave(1)
        every(WATCH_SECONDS, self._watch)
        report("ready", name=self.name, listen="{}:{}".format(*self.here))
        obey({
            "peers": self.peers,
            "list": self.files,
            "get": self.get,
            "dir": self.share,
            "exit": self.exit,
        })  # fmt: skip

    # config.json

    def _use_settings(self, stored: Fields, listen: Address) -> Address:
        """Settings of an earlier run stand in for options that were not given."""
        self.name = self.options.name or stored["user"]
        self.folder = self.options.dir or Path(stored["sharedDIR"])
        if not self.options.server:
            self.tracker = stored["trackerIP"], int(stored["trackerPort"])
        return listen if listen[1] else (stored["peerListeningIP"], int(stored["peerListeningPORT"]))

    def _write_config(self) -> None:
        if not self.config:
            return
        stored = {
            "peerListeningIP": self.here[0],
            "peerListeningPORT": self.here[1],
            "sharedDIR": str(self.folder),
            "trackerIP": self.tracker[0],
            "trackerPort": self.tracker[1],
            "user": self.name,
        }
        self.config.parent.mkdir(parents=True, exist_ok=True)
        draft = self.config.with_suffix(".draft")
        draft.write_text(json.dumps(stored, indent=4))
        draft.replace(self.config)

    # The tracker

    def _join(self) -> None:
        """Connects, gets a name, and tells where it listens and what it has."""
        connection = self._connect(self.tracker)
        self.channel = Channel(connection, self.tracker)
        self.name = self._introduce()
        self._expect_ok(f"LISTENING {self.here[0]} {self._announced_port()}")
        self._tell_files()
        self._write_config()

    def _connect(self, address: Address) -> socket.socket:
        """A connection that comes from the address the tracker is told."""
        return socket.create_connection(address, TCP_SECONDS, source_address=(self.here[0], 0))

    def _introduce(self) -> str:
        answer = self._exchange(f"HELLO {self.name}" if self.name else "HELLO")
        if answer.startswith("AVAILABLE "):
            offered = answer.split(" ", 1)[1]
            answer = self._exchange(f"IWANT {self.name or offered}")
            if answer.startswith("AVAILABLE ") and not self.options.only_name:
                answer = self._exchange("IWANT " + answer.split(" ", 1)[1])
        if not answer.startswith("WELCOME "):
            raise Refused("Name_In_Use")
        return answer.split(" ", 1)[1]

    def _announced_port(self) -> int:
        if not self.options.unreachable:
            return self.here[1]
        with socket.create_server((self.here[0], 0)) as unused:
            return int(unused.getsockname()[1])

    def _exchange(self, message: str) -> str:
        with self.lock:
            if self.channel is None:
                raise Refused("Not_Connected")
            try:
                self.channel.send(message)
                answer = self.channel.receive()
            except OSError as error:
                self._lose_tracker(str(error))
                raise Refused("Not_Connected") from None
            if answer is None:
                self._lose_tracker("closed")
                raise Refused("Not_Connected")
            return answer

    def _lose_tracker(self, reason: str) -> None:
        trace("!", self.tracker, f"lost: {reason}")
        if self.channel:
            self.channel.connection.close()
        self.channel = None

    def _expect_ok(self, message: str) -> None:
        answer = self._exchange(message)
        if answer != "OK":
            raise Refused(answer)

    def _own_files(self) -> list[str]:
        paths = [path for path in self.folder.iterdir() if path.is_file() and "\n" not in path.name]
        return sorted(path.name for path in paths if not path.name.endswith(DRAFT_SUFFIX))

    def _tell_files(self) -> None:
        names = self._own_files()
        self._expect_ok(write_list("LIST", names))
        self.told = names

    def _watch(self) -> None:
        try:
            with self.lock:
                if self._is_gone():
                    self._join()
                    report("rejoined", name=self.name)
                elif self._own_files() != self.told:
                    self._tell_files()
        except Refused as error:
            trace("!", self.tracker, str(error))

    def _is_gone(self) -> bool:
        """Whether the tracker has closed the connection, found out without a message."""
        if self.channel is None:
            return True
        connection = self.channel.connection
        if not select.select([connection], [], [], 0)[0]:
            return False
        try:
            seen = connection.recv(1, socket.MSG_PEEK)
        except OSError:
            seen = b""
        if not seen:
            self._lose_tracker("closed")
        return not seen

    # Commands

    def files(self) -> Fields:
        """list: all files in the network."""
        with self.lock:
            answer = self._exchange("SENDLIST")
            lines = self.channel.receive_list(answer) if self.channel and answer.startswith("FULLLIST") else []
        return {"files": [dict(zip(("peer", "file"), line.split(" ", 1), strict=True)) for line in lines]}

    def peers(self) -> Fields:
        """peers: who has files, and where they are."""
        names = dict.fromkeys(item["peer"] for item in self.files()["files"])
        return {"peers": [{"name": name, "at": self._exchange(f"WHERE {name}").removeprefix("AT ")} for name in names]}

    def get(self, peer: str, file: str) -> Fields:
        """get PEER FILE: straight from the peer, into the shared folder."""
        answer = self._exchange(f"WHERE {peer}")
        if not answer.startswith("AT "):
            raise Refused("Unknown_Peer")
        _, ip, port = answer.split(" ")
        data = self._fetch((ip, int(port)), file)
        draft = self.folder / (Path(file).name + DRAFT_SUFFIX)
        draft.write_bytes(data)
        draft.replace(self.folder / Path(file).name)
        return {"peer": peer, "file": file, "bytes": len(data)}

    def _fetch(self, address: Address, file: str) -> bytes:
        with self._connect(address) as connection:
            channel = Channel(connection, address)
            channel.send(f"GIVE {file}")
            answer = channel.receive() or "closed"
            if not answer.startswith("TAKE "):
                raise Refused("No_Such_File" if answer == "ERROR" else answer)
            size = int(answer.split(" ")[1])
            data = channel.receive_bytes(size)
            if len(data) < size:
                raise Refused(f"Broken_Off after {len(data)} of {size} bytes")
            channel.send("THANKS")
        return data

    def share(self, path: str) -> Fields:
        """dir PATH: shares another folder."""
        if not Path(path).is_dir():
            raise Refused("No_Such_Folder")
        with self.lock:
            self.folder = Path(path)
            self._tell_files()
            self._write_config()
        return {"dir": path, "files": self.told}

    def exit(self) -> Fields:
        """exit: leaves; the registration stays."""
        raise Quit

    # Other peers

    def _accept_all(self) -> None:
        while True:
            connection, address = self.listener.accept()
            in_background(self._serve, connection, address)

    def _serve(self, connection: socket.socket, address: Address) -> None:
        connection.settimeout(TCP_SECONDS)
        channel = Channel(connection, address)
        try:
            with connection:
                while (message := channel.receive()) is not None:
                    if message == "THANKS":
                        report("thanked", by="{}:{}".format(*address))
                    elif not self._give(channel, message):
                        return
        except OSError as error:
            trace("!", address, str(error))

    def _give(self, channel: Channel, message: str) -> bool:
        """Answers GIVE; returns whether the connection goes on."""
        word, _, name = message.partition(" ")
        if word != "GIVE" or name not in self._own_files() or self.options.deny:
            channel.send("ERROR")
            return True
        data = (self.folder / name).read_bytes()
        channel.send(f"TAKE {len(data)}")
        channel.connection.sendall(data[: self.options.short])
        return self.options.short is None
