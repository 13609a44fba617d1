"""Cuts an OpenVINO model in two, so that the last layer of each head and what follows it can stay in float32.

OpenVINO's precision is one for a whole model. In bfloat16 it would round the outputs themselves to eight bits: cells of
a heatmap next to each other would have the same height and each count as an object, and a velocity would come in steps
of 0.06 m/s. The last layers are a small part of the work.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection
from typing import Any

_LAYERS = ("Convolution", "MatMul")
_WITHOUT_INPUTS = ("Constant", "Parameter")


def cut_before_last_layers(model: Any, names: Collection[str]) -> tuple[Any, Any]:
    """The model before and the model after the cut, which runs through the inputs of the last layers.

    Args:
        model: an ``openvino.Model``; it is used up.
        names: of the outputs whose last layers come after the cut. The other outputs come before it, and are the first
            outputs of the first model.

    Returns:
        Two models; the inputs of the second are the first one's last outputs, in the same order.
    """
    openvino = importlib.import_module("openvino")
    opset = importlib.import_module("openvino.opset13")
    computed = _descendants(model.get_parameters())  # the rest are constants, and what is made of them alone
    after = _descendants(_last_layers([result for result in model.get_results() if _name(result) in names]))
    results_before = [result for result in model.get_results() if _key(result) not in after]
    results_after = [result for result in model.get_results() if _key(result) in after]
    before = computed - after
    consumers: dict[tuple[str, int], list[Any]] = {}
    for node in model.get_ordered_ops():
        if _key(node) in after:
            for port in node.inputs():
                source = port.get_source_output()
                if _key(source.get_node()) in before:
                    consumers.setdefault((_key(source.get_node()), source.get_index()), []).append(port)
    sources = [ports[0].get_source_output() for ports in consumers.values()]
    inputs_after = [opset.parameter(source.get_partial_shape(), source.get_element_type()) for source in sources]
    for parameter, ports in zip(inputs_after, consumers.values(), strict=True):
        for port in ports:
            port.replace_source_output(parameter.output(0))
    cut = [opset.result(source) for source in sources]
    first = openvino.Model([*results_before, *cut], model.get_parameters(), f"{model.get_name()}, layers")
    second = openvino.Model(results_after, inputs_after, f"{model.get_name()}, last layers")
    return first, second


def _last_layers(results: list[Any]) -> list[Any]:
    """The layers nearest to the results on every way up."""
    layers, seen, waiting = [], set(), list(results)
    while waiting:
        node = waiting.pop()
        if _key(node) in seen or node.get_type_name() in _WITHOUT_INPUTS:
            continue
        seen.add(_key(node))
        if node.get_type_name() in _LAYERS:
            layers.append(node)
        else:
            waiting.extend(port.get_source_output().get_node() for port in node.inputs())
    return layers


def _descendants(nodes: list[Any]) -> set[str]:
    """The nodes themselves and all that depend on them."""
    found, waiting = set(), list(nodes)
    while waiting:
        node = waiting.pop()
        if _key(node) in found:
            continue
        found.add(_key(node))
        for output in node.outputs():
            waiting.extend(port.get_node() for port in output.get_target_inputs())
    return found


def _name(result: Any) -> str:
    return result.input_value(0).get_any_name()


def _key(node: Any) -> str:
    return node.get_name()  # unique within a process, unlike Python's wrappers
