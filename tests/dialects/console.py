"""What the test partners of all dialects share: how a program reports and takes commands.

Reports are JSON, one object a line, on standard output. The messages of the protocol, sent and received, go to
standard error, one a line, with time, direction, address and text. Commands come one a line on standard input;
each is answered with a `done` or an `error` report. At the end of the input the program stays, and serves, until
it gets SIGTERM or the process that started it is gone. Nothing of any protocol is here.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NoReturn

Address = tuple[str, int]
Fields = dict[str, Any]
Command = Callable[..., Fields]

PARENT_CHECK_SECONDS = 1.0

_output = threading.Lock()


class Refused(Exception):
    """A command could not be done; the text is the reason that is reported."""


class Quit(Exception):
    """A command asks for the end of the program."""


def report(event: str, **fields: object) -> None:
    """Writes one JSON line to standard output."""
    with _output:
        print(json.dumps({"event": event, **fields}), flush=True)


def trace(direction: str, address: object, text: str) -> None:
    """Logs a message of the protocol: direction is '>' for sent, '<' for received, '!' for a remark."""
    where = "{}:{}".format(*address[:2]) if isinstance(address, tuple) else str(address)
    stamp = datetime.now().strftime("%H:%M:%S.%f")[:-3]
    with _output:
        print(f"{stamp} {direction} {where} {text[:300]!r}", file=sys.stderr, flush=True)


def parse_address(text: str) -> Address:
    """Reads HOST:PORT."""
    host, _, port = text.rpartition(":")
    return host or "127.0.0.1", int(port)


def in_background(target: Callable[..., object], *args: object) -> None:
    """Runs a function in a thread that does not keep the program alive."""
    threading.Thread(target=target, args=args, daemon=True).start()


def every(seconds: float, action: Callable[[], object]) -> None:
    """Calls the action again and again in the background; a failure is logged and does not end it."""
    pause = threading.Event()

    def loop() -> None:
        while not pause.wait(seconds):
            try:
                action()
            except OSError as error:
                trace("!", "timer", str(error))

    in_background(loop)


def leave(code: int = 0) -> NoReturn:
    """Ends the program at once, threads and all; every report has been flushed already."""
    os._exit(code)


def obey(commands: Mapping[str, Command]) -> NoReturn:
    """Carries out the commands of standard input, then waits for the end."""
    parent = os.getppid()
    every(PARENT_CHECK_SECONDS, lambda: os.getppid() == parent or leave())
    signal.signal(signal.SIGTERM, lambda *_: leave())
    for line in sys.stdin:
        if words := _split(line):
            _carry_out(commands, words)
    while True:
        signal.pause()


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _carry_out(commands: Mapping[str, Command], words: list[str]) -> None:
    name, *arguments = words
    command = commands.get(name)
    if command is None:
        report("error", command=name, reason="Unknown_Command")
        return
    try:
        report("done", command=name, **command(*arguments))
    except Quit:
        report("done", command=name)
        leave()
    except (Refused, OSError, ValueError, TypeError) as error:
        report("error", command=name, reason=str(error) or type(error).__name__)
