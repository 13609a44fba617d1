"""Which layers of a student compute in int8 where a backend quantizes it, found in PyTorch's own graph."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from torch.export import ExportedProgram
from torch.fx import Node

from tinybev.model.student import Student
from tinybev.runtime.backends.openvino_layers import is_layer, module_path
from tinybev.runtime.backends.parts import HEAD_OUTPUTS, Part, student_parts
from tinybev.runtime.backends.torch_export import exported_program


def int8_layers(student: Student, keep: Collection[str] = ()) -> list[str]:
    """The paths of the convolutions and linear layers that come before the last layer of any head, in order.

    Args:
        student: whose.
        keep: modules that stay in floating point, with all that lies in them.
    """
    found = []
    for part in student_parts(student):
        program = exported_program(part)
        after = _descendants(_last_layers(_results(program, part)))
        found += [module_path(node) for node in program.graph.nodes if is_layer(node) and node not in after]
    return [path for path in dict.fromkeys(found) if not any(f"{path}.".startswith(f"{module}.") for module in keep)]


def _results(program: ExportedProgram, part: Part) -> list[Node]:
    """The nodes that give the heads' outputs."""
    (output,) = program.graph.find_nodes(op="output")
    return [node for name, node in zip(part.output_names, output.args[0], strict=True) if name in HEAD_OUTPUTS]


def _last_layers(results: Iterable[Node]) -> set[Node]:
    """The layers nearest to the results on every way up."""
    layers, seen, waiting = set(), set(), list(results)
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if is_layer(node):
            layers.add(node)
        else:
            waiting += node.all_input_nodes
    return layers


def _descendants(nodes: Iterable[Node]) -> set[Node]:
    """The nodes themselves and all that depend on them."""
    found, waiting = set(), list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += node.users
    return found
