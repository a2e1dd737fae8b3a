"""A test partner for the dialect napster: index server, peer and raw client in one program.

Written from "Napster-like p2p network", a final project report, and nothing else; the modules beside it state the
assumptions. Every message is a packed struct over TCP.
"""

from __future__ import annotations

import argparse
import queue
import socket
import time
from pathlib import Path
from typing import Any

from console import in_background, parse_address, report, trace
from napster_index import Index
from napster_peer import Peer
from napster_wire import KIND_NAMES, BadMessage, Message, encode, read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    roles = parser.add_subparsers(dest="role", required=True)
    _add_index(roles.add_parser("index"))
    _add_peer(roles.add_parser("peer"))
    _add_raw(roles.add_parser("raw"))
    options = parser.parse_args()
    options.run(options)


def _add_index(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=lambda options: Index(options).run())
    parser.add_argument("--listen", default="127.0.0.1:9000")
    parser.add_argument("--pick", choices=("random", "round-robin", "credit"), default="random")
    parser.add_argument("--segment", type=int, default=8192)
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds to wait for a REGISTER_ACK")
    parser.add_argument("--fresh", type=float, default=60.0, help="seconds until a seeder is asked again")
    parser.add_argument("--allow-other-addresses", action="store_true")
    parser.add_argument("--deaf", action="append", default=[], choices=KIND_NAMES, help="fault: ignore such messages")


def _add_peer(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=lambda options: Peer(options).run())
    parser.add_argument("--server", required=True)
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--segment", type=int, default=8192)
    parser.add_argument("--stall", type=float, default=3.0, help="seconds without DATA until a seeder is given up")
    parser.add_argument("--one-connection", action="store_true", help="all DATA of a file on one connection")
    parser.add_argument("--shuffle", action="store_true", help="send every DATA twice, in any order")
    parser.add_argument("--full-segment-size", action="store_true", help="segment_size is the field's, in the last too")
    parser.add_argument("--no-report", action="store_true", help="fault: never register a leecher")
    parser.add_argument("--lie-hash", action="store_true", help="fault: a wrong hash in REGISTER_ACK")
    parser.add_argument("--silent-conf", action="store_true", help="fault: never answer REGISTER_CONF")
    parser.add_argument("--corrupt", action="store_true", help="fault: damage the first byte of a file sent")
    parser.add_argument("--break-after", type=int, metavar="N", help="fault: stop after N bytes of DATA messages")
    parser.add_argument("--faults", type=int, default=-1, metavar="N", help="damage or cut only the first N files sent")


def _add_raw(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_raw)
    parser.add_argument("--to", required=True)
    parser.add_argument("--listen", default="127.0.0.1:0", help="where answers are received")
    parser.add_argument("--wait", type=float, default=1.0)
    parser.add_argument("--replies", type=int, default=0, help="stop waiting after so many")
    parser.add_argument("--segment", type=int, default=8192)
    parser.add_argument("message", nargs="+", help="HEX, or a message name with field=value (ip, port: --listen)")


def _raw(options: argparse.Namespace) -> None:
    """Sends one message, or any bytes, and reports the messages that come to the listener."""
    listener = socket.create_server(parse_address(options.listen))
    ip, port = listener.getsockname()[:2]
    report("ready", listen=f"{ip}:{port}")
    replies: queue.Queue[str] = queue.Queue()
    in_background(_collect, listener, options.segment, replies)
    data = _compose(options.message, ip, port, options.segment)
    with socket.create_connection(parse_address(options.to), timeout=options.wait) as connection:
        trace(">", parse_address(options.to), data[:64].hex())
        connection.sendall(data)
    got: list[str] = []
    deadline = time.time() + options.wait
    while not 0 < options.replies <= len(got):
        try:
            got.append(replies.get(timeout=max(0.0, deadline - time.time())))
        except queue.Empty:
            break
        report("reply", text=got[-1])
    report("done", command="raw", replies=got)


def _compose(words: list[str], ip: str, port: int, segment: int) -> bytes:
    if words[0] not in KIND_NAMES:
        return bytes.fromhex("".join(words))
    fields: dict[str, Any] = {"ip": ip, "port": port}
    for word in words[1:]:
        name, _, value = word.partition("=")
        number = name in ("port", "file_size", "segment_size", "segno")
        fields[name] = int(value) if number else value.encode() if name == "data" else value
    return encode(Message(words[0], **fields), segment)


def _collect(listener: socket.socket, segment: int, replies: queue.Queue[str]) -> None:
    while True:
        connection, address = listener.accept()
        connection.settimeout(10)
        try:
            with connection, connection.makefile("rb") as stream:
                while message := read(stream, segment):
                    trace("<", address, str(message))
                    replies.put(str(message))
        except (OSError, BadMessage) as error:
            trace("!", address, str(error))


if __name__ == "__main__":
    main()
