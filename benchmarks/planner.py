"""CPU time of building a graph and of finding all groups, ours and Torch-Pruning's.

    pip install torch-pruning==1.6.1
    python benchmarks/planner.py [--rounds 5] [--networks mlp-10] [--depths 500 50000]

Per network both do, in one process on one thread, taking turns:

    build    ours: `morphir.trace`, which records the network at two batch sizes and compares a
             replay of each recording with the network, and `AxisGroups`, which unifies the axes;
             theirs: `DependencyGraph().build_dependency`, one forward and a walk over `grad_fn`
    groups   ours: `AxisGroups.groups`, every group with its places and its reason;
             theirs: `get_all_groups`

How much of our build could be left out is measured too: the two forwards without a recorder that
two batch sizes take, and a single recording at a single size that nothing is compared with.

Example inputs have one row, as in Torch-Pruning's own examples. The second part measures MLPs of
width 8 of a thousand to a hundred thousand nodes, ours only: nodes are functional calls, and time
per node says whether it grows linearly. Writes `results/planner.json`.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch_pruning
from planner_models import Decoder, ResNet50, mlp
from results import write_results
from torch import Tensor, nn

import morphir
from morphir.axes import AxisGroups
from morphir.frontend.capture import Numbering, capture
from morphir.frontend.entry import resolve_entry_points
from morphir.frontend.importer import Importer
from morphir.ops import DEFAULT_TABLE

NETWORKS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "mlp-10": lambda: (mlp(10), torch.randn(1, 64)),
    "mlp-100": lambda: (mlp(100), torch.randn(1, 64)),
    "mlp-1000": lambda: (mlp(1000), torch.randn(1, 64)),
    "mlp-1000, two rows": lambda: (mlp(1000), torch.randn(2, 64)),
    "resnet-50": lambda: (ResNet50(), torch.randn(1, 3, 224, 224)),
    "decoder-12": lambda: (Decoder(12), torch.randint(0, 1000, (1, 32))),
    "decoder-24": lambda: (Decoder(24), torch.randint(0, 1000, (1, 32))),
}


def ours(model: nn.Module, inputs: Tensor) -> tuple[float, float, float, int, int]:
    """Seconds of recording, of unification and of all groups; how many nodes and groups."""
    gc.collect()
    start = time.process_time()
    program = morphir.trace(model, example_inputs=(inputs,))
    recorded = time.process_time()
    planner = AxisGroups(program)
    unified = time.process_time()
    count = len(planner.groups)
    found = time.process_time()
    nodes = sum(len(graph.nodes) for graph in program.graphs.values())
    return recorded - start, unified - recorded, found - unified, nodes, count


def theirs(model: nn.Module, inputs: Tensor) -> tuple[float, float, int]:
    """Seconds of the graph and of all groups, and how many groups there are."""
    gc.collect()
    start = time.process_time()
    graph = torch_pruning.DependencyGraph().build_dependency(model, example_inputs=inputs)
    built = time.process_time()
    count = sum(1 for _ in graph.get_all_groups())
    return built - start, time.process_time() - built, count


def least(model: nn.Module, inputs: Tensor) -> tuple[float, float, float]:
    """Seconds of a forward, of two at two batch sizes, and of one recording without checks."""
    gc.collect()
    longer = torch.cat([inputs, inputs[:1]])
    start = time.process_time()
    with torch.no_grad():
        model(inputs)
    once = time.process_time()
    with torch.no_grad():
        model(longer)
    twice = time.process_time()
    [entry] = resolve_entry_points(model, ["forward"])
    recording = capture(model, entry, "eval", ((inputs,), {}), Numbering({}, 0))
    Importer(DEFAULT_TABLE).run(recording, entry.name)
    return once - start, twice - start, time.process_time() - twice


def compare(name: str, rounds: int) -> dict[str, Any]:
    """Medians of both after a first round that is not counted, and what ours can't do without."""
    torch.manual_seed(0)
    model, inputs = NETWORKS[name]()
    model.eval()
    mine, other, bare = [], [], []
    for index in range(rounds + 1):
        found = least(model, inputs), ours(model, inputs), theirs(model, inputs)
        if index:
            bare.append(found[0])
            mine.append(found[1])
            other.append(found[2])
    forward, forwards, recording = map(statistics.median, zip(*bare, strict=True))
    record, unify, groups, *_ = map(statistics.median, zip(*mine, strict=True))
    build, all_groups, _ = map(statistics.median, zip(*other, strict=True))
    nodes, our_count = mine[0][3:]
    return {
        "network": name,
        "nodes": nodes,
        "forward_s": forward,
        "two_forwards_s": forwards,
        "one_recording_s": recording,
        "ours": {
            "record_s": record,
            "unify_s": unify,
            "groups_s": groups,
            "groups": our_count,
            "total_range_s": _range(sum(row[:3]) for row in mine),
        },
        "theirs": {
            "build_s": build,
            "groups_s": all_groups,
            "groups": other[0][2],
            "total_range_s": _range(sum(row[:2]) for row in other),
        },
    }


def grow(depth: int) -> dict[str, Any]:
    """Seconds per node on an MLP of width 8."""
    torch.manual_seed(0)
    record, unify, groups, nodes, _ = ours(mlp(depth, 8).eval(), torch.randn(1, 8))
    return {
        "depth": depth,
        "nodes": nodes,
        "record_s_per_node": record / nodes,
        "plan_s_per_node": (unify + groups) / nodes,
    }


def _range(values: Any) -> tuple[float, float]:
    found = list(values)
    return min(found), max(found)


def main() -> None:
    """Measures what was asked for and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds per network")
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--depths", nargs="*", type=int, default=[500, 5000, 50_000])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # torch_pruning warns of every parameter that it wraps
    torch.set_num_threads(1)
    rows = []
    for name in arguments.networks:
        row = compare(name, arguments.rounds)
        rows.append(row)
        mine, other = row["ours"], row["theirs"]
        build = mine["record_s"] + mine["unify_s"]
        print(
            f"{name:20} build {build:7.3f} / {other['build_s']:7.3f} s "
            f"(two forwards {row['two_forwards_s']:.3f}, one recording "
            f"{row['one_recording_s']:.3f}), "
            f"all groups {mine['groups_s']:7.4f} / {other['groups_s']:7.4f} s, both 1 : "
            f"{(other['build_s'] + other['groups_s']) / (build + mine['groups_s']):.2f}",
            flush=True,
        )
    growth = []
    for depth in arguments.depths:
        growth.append(grow(depth))
        nodes, record, plan = (growth[-1][key] for key in list(growth[-1])[1:])
        print(f"{nodes} nodes: {1e6 * record:.0f} + {1e6 * plan:.0f} us a node", flush=True)
    print("written to", write_results("planner", {"networks": rows, "growth": growth}))


if __name__ == "__main__":
    main()
