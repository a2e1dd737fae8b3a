"""A test partner for the dialect supernova: tracker, peer and raw client in one program.

Written from "Peer to Peer (P2P) Sharing Application", report for COMP480 by Ujjwal Kumar, November 2020, and nothing
else; the modules beside it state the assumptions. Everything is text over TCP but the files.
"""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

from console import parse_address, report
from supernova_peer import Peer
from supernova_text import Channel
from supernova_tracker import Tracker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    roles = parser.add_subparsers(dest="role", required=True)
    _add_tracker(roles.add_parser("tracker"))
    _add_peer(roles.add_parser("peer"))
    _add_raw(roles.add_parser("raw"))
    options = parser.parse_args()
    options.run(options)


def _add_tracker(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=lambda options: Tracker(options).run())
    parser.add_argument("--listen", default="127.0.0.1:45000")
    parser.add_argument("--home", type=Path, help="folder of peers.json")
    parser.add_argument("--probe", type=float, default=10.0, help="seconds between heartbeats")
    parser.add_argument("--deaf", action="append", default=[], metavar="WORD", help="fault: never answer these")


def _add_peer(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=lambda options: Peer(options).run())
    parser.add_argument("--server", help="the tracker")
    parser.add_argument("--name")
    parser.add_argument("--only-name", action="store_true", help="no other name will do")
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--dir", type=Path, help="the shared folder")
    parser.add_argument("--home", type=Path, help="folder of config.json")
    parser.add_argument("--unreachable", action="store_true", help="fault: announce a port nobody listens on")
    parser.add_argument("--deny", action="store_true", help="fault: ERROR to every GIVE")
    parser.add_argument("--short", type=int, metavar="N", help="fault: close after N bytes of a file")


def _add_raw(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_raw)
    parser.add_argument("--to", required=True)
    parser.add_argument("--wait", type=float, default=1.0, help="seconds to wait for each answer")
    parser.add_argument("message", nargs="+", help="sent one after the other; \\n in it is a newline")


def _raw(options: argparse.Namespace) -> None:
    """Sends messages on one connection, and reports the answer to each."""
    address = parse_address(options.to)
    replies: list[str | None] = []
    with socket.create_connection(address, timeout=options.wait) as connection:
        channel = Channel(connection, address)
        for message in options.message:
            channel.send(message.replace("\\n", "\n"))
            try:
                replies.append(channel.receive())
            except OSError:
                replies.append(None)
            report("reply", text=replies[-1])
    report("done", command="raw", replies=replies)


if __name__ == "__main__":
    main()
