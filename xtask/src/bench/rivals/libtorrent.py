"""One libtorrent session on the loopback interface, with nothing that looks for peers by itself.

seed METAINFO FOLDER PORT             says "seeding" once the file is checked, and stays
fetch METAINFO FOLDER PORT PEER...    ends once everything is there and verified
"""

import sys
import time

import libtorrent

verb, metainfo, folder, port, *peers = sys.argv[1:]
session = libtorrent.session(
    {
        "listen_interfaces": "127.0.0.1:" + port,
        "enable_dht": False,
        "enable_lsd": False,
        "enable_natpmp": False,
        "enable_upnp": False,
        "allow_multiple_connections_per_ip": True,
        # TCP only: uTP keeps back on purpose.
        "enable_incoming_utp": False,
        "enable_outgoing_utp": False,
        # No waiting in line: there is nobody else here.
        "unchoke_slots_limit": -1,
        "unchoke_interval": 1,
    }
)
torrent = session.add_torrent({"ti": libtorrent.torrent_info(metainfo), "save_path": folder})
for peer in peers:
    torrent.connect_peer(("127.0.0.1", int(peer)))
while not torrent.status().is_seeding:
    time.sleep(0.005)
if verb == "seed":
    print("seeding", flush=True)
    while True:
        time.sleep(3600)
