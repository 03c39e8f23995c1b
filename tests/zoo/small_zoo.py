"""Small backbones with all that a zoo asks for, and a web server of a folder that can be told to misbehave."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neuroadda.backbones.card import NEAREST, Card
from neuroadda.backbones.checkpoint import save_backbone
from neuroadda.backbones.unet import UNet
from neuroadda.backbones.unet_config import UNetConfig
from neuroadda.zoo.embeddings import Embedding, save_embeddings

SMALL = UNetConfig(features=(4, 8), downsample=((1, 2, 2),), kernels=(((1, 3, 3), (1, 3, 3)), ((3, 3, 3),)))
SAMPLE = {"name": "s_train", "licence": "CC BY 4.0", "citation": "A. Author 2015", "roi": {"offset_nm": [0, 0, 0]}}


def write_trained(folder: Path, domain: str = "fly", seed: int = 0, half: bool = False, **changes: Any) -> Card:
    """Write a backbone with random weights and full provenance; return its card."""
    torch.manual_seed(seed)
    facts: dict[str, Any] = {"organism": "Drosophila", "modality": "FIB-SEM", "training_data": (SAMPLE,)}
    facts |= {"voxel_size_nm": (30, 4.6, 4.6)} | changes
    card = Card(name=f"{domain}-1", domain=domain, architecture=SMALL, offsets=NEAREST, **facts)
    return save_backbone(folder, UNet(SMALL), card, half=half)


def write_embedding(folder: Path, digest: str, features: int = 8, seed: int = 0) -> Path:
    """Write an embedding of 12 patches by the network of this digest."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(12, features)).astype(np.float32)
    embedding = Embedding(values, np.arange(12) // 3, digest, "mean", 4.6, (3, 20, 20))
    return save_embeddings(folder, {"own": {"mean": embedding}})


class Server(ThreadingHTTPServer):
    """Serves a folder.

    Attributes
    ----------
    asked
        Paths of all requests so far.
    tokens
        Their Authorization headers.
    cut
        Of files whose path ends so, only the first 100 bytes are sent before the connection is closed.
    redirect
        Another server's URL that every request is sent to.
    """

    daemon_threads = True
    cut: str | None = None
    redirect: str | None = None

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked, self.tokens = folder, [], []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"


class _Handler(SimpleHTTPRequestHandler):
    server: Server

    def __init__(self, request: Any, client: Any, server: Server) -> None:
        super().__init__(request, client, server, directory=str(server.folder))

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.tokens.append(self.headers.get("Authorization"))
        if self.server.redirect is not None:
            self.send_response(302)
            self.send_header("Location", self.server.redirect + self.path)
            self.end_headers()
        elif self.server.cut is not None and self.path.endswith(self.server.cut):
            data = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:100])
        else:
            super().do_GET()

    def list_directory(self, path: Any) -> None:
        self.send_error(403)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serve(folder: Path) -> Iterator[Server]:
    """Serve a folder, without listings, until the end of the block."""
    with Server(folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
