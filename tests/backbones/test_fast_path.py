"""How a network computes is chosen in one place, and torch's private parts may be missing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import neuroadda
from neuroadda.backbones.devices import resolve_precision
from neuroadda.backbones.fast_path import fast_path, runs_in_chunks
from neuroadda.backbones.private_torch import KNOWN_VERSIONS, find_fused_convolution
from neuroadda.backbones.unet import UNet
from neuroadda.backbones.unet_config import UNetConfig

SOURCES = sorted(Path(neuroadda.__file__).parent.rglob("*.py"))
SMALL = UNetConfig(features=(4, 8), downsample=((1, 2, 2),), kernels=(((1, 3, 3),), ((3, 3, 3),)))


def dotted(node: ast.AST) -> list[str]:
    """Return the parts of ``a.b.c``, or nothing of what is none."""
    if isinstance(node, ast.Name):
        return [node.id]
    parts = dotted(node.value) if isinstance(node, ast.Attribute) else []
    return [*parts, node.attr] if parts else []


def imported(tree: ast.Module) -> dict[str, list[str]]:
    """Return the parts of the full names of what a file imports, by the names that it has there."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {a.asname or a.name: a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return {own: full.split(".") for own, full in names.items()}


def private_names(source: str) -> set[str]:
    """Return the private names of torch in a source: operators by their namespace, and what begins with an underscore.

    A name that is not written out, as in ``getattr(torch.cpu, name)``, counts as private; of torch itself it is a dtype's.
    """
    tree = ast.parse(source)
    names = imported(tree)
    found = [*names.values()]
    for node in ast.walk(tree):
        parts, last = dotted(node), []
        if isinstance(node, ast.Call) and dotted(node.func) == ["getattr"]:
            parts, name = dotted(node.args[0]), node.args[1]
            last = [str(name.value) if isinstance(name, ast.Constant) else "_" if len(parts) > 1 else "dtype"]
        if parts:
            found.append([*names.get(parts[0], parts[:1]), *parts[1:], *last])
    return {
        ".".join(parts)
        for parts in found
        if parts[0] == "torch" and any(p == "ops" or (p.startswith("_") and not p.startswith("__")) for p in parts)
    }


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import torch\ntorch.ops.mkldnn.f(1)", {"torch.ops", "torch.ops.mkldnn", "torch.ops.mkldnn.f"}),
        ("from torch import _C", {"torch._C"}),
        ("import torch._dynamo.config", {"torch._dynamo.config"}),
        ("import torch as t\nt.cpu._is_it()", {"torch.cpu._is_it"}),
        ("from torch.cpu import _is_it as it", {"torch.cpu._is_it"}),
        ("import torch\ngetattr(torch.cpu, name)", {"torch.cpu._"}),
        ("import torch\ngetattr(torch, '_C')", {"torch._C"}),
        ("import torch\ngetattr(torch, name.dtype)", set()),
        ("import torch\nfrom torch.nn import functional\ntorch.__version__, functional.relu(a._b)", set()),
    ],
)
def test_private_names_are_found(source, names):
    assert private_names(source) == names


def test_private_parts_of_torch_are_named_in_one_file():
    found = {path.name: names for path in SOURCES if (names := private_names(path.read_text()))}
    assert list(found) == ["private_torch.py"]


def test_only_the_configuration_of_a_training_names_the_u_net_outside_of_backbones():
    inner = {"neuroadda.backbones." + name for name in ("unet_config", "unet", "inference", "sections")}
    users = {
        path.name
        for path in SOURCES
        if path.parent.name != "backbones"
        for full in imported(ast.parse(path.read_text())).values()
        if inner & {".".join(full), ".".join(full[:-1])}
    }
    assert users == {"config.py"}


def test_planning_needs_no_torch():
    code = (
        "import sys\nfrom neuroadda.backbones.unet_config import UNetConfig\nfrom neuroadda.prediction.predict import Predict\n"
        "Predict(device='cpu', precision='float32').resolve(UNetConfig(), (32, 256, 256))\nsys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("device", "threads", "compile", "chosen"),
    [("cpu", 1, False, True), ("cpu", 2, False, False), ("cpu", 1, True, False), ("cuda:0", 1, False, False)],
)
def test_what_is_planned_is_what_runs(device, threads, compile, chosen):
    model = UNet(SMALL).eval()
    assert runs_in_chunks(SMALL, device, threads, compile) == chosen
    assert (fast_path(model, device, threads, compile, torch.float32) is not None) == chosen


def lack(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    if what == "the operator":
        monkeypatch.setattr(torch.ops, "mkldnn", object())
    elif what == "oneDNN":
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    else:
        monkeypatch.setattr(torch, "__version__", what)


AFTER = f"{KNOWN_VERSIONS[1][0]}.{KNOWN_VERSIONS[1][1] + 1}.0.dev20270101+cpu"


@pytest.mark.parametrize("what", ["the operator", "oneDNN", AFTER, "2.5.1", "99.0", "a fork"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_plain_operators_do_where_the_private_one_is_missing_or_unknown(monkeypatch, what, dtype):
    torch.manual_seed(0)
    model = UNet(SMALL).eval()
    raw = torch.randn(1, 1, *SMALL.input_shape_vx((4, 16, 16)))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        expected = model(raw)
        lack(monkeypatch, what)
        assert find_fused_convolution() is None
        computed = fast_path(model, "cpu", 1, False, dtype)(raw)
    torch.testing.assert_close(computed, expected, atol=1e-5 if dtype == torch.float32 else 0.02, rtol=1e-5)


@pytest.mark.parametrize("version", ["2.6.0", "2.13.0+cpu"])
def test_in_known_versions_the_private_operator_is_used(monkeypatch, version):
    if not torch.backends.mkldnn.is_available():
        pytest.skip("torch without oneDNN")
    monkeypatch.setattr(torch, "__version__", version)
    assert find_fused_convolution() is not None


def test_without_a_word_of_torch_a_cpu_computes_in_float32(monkeypatch):
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert resolve_precision("auto", "cpu") == "float32"
