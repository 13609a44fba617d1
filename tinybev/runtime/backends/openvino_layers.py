"""Which module of the student each layer of an OpenVINO model is: OpenVINO itself only numbers them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from torch.fx import Node

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
        if is_layer(node):
            name, operator = _LAYERS[str(node.target)]
            number = f"_{counts[name]}" if counts[name] else ""
            counts[name] += 1
            found[f"{name}{number}/{operator}"] = module_path(node)
    return found


def is_layer(node: Node) -> bool:
    """Whether a node of an exported part is a convolution or a linear layer."""
    return str(node.target) in _LAYERS


def module_path(node: Node) -> str:
    """The path, in the student, of the module that a node of an exported part comes from."""
    path: str = list(node.meta["nn_module_stack"].values())[-1][0]
    return path.rpartition(_STUDENT)[2]


def layers_in(modules: dict[str, str], kept: Collection[str]) -> list[str]:
    """The layers whose module is, or lies in, one of ``kept``."""
    return [layer for layer, path in modules.items() if any(f"{path}.".startswith(f"{module}.") for module in kept)]


def module_groups(modules: dict[str, str]) -> list[str]:
    """Modules that cover all layers: the parts of the backbone and of the BEV encoder, and the other modules whole."""
    depths = {"backbone": 2, "bev_encoder": 3}
    paths = (path.split(".") for path in modules.values())
    return list(dict.fromkeys(".".join(path[: depths.get(path[0], 1)]) for path in paths))
