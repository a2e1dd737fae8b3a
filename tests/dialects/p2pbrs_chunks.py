"""The chunks that a storage peer of P2PBRS keeps for others.

"Project: Peer-to-Peer File Backup and Recovery System (P2PBRS)", COEN 366, Concordia University, Fall 2025. Whether a
chunk may come is decided elsewhere.
"""

from __future__ import annotations

import threading
from pathlib import Path
from urllib.parse import quote as quote_path

from console import Fields
from p2pbrs_text import unquote_name


class ChunkStore:
    """The chunks kept for others, one file each in a folder; found again after a restart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.sizes = {path.name: path.stat().st_size for path in folder.glob("*@*@*")}

    def put(self, owner: str, file: str, chunk: int, data: bytes) -> None:
        name = f"{quote_path(file, safe='')}@{chunk}@{owner}"
        draft = self.folder / f".draft-{threading.get_ident()}"
        draft.write_bytes(data)
        draft.replace(self.folder / name)
        self.sizes[name] = len(data)

    def find(self, file: str, chunk: int) -> Path | None:
        start = f"{quote_path(file, safe='')}@{chunk}@"
        names = (name for name in self.sizes.copy() if name.startswith(start))
        first = next(names, None)
        return self.folder / first if first else None

    def listing(self) -> list[Fields]:
        items = []
        for name, size in sorted(self.sizes.copy().items()):
            file, chunk, owner = name.split("@")
            items.append({"owner": owner, "file": unquote_name(file), "chunk": int(chunk), "size": size})
        return items

    def used(self) -> int:
        return sum(self.sizes.copy().values())
