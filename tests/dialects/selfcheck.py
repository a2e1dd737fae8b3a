"""Runs whole networks of the test partners, one dialect after the other; fails if one does not work.

`python3 selfcheck.py [p2pbrs|napster|content|supernova ...]`. This checks the partners against each other only; the
tests of the gateway check them against Skep.
"""

from __future__ import annotations

import json
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

Report = dict[str, Any]

HERE = Path(__file__).parent
# Patience is counted in ticks, so that a machine that stands still for a while uses up none of it.
TICK_SECONDS = 0.05
PATIENCE_TICKS = 600
LOG_LINES = 15
LOG_COLUMNS = 150


class Program:
    """A running partner: commands in, reports out."""

    running: ClassVar[list[Program]] = []

    def __init__(self, name: str, *arguments: object) -> None:
        command = [sys.executable, str(HERE / f"{name}.py"), *map(str, arguments)]
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, bufsize=1
        )
        self.reports: queue.Queue[Report] = queue.Queue()
        self.title = " ".join(map(str, arguments))
        Program.running.append(self)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.reports.put(json.loads(line))

    def wait(self, *events: str) -> Report:
        """The next report of one of these kinds; others are passed over."""
        for _ in range(PATIENCE_TICKS):
            try:
                while (found := self.reports.get(timeout=TICK_SECONDS))["event"] not in events:
                    pass
                return found
            except queue.Empty:
                continue
        raise AssertionError(f"{self.title}: no {events}")

    def ready(self) -> Report:
        self.started = self.wait("ready", "error")
        check(self.started["event"] == "ready", f"{self.title}: {self.started}")
        return self.started

    @property
    def address(self) -> str:
        return str(self.started["listen"])

    def command(self, line: str) -> Report:
        print(line, file=self.process.stdin, flush=True)
        return self.wait("done", "error")

    def must(self, line: str) -> Report:
        answer = self.command(line)
        check(answer["event"] == "done", f"{self.title}: {line}: {answer}")
        return answer

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end_of_log(self) -> list[str]:
        self.log.seek(0)
        return [line[:LOG_COLUMNS] for line in self.log.read().splitlines()[-LOG_LINES:]]


def started(name: str, *arguments: object) -> Program:
    """Starts a partner and waits until it is ready."""
    program = Program(name, *arguments)
    program.ready()
    return program


def check(condition: object, what: str) -> None:
    if not condition:
        raise AssertionError(what)


def eventually(condition: Callable[[], object], what: str) -> None:
    """Waits until the condition holds."""
    for _ in range(PATIENCE_TICKS):
        if condition():
            return
        time.sleep(TICK_SECONDS)
    raise AssertionError(what)


def folder(root: Path, name: str, **files: bytes) -> Path:
    """A folder with files; the first underscore of a name stands for a dot."""
    path = root / name
    path.mkdir()
    for file, data in files.items():
        (path / file.replace("_", ".", 1)).write_bytes(data)
    return path


def some_bytes(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


# P2PBRS


def p2pbrs_peer(server: Program, directory: Path, role: str, *more: object) -> Program:
    name = directory.name.split("-")[-1]
    fixed = ["--server", server.address, "--name", name, "--role", role, "--dir", directory]
    return started("p2pbrs", "peer", *fixed, "--heartbeat", 0.3, *more)


def p2pbrs_network(root: Path) -> None:
    """Backup, restore, a failed holder, and what is denied."""
    photo = some_bytes(100_001, 1)
    server = started("p2pbrs", "server", "--listen", "127.0.0.1:0", "--replicas", 2, "--heartbeat", 0.3, "--acks")
    owner_dir = folder(root, "net-Alice", photo_jpg=photo, empty_txt=b"")
    owner = p2pbrs_peer(server, owner_dir, "OWNER", "--acks")
    check(owner.command("backup photo.jpg")["reason"] == "No_Storage", "no storage yet")
    storages = [p2pbrs_peer(server, folder(root, f"net-S{n}"), "STORAGE") for n in range(4)]
    check(owner.must("backup photo.jpg")["chunks"] == 25, "25 chunks of 4096")
    check(storages[0].command("backup x")["event"] == "error", "no such file")
    eventually(lambda: all_held(server, "photo.jpg", 2), "two replicas of each chunk")
    restore(owner, owner_dir, "photo.jpg", photo)
    owner.must("backup empty.txt")
    restore(owner, owner_dir, "empty.txt", b"")
    storages[0].kill()
    server.wait("failed")
    eventually(lambda: all_held(server, "photo.jpg", 2, without="S0"), "replicas of what S0 held")
    restore(owner, owner_dir, "photo.jpg", photo)
    storages[1].must("deregister")
    eventually(lambda: all_held(server, "photo.jpg", 2, without="S1"), "replicas of what S1 held")
    check(owner.command("restore nothing.txt")["reason"] == "No_Such_File", "unknown file")
    texts = ["BACKUP_REQ 9 a.txt 10 0", "RESTORE_REQ 8 a.txt", "HEARTBEAT 7 A 0 0"]
    raw = started_raw("p2pbrs", "--to", server.address, *texts)
    check(raw == ["BACKUP-DENIED 9 Not_Registered", "RESTORE_FAIL 8 a.txt Not_Registered"], f"stranger: {raw}")
    twin = Program("p2pbrs", "peer", "--server", server.address, "--name", "Alice", "--dir", root / "twin")
    check(twin.wait("error")["reason"] == "Name_In_Use", "name in use")


def p2pbrs_fallback(root: Path) -> None:
    """Damage and refusal are made good by attempts and fallbacks, whatever the peer list looks like."""
    data = some_bytes(30_000, 2)
    for style in ("at", "colon", "names"):
        server = started("p2pbrs", "server", "--listen", "127.0.0.1:0", "--peer-list", style, "--ack-timeout", 1)
        root_here = folder(root, f"faults-{style}")
        dirs = {name: folder(root_here, name, f_bin=data) for name in ("Own", "Bad", "Good")}
        good = p2pbrs_peer(server, dirs["Good"], "BOTH", "--answer", "udp")
        bad = p2pbrs_peer(server, dirs["Bad"], "STORAGE", "--refuse", "Disk_Broken")
        know = [item for peer in (good, bad) for item in ("--know", f"{peer.started['name']}={peer.address}")]
        odd = ["--corrupt", "--faults", 2, "--no-keyword", "--checksum", "md5"]
        owner = p2pbrs_peer(server, dirs["Own"], "OWNER", *odd, *know)
        check(owner.must("backup f.bin 1024")["holders"] == {"Good": 30}, "fallback took all")
        restore(owner, dirs["Own"], "f.bin", data)
        kill(server, good, bad, owner)


def p2pbrs_silence(root: Path) -> None:
    """What is not acknowledged is planned anew; a transfer that breaks is made again."""
    data = some_bytes(30_000, 2)
    server = started("p2pbrs", "server", "--listen", "127.0.0.1:0", "--ack-timeout", 1)
    p2pbrs_peer(server, folder(root, "Mum"), "STORAGE", "--no-ack", "--mute")
    owner = p2pbrs_peer(server, folder(root, "Own", f_bin=data), "OWNER", "--break-after", 10, "--faults", 2)
    check(owner.must("backup f.bin")["holders"] == {"Mum": 8}, "all at the silent one")
    holder = p2pbrs_peer(server, folder(root, "Late"), "STORAGE")
    owner.wait("replanned")
    eventually(lambda: len(holder.must("list")["chunks"]) == 8, "reallocated")


def p2pbrs_bare(root: Path) -> None:
    """The document's fields and nothing more, lost datagrams, and a holder that breaks off."""
    data = some_bytes(30_000, 2)
    bare = ["--peer-list", "names", "--bare", "--drop", 2]
    server = started("p2pbrs", "server", "--listen", "127.0.0.1:0", *bare)
    broken = ["--break-after", 10, "--faults", 1]
    holder = p2pbrs_peer(server, folder(root, "Holder"), "STORAGE", "--listen", "127.0.0.2", *broken)
    dirs = folder(root, "Own", f_bin=data)
    owner = p2pbrs_peer(
        server, dirs, "OWNER", "--know", f"Holder={holder.address}", "--no-checksum", "--checksum", "sha1"
    )
    check(owner.must("backup f.bin")["holders"] == {"Holder": 8}, "all there")
    eventually(lambda: all_held(server, "f.bin", 1), "held")
    restore(owner, dirs, "f.bin", data)


def p2pbrs_crash(root: Path) -> None:
    """A server killed in between knows everything when it is back."""
    data = some_bytes(50_000, 3)
    state = root / "state.json"
    server = started("p2pbrs", "server", "--listen", "127.0.0.1:0", "--state", state)
    owner_dir = folder(root, "crash-Own", f_bin=data)
    owner = p2pbrs_peer(server, owner_dir, "BOTH")
    p2pbrs_peer(server, folder(root, "crash-Hold"), "STORAGE")
    owner.must("backup f.bin")
    eventually(lambda: all_held(server, "f.bin", 1), "held")
    time.sleep(0.5)
    server.kill()
    server = started("p2pbrs", "server", "--listen", server.address, "--state", state, "--drop", 1)
    restore(owner, owner_dir, "f.bin", data)


def restore(owner: Program, directory: Path, file: str, data: bytes) -> None:
    (directory / file).unlink(missing_ok=True)
    owner.must(f"restore {file}")
    check((directory / file).read_bytes() == data, f"{file} is as it was")


def all_held(server: Program, file: str, replicas: int, without: str = "") -> bool:
    found = next(item for item in server.must("files")["files"] if item["file"] == file)
    held = found["holders"].values()
    return len(held) == found["chunks"] and all(len(set(names) - {without}) >= replicas for names in held)


def started_raw(name: str, *arguments: object) -> list[Any]:
    replies: list[Any] = Program(name, "raw", *arguments).wait("done")["replies"]
    return replies


def kill(*programs: Program) -> None:
    for program in programs:
        program.kill()


# Napster


def napster_peer(index: Program, directory: Path, *more: object) -> Program:
    return started("napster", "peer", "--server", index.address, "--dir", directory, *more)


def listed(index: Program, file: str) -> set[str]:
    seeders = index.must("files")["files"].get(file, [])
    return {"{}:{}".format(*seeder["address"]) for seeder in seeders}


def ask_napster(index: Program, file: str) -> list[str]:
    options = ["--to", index.address, "--replies", 1, "--wait", 5]
    return started_raw("napster", *options, "REQ_FILE", f"file_name={file}")


def napster_network(root: Path) -> None:
    """Register, get, become a seeder; a seeder that is down is dropped."""
    song = some_bytes(100_000, 4)
    index = started("napster", "index", "--listen", "127.0.0.1:0", "--pick", "round-robin", "--fresh", 0)
    dirs = [folder(root, name) for name in ("one", "two", "three")]
    (dirs[0] / "song.mp3").write_bytes(song)
    (dirs[0] / "empty").write_bytes(b"")
    (dirs[0] / ("n" * 21)).write_bytes(b"x")
    one, two, three = (napster_peer(index, directory) for directory in dirs)
    check(two.command("get song.mp3")["reason"] == "File_Not_Found", "nothing yet")
    one.must("register song.mp3")
    one.must("register empty")
    check(one.command("register " + "n" * 21)["reason"] == "Name_Too_Long", "21 characters")
    eventually(lambda: listed(index, "song.mp3") and listed(index, "empty"), "listed")
    check(two.must("get song.mp3")["seeder"] == one.address, "from the only seeder")
    two.must("get empty")
    check((dirs[1] / "song.mp3").read_bytes() == song and (dirs[1] / "empty").read_bytes() == b"", "the files")
    eventually(lambda: listed(index, "song.mp3") == {one.address, two.address}, "the leecher is a seeder")
    one.kill()
    check(three.must("get song.mp3")["seeder"] == two.address, "from the seeder that is up")
    for _ in range(3):
        found = ask_napster(index, "song.mp3")
        check(found[0].startswith("FILE_FOUND"), f"raw: {found}")
    eventually(lambda: listed(index, "song.mp3") == {two.address, three.address}, "the dead one is dropped")
    far = napster_peer(index, folder(root, "far"), "--listen", "127.0.0.2:0")
    far.must("get song.mp3")
    eventually(lambda: far.address in listed(index, "song.mp3"), "registered by its seeder")
    gone = ask_napster(index, "nothing")
    check(gone == ["ERR_FILE_NOT_FOUND"], f"raw: {gone}")


def napster_forms(root: Path) -> None:
    """Other ways to send the same, all to be read."""
    data = some_bytes(50_001, 5)
    for number, form in enumerate((["--one-connection"], ["--shuffle"], ["--full-segment-size"])):
        index = started("napster", "index", "--listen", "127.0.0.1:0", "--segment", 8000, "--pick", "credit")
        here, there = folder(root, f"form{number}", f_bin=data), folder(root, f"to{number}")
        seeder = napster_peer(index, here, "--segment", 8000, *form)
        leecher = napster_peer(index, there, "--segment", 8000)
        seeder.must("register f.bin")
        eventually(lambda: listed(index, "f.bin"), "listed")
        leecher.must("get f.bin")
        check((there / "f.bin").read_bytes() == data, str(form))
        kill(index, seeder, leecher)


def napster_faults(root: Path) -> None:
    """Lies are not listed; damage and breaks are noticed, and the next attempt works."""
    data = some_bytes(30_000, 6)
    index = started("napster", "index", "--listen", "127.0.0.1:0", "--timeout", 2)
    liar = napster_peer(index, folder(root, "liar", f_bin=data), "--lie-hash")
    liar.must("register f.bin")
    index.wait("dropped")
    check(not listed(index, "f.bin"), "a liar is not listed")
    faults: tuple[list[object], ...] = (["--corrupt"], ["--break-after", 10_000])
    for number, fault in enumerate(faults):
        name = f"g{number}.bin"
        bad_dir, good_dir = folder(root, f"bad{number}"), folder(root, f"good{number}")
        (bad_dir / name).write_bytes(data)
        bad, good = napster_peer(index, bad_dir, *fault, "--faults", 1), napster_peer(index, good_dir, "--stall", 1)
        bad.must(f"register {name}")
        eventually(lambda: listed(index, name), "listed")
        check(good.must(f"get {name}")["attempts"] == 2, f"{fault}: second attempt")
        check((good_dir / name).read_bytes() == data, f"{fault}: as it was")


# Content


def content_peer(index: Program, directory: Path, name: str, *more: object) -> Program:
    return started("content", "peer", "--server", index.address, "--name", name, "--dir", directory, *more)


def content_transcript(root: Path) -> None:
    """The session of the document's section 3."""
    lorem, shrek = some_bytes(1234, 7), some_bytes(500, 8)
    index = started("content", "index", "--listen", "127.0.0.1:0", "--probe", 0.5)
    dirs = {name: folder(root, name) for name in ("Mai", "Jeff", "Hamzah")}
    (dirs["Mai"] / "lorem").write_bytes(lorem)
    (dirs["Hamzah"] / "shrek").write_bytes(shrek)
    mai, jeff, hamzah = (content_peer(index, directory, name) for name, directory in dirs.items())
    check(mai.command("R shrek")["reason"] == "No_Such_File", "shrek is not here")
    port = mai.must("R lorem")["port"]
    check(mai.must("O")["names"] == ["lorem"], "O")
    check(mai.must("L")["contents"] == [{"name": "lorem", "port": port}], "L")
    check(mai.command("R lorem")["event"] == "error", "twice")
    check(jeff.must("D lorem")["port"] == port, "from Mai")
    check((dirs["Jeff"] / "lorem").read_bytes() == lorem, "lorem")
    twin = content_peer(index, dirs["Hamzah"], "Mai", "--listen", "127.0.0.2")
    check("name" in twin.command("R shrek")["reason"], "the name of a peer on another host")
    hamzah.must("R shrek")
    check(sorted(jeff.must("O")["names"]) == ["lorem", "shrek"], "both")
    hamzah.must("Q")
    check(jeff.must("O")["names"] == ["lorem"], "shrek is gone")
    ports = {started_raw("content", *ask_s(index))[0].split()[-1] for _ in range(2)}
    check(len(ports) == 2, "round robin")
    jeff.must("Q")
    check(mai.must("O")["names"] == ["lorem"], "Mai still has it")
    mai.kill()
    check(index.wait("dropped")["peer"] == "Mai", "a lost peer is dropped")


def ask_s(index: Program) -> list[object]:
    return ["--to", index.address, "--replies", 1, "S", "peer=X", "content=lorem"]


def content_forms(root: Path) -> None:
    """Ways to send content, all of which are read; and one that is cut off."""
    index = started("content", "index", "--listen", "127.0.0.1:0", "--names-at", 0)
    forms: tuple[list[str], ...] = (["--end-mark"], ["--content-first"], [])
    for size in (0, 1, 99, 100, 101, 12345):
        for number, form in enumerate(forms):
            data, name = some_bytes(size, size), f"c{size}{'abc'[number]}"
            here, there = folder(root, f"from-{name}"), folder(root, f"to-{name}")
            (here / name).write_bytes(data)
            seeder = content_peer(index, here, f"s{name}", *form)
            leecher = content_peer(index, there, f"l{name}", *form)
            seeder.must(f"R {name}")
            check(leecher.must(f"D {name}")["bytes"] == size, f"{form} {size}")
            check((there / name).read_bytes() == data, f"{form} {size}")
            kill(seeder, leecher)
    check(len(started_raw("content", "--to", index.address, "O")) == 19, "all names, and their number")


# SuperNova


def supernova_peer(tracker: Program, directory: Path, *more: object) -> Program:
    return started("supernova", "peer", "--server", tracker.address, "--dir", directory, *more)


def in_list(peer: Program) -> set[tuple[str, str]]:
    return {(item["peer"], item["file"]) for item in peer.must("list")["files"]}


def supernova_network(root: Path) -> None:
    """Registration, lists, transfer, a watched folder, another folder, a tracker that comes back."""
    video, home = some_bytes(300_000, 9), root / "tracker"
    tracker = started("supernova", "tracker", "--listen", "127.0.0.1:0", "--home", home, "--probe", 0.3)
    here, there = folder(root, "here", video_mov=video, a_b=b""), folder(root, "there")
    one = supernova_peer(tracker, here, "--home", root / "one")
    two = supernova_peer(tracker, there, "--name", "Two", "--home", root / "two")
    check(one.started["name"] == "peer_1", "a name is given")
    check(in_list(two) == {("peer_1", "a.b"), ("peer_1", "video.mov")}, "list")
    check(two.must("get peer_1 video.mov")["bytes"] == len(video), "get")
    check((there / "video.mov").read_bytes() == video, "the video")
    one.wait("thanked")
    eventually(lambda: ("Two", "video.mov") in in_list(one), "watched")
    check([peer["name"] for peer in one.must("peers")["peers"]] == ["peer_1", "Two"], "peers")
    check(two.command("get peer_1 none")["reason"] == "No_Such_File", "no such file")
    check(two.command("get nobody none")["reason"] == "Unknown_Peer", "no such peer")
    one.must(f"dir {folder(root, 'other', c_d=b'cd')}")
    eventually(lambda: {file for peer, file in in_list(two) if peer == "peer_1"} == {"c.d"}, "another folder")
    tracker.kill()
    tracker = started("supernova", "tracker", "--listen", tracker.address, "--home", home, "--probe", 0.3)
    one.wait("rejoined")
    two.wait("rejoined")
    two.must("exit")
    eventually(lambda: {peer for peer, _ in in_list(one)} == {"peer_1"}, "hidden when gone")
    stored = json.loads((home / "peers.json").read_text())
    check(stored["Two"]["files"] == ["video.mov"] and isinstance(stored["Two"]["listeningPORT"], str), "peers.json")
    two = started("supernova", "peer", "--home", root / "two")
    check(two.started["name"] == "Two", "from config.json")
    eventually(lambda: ("Two", "video.mov") in in_list(one), "back")
    words = ["HELLO Two", "IWANT Two", "SENDLIST", "HELLO", "IWANT Raw", "WHERE nobody", "NONSENSE"]
    raw = started_raw("supernova", "--to", tracker.address, *words)
    fine = ["AVAILABLE peer_2", "AVAILABLE peer_2", "ERROR", "AVAILABLE peer_2", "WELCOME Raw", "ERROR", "ERROR"]
    check(raw == fine, f"raw: {raw}")


def supernova_faults(root: Path) -> None:
    """An unreachable peer is hidden; a transfer that breaks leaves nothing behind."""
    tracker = started("supernova", "tracker", "--listen", "127.0.0.1:0", "--probe", 0.3)
    asker_dir = folder(root, "asker")
    asker = supernova_peer(tracker, asker_dir)
    supernova_peer(tracker, folder(root, "hidden", f_bin=b"x"), "--name", "Hidden", "--unreachable")
    check(tracker.wait("hidden")["name"] == "Hidden", "hidden")
    check(asker.must("list")["files"] == [], "not listed")
    supernova_peer(tracker, folder(root, "short", f_bin=bytes(9999)), "--name", "Short", "--short", 100)
    check("Broken_Off" in asker.command("get Short f.bin")["reason"], "broken off")
    check(not list(asker_dir.iterdir()), "nothing left")


CHECKS: dict[str, list[Callable[[Path], None]]] = {
    "p2pbrs": [p2pbrs_network, p2pbrs_fallback, p2pbrs_silence, p2pbrs_bare, p2pbrs_crash],
    "napster": [napster_network, napster_forms, napster_faults],
    "content": [content_transcript, content_forms],
    "supernova": [supernova_network, supernova_faults],
}


def works(scenario: Callable[[Path], None]) -> bool:
    """Runs one network in a folder of its own, and ends its programs."""
    with tempfile.TemporaryDirectory() as root:
        try:
            scenario(Path(root))
        except AssertionError as error:
            print(f"{scenario.__name__}: FAILED: {error}")
            for program in Program.running:
                print(f"--- {program.title}", *program.end_of_log(), sep="\n")
            return False
        finally:
            kill(*Program.running)
            Program.running.clear()
    print(f"{scenario.__name__}: works", flush=True)
    return True


def main() -> int:
    results = [works(scenario) for name in sys.argv[1:] or CHECKS for scenario in CHECKS[name]]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
