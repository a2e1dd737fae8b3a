"""A test partner for the dialect p2pbrs: server, peer and raw client in one program.

Written from "Project: Peer-to-Peer File Backup and Recovery System (P2PBRS)", COEN 366, Concordia University,
Fall 2025, and nothing else; the modules beside it state the assumptions. UDP carries the control messages, TCP the
chunks.
"""

from __future__ import annotations

import argparse
import socket
import time
from pathlib import Path

from console import parse_address, report, trace
from p2pbrs_peer import Peer
from p2pbrs_server import Server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    roles = parser.add_subparsers(dest="role_of_program", required=True)
    _add_server(roles.add_parser("server"))
    _add_peer(roles.add_parser("peer"))
    _add_raw(roles.add_parser("raw"))
    options = parser.parse_args()
    options.run(options)


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=lambda options: Server(options).run())
    parser.add_argument("--listen", default="127.0.0.1:5000")
    parser.add_argument("--state", type=Path, help="JSON file that survives a crash")
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--heartbeat", type=float, default=10.0, help="seconds; three missed are a failure")
    parser.add_argument("--ack-timeout", type=float, default=30.0)
    parser.add_argument("--max-peers", type=int, default=500)
    parser.add_argument("--acks", action="store_true", help="answer DE-REGISTER, BACKUP_DONE and HEARTBEAT")
    parser.add_argument("--peer-list", choices=("colon", "at", "names"), default="colon")
    parser.add_argument("--bare", action="store_true", help="no field that the document does not have")
    parser.add_argument("--drop", type=int, default=0, metavar="N", help="fault: ignore the first N datagrams")
    parser.add_argument("--deaf", action="append", default=[], metavar="KEYWORD", help="fault: ignore such messages")


def _add_peer(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=lambda options: Peer(options).run())
    parser.add_argument("--server", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--role", choices=("OWNER", "STORAGE", "BOTH"), default="BOTH")
    parser.add_argument("--listen", default="127.0.0.1", metavar="IP")
    parser.add_argument("--udp", type=int, default=0)
    parser.add_argument("--tcp", type=int, default=0)
    parser.add_argument("--capacity", default="1024MB")
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--checksum", choices=("crc32", "md5", "sha1"), default="crc32")
    parser.add_argument("--replicas", type=int, default=1, help="peers to bring each chunk to")
    parser.add_argument("--heartbeat", type=float, default=10.0)
    parser.add_argument("--acks", action="store_true", help="wait for answers to DE-REGISTER and BACKUP_DONE")
    parser.add_argument("--answer", choices=("tcp", "udp", "both"), default="both", help="way of CHUNK_OK")
    parser.add_argument("--know", action="append", default=[], metavar="NAME=IP:PORT", help="for lists of bare names")
    _add_faults(parser)


def _add_faults(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-keyword", action="store_true", help="chunk headers without SEND_CHUNK")
    parser.add_argument("--no-checksum", action="store_true", help="chunk headers without checksum")
    parser.add_argument("--no-ack", action="store_true", help="fault: never send STORE_ACK")
    parser.add_argument("--mute", action="store_true", help="fault: send no heartbeats")
    parser.add_argument("--silent", action="store_true", help="fault: no CHUNK_OK or CHUNK_ERROR by TCP")
    parser.add_argument("--refuse", metavar="REASON", help="fault: CHUNK_ERROR with this reason to every chunk")
    parser.add_argument("--corrupt", action="store_true", help="fault: damage the chunks that are sent")
    parser.add_argument("--break-after", type=int, metavar="N", help="fault: close after N bytes of a chunk sent")
    parser.add_argument("--faults", type=int, default=-1, metavar="N", help="damage or cut only the first N chunks")


def _add_raw(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_raw)
    parser.add_argument("--to", required=True)
    parser.add_argument("--from", dest="source", default=":0", metavar="IP:PORT")
    parser.add_argument("--wait", type=float, default=1.0, help="seconds to wait for replies")
    parser.add_argument("--replies", type=int, default=0, help="stop waiting after so many")
    parser.add_argument("--tcp", action="store_true", help="send lines on one TCP connection instead")
    parser.add_argument("--body", type=Path, help="with --tcp: send this file after the lines")
    parser.add_argument("text", nargs="+")


def _raw(options: argparse.Namespace) -> None:
    """Sends the texts and reports what comes back."""
    replies = _raw_tcp(options) if options.tcp else _raw_udp(options)
    report("done", command="raw", replies=replies)


def _raw_udp(options: argparse.Namespace) -> list[str]:
    address = parse_address(options.to)
    replies: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(parse_address(options.source))
        for text in options.text:
            trace(">", address, text)
            udp.sendto(text.encode("utf-8", "surrogateescape"), address)
        deadline = time.time() + options.wait
        while (left := deadline - time.time()) > 0 and not 0 < options.replies <= len(replies):
            udp.settimeout(left)
            try:
                data, source = udp.recvfrom(65536)
            except TimeoutError:
                break
            replies.append(data.decode("utf-8", "replace"))
            report("reply", text=replies[-1], **{"from": "{}:{}".format(*source)})
    return replies


def _raw_tcp(options: argparse.Namespace) -> list[str]:
    address = parse_address(options.to)
    source = parse_address(options.source)
    with socket.create_connection(address, timeout=options.wait, source_address=source) as connection:
        for text in options.text:
            trace(">", address, text)
            connection.sendall(text.encode("utf-8", "surrogateescape") + b"\n")
        connection.sendall(options.body.read_bytes() if options.body else b"")
        connection.shutdown(socket.SHUT_WR)
        data = b""
        try:
            while more := connection.recv(65536):
                data += more
        except (TimeoutError, ConnectionResetError):
            pass
    return data.decode("latin-1").split("\n")[:-1] if data.endswith(b"\n") else data.decode("latin-1").split("\n")


if __name__ == "__main__":
    main()
