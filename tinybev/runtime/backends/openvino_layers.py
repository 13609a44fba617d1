"""Which module of the student each layer of an OpenVINO model is: OpenVINO itself only numbers them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from tinybev.runtime.backends.parts import Part
from tinybev.runtime.backends.torch_export import exported_program

_STUDENT = "student."
_LAYERS = {
    "aten.conv2d.default": ("convolution", "aten.convolution.default/Convolution"),
    "aten.linear.default": ("linear", "aten.linear.default/MatMul"),
}
"""PyTorch's operator, and what the layer is called in OpenVINO: ``convolution/…``, ``convolution_1/…``, in order."""


def layer_modules(part: Part) -> dict[str, str]:
    """OpenVINO's name of each convolution and linear layer of ``part``, and the path of its module in the student."""
    counts: Counter[str] = Counter()
    found = {}
    for node in exported_program(part).graph.nodes:
        if str(node.target) in _LAYERS:
            name, operator = _LAYERS[str(node.target)]
            number = f"_{counts[name]}" if counts[name] else ""
            counts[name] += 1
            path = list(node.meta["nn_module_stack"].values())[-1][0]
            found[f"{name}{number}/{operator}"] = path.rpartition(_STUDENT)[2]
    return found


def layers_in(modules: dict[str, str], kept: Collection[str]) -> list[str]:
    """The layers whose module is, or lies in, one of ``kept``."""
    return [layer for layer, path in modules.items() if any(f"{path}.".startswith(f"{module}.") for module in kept)]


def module_groups(modules: dict[str, str]) -> list[str]:
    """Modules that cover all layers: the parts of the backbone and of the BEV encoder, and the other modules whole."""
    depths = {"backbone": 2, "bev_encoder": 3}
    paths = (path.split(".") for path in modules.values())
    return list(dict.fromkeys(".".join(path[: depths.get(path[0], 1)]) for path in paths))
