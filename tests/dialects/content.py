"""A test partner for the dialect content: index server, peer and raw client in one program.

Written from a course report on a peer to peer content system (index server over UDP, downloads over TCP, the letters
R, T, L, O, D and Q), and nothing else; the modules beside it state the assumptions.
"""

from __future__ import annotations

import argparse
import socket
import time
from pathlib import Path

from console import parse_address, report, trace
from content_index import Index
from content_pdu import CONTENT, PEER, PORT, decode, pdu
from content_peer import Peer


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
    parser.add_argument("--listen", default="127.0.0.1:3000")
    parser.add_argument("--probe", type=float, default=30.0, help="seconds between visits to the providers")
    parser.add_argument("--names-at", type=int, choices=(0, 10), default=10, help="where O answers have the name")
    parser.add_argument("--deaf", action="append", default=[], metavar="LETTER", help="fault: ignore such requests")


def _add_peer(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=lambda options: Peer(options).run())
    parser.add_argument("--name", required=True)
    parser.add_argument("--server", required=True)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--listen", default="127.0.0.1", metavar="IP")
    parser.add_argument("--content-first", action="store_true", help="D with the content name at 0 to 9")
    parser.add_argument("--end-mark", action="store_true", help="an A PDU after the content")
    parser.add_argument("--padded", action="store_true", help="the last C PDU has full size, filled with NUL")
    parser.add_argument("--short", type=int, metavar="N", help="fault: close after N bytes of PDUs")


def _add_raw(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_raw)
    parser.add_argument("--to", required=True)
    parser.add_argument("--tcp", action="store_true", help="one connection, read to its end, instead of a datagram")
    parser.add_argument("--from", dest="source", default=":0", metavar="IP:PORT")
    parser.add_argument("--wait", type=float, default=1.0)
    parser.add_argument("--replies", type=int, default=0, help="stop waiting after so many")
    parser.add_argument("message", nargs="+", help="HEX, or a type with peer=, content= and port=")


def _raw(options: argparse.Namespace) -> None:
    """Sends one PDU, or any bytes, and reports what comes back."""
    data = _compose(options.message)
    trace(">", parse_address(options.to), data.hex())
    if options.tcp:
        answer = _exchange(options, data)
        report("done", command="raw", bytes=len(answer), hex=answer[:4096].hex())
        return
    replies = _collect(options, data)
    report("done", command="raw", replies=replies)


def _compose(words: list[str]) -> bytes:
    if len(words[0]) != 1:
        return bytes.fromhex("".join(words))
    places = {"peer": PEER, "content": CONTENT, "port": PORT}
    pairs = (word.split("=", 1) for word in words[1:])
    return pdu(words[0], *((places[name], value) for name, value in pairs)).encode()


def _exchange(options: argparse.Namespace, data: bytes) -> bytes:
    source = parse_address(options.source)
    with socket.create_connection(parse_address(options.to), options.wait, source_address=source) as connection:
        connection.sendall(data)
        answer = b""
        try:
            while more := connection.recv(65536):
                answer += more
        except (TimeoutError, ConnectionResetError):
            pass
    return answer


def _collect(options: argparse.Namespace, data: bytes) -> list[str]:
    address = parse_address(options.to)
    replies: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(parse_address(options.source))
        udp.sendto(data, address)
        deadline = time.time() + options.wait
        while (left := deadline - time.time()) > 0 and not 0 < options.replies <= len(replies):
            udp.settimeout(left)
            try:
                answer = udp.recv(4096)
            except (TimeoutError, ConnectionRefusedError):
                break
            replies.append(str(decode(answer)))
            report("reply", text=replies[-1], hex=answer.hex())
    return replies


if __name__ == "__main__":
    main()
