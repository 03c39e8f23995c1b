"""Ports for servers of tests."""

import secrets
import socket
from pathlib import Path

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST = 10_000


def find_port(host: str = "127.0.0.1") -> int:
    """Return a free port that the kernel gives to no connection before the server listens on it."""
    above = int(RANGE.read_text().split()[0]) if RANGE.exists() else 32_768
    while True:
        port = LOWEST + secrets.randbelow(above - LOWEST)
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        return port
