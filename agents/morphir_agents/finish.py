"""The end of a run: a last evaluation, the policy as safetensors and ONNX, curve and page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from rich.console import Console

import morphir
from morphir.ir.report import counted
from morphir.state.files import atomic_path
from morphir_agents.compaction import Compacted, compact_policy
from morphir_agents.config import BaseRunConfig
from morphir_agents.curve import draw_curve
from morphir_agents.deploy import Deployed, deployed_policy, example_observations
from morphir_agents.envs import VectorEnv
from morphir_agents.evaluate import Evaluation, evaluate
from morphir_agents.folder import RunFolder
from morphir_agents.logbook import Logbook
from morphir_agents.page import write_page
from morphir_agents.plasticity_curve import draw_plasticity, measured_networks
from morphir_agents.trainer import Trained

__all__ = ["Summary", "finish"]


@final
@dataclass(frozen=True)
class Summary:
    """The results of a run in numbers."""

    steps: int
    seconds: float
    hidden_layers: int
    hidden_width: int
    parameters: int
    growth_events: int
    grades: tuple[str, ...]
    growth_share: float
    """Share of the training time that growing took."""
    method_events: int
    method_share: float
    """Share of the training time that the events of a method took."""
    in_use: Mapping[str, tuple[float, float]]
    """Of sparse networks the density of the layers with masks, at first and at the end."""
    evaluations: tuple[Evaluation, ...]
    onnx: morphir.OnnxReport
    onnx_same_actions: bool
    compacted: Compacted | None
    """Of a sparse policy, what is left of it without the units that do nothing."""

    @property
    def density(self) -> str:
        """What `in_use` says, as a line."""
        ends = (
            f"{name} {100 * a:.3g} % -> {100 * b:.3g} %" for name, (a, b) in self.in_use.items()
        )
        return f"in use: {', '.join(ends)} of the weights of sparse layers"


def finish(
    config: BaseRunConfig, folder: RunFolder, trained: Trained, logbook: Logbook, console: Console
) -> Summary:
    """Evaluate, export, check and explain; can be repeated on a finished run."""
    agent = trained.agent.eval()
    judge = config.judge(config.last_env, config.final_episodes)
    outcomes = tuple(
        evaluate(
            agent, judge, trained.encoding, config.final_episodes, (config.seed, 3), deterministic
        )
        for deterministic in config.forms
    )
    for outcome in outcomes:
        solved = f"{outcome.success_rate:.0%} solved, " if config.env.kind == "room" else ""
        console.print(
            f"{outcome.policy} policy over {outcome.episodes} episodes{config.of_last_task}: "
            f"[bold]{solved}return {outcome.mean_return:.2f}[/], length {outcome.mean_length:.0f}",
            highlight=False,
        )

    morphir.save(agent, folder.policy, optimizer=trained.optimizer)
    lineage = morphir.inspect(folder.policy).lineage
    with atomic_path(folder.lineage) as file:
        file.write_text(lineage.to_json() + "\n")

    deployed = deployed_policy(agent.cpu(), trained.encoding, judge.action_space).eval()
    seen = _observations(judge, config.seed)
    judge.close()
    report = morphir.export_onnx(
        deployed,
        folder.onnx,
        example_inputs=(example_observations(seen),),
        output_names=deployed.output_names,
    )
    console.print(str(report), highlight=False, markup=False)
    compacted = None
    if morphir.Masks(deployed).masks:
        example = example_observations(seen)
        compacted = compact_policy(deployed, folder.onnx, folder.compact_onnx, example)
        console.print(str(compacted), highlight=False, markup=False)

    timings, growth, events = (logbook.rows[name] for name in ("timings", "growth", "events"))
    seconds = float(timings[-1]["seconds"]) if timings else 0.0
    summary = Summary(
        steps=trained.step,
        seconds=seconds,
        hidden_layers=agent.hidden_layers,
        hidden_width=agent.hidden_width,
        parameters=sum(parameter.numel() for parameter in agent.parameters()),
        growth_events=len(growth),
        grades=tuple(row["grade"] for row in growth),
        growth_share=_seconds(growth) / max(seconds, 1e-9),
        method_events=len(events),
        method_share=_seconds(events) / max(seconds, 1e-9),
        in_use=_in_use(events),
        evaluations=outcomes,
        onnx=report,
        onnx_same_actions=_same_actions(folder.onnx, deployed, seen),
        compacted=compacted,
    )
    if growth:
        console.print(
            f"{counted(len(growth), config.growth_name)} took {summary.growth_share:.2%} of the "
            f"training time ({seconds:,.0f} s)",
            highlight=False,
        )
    if events:
        console.print(
            f"{counted(len(events), 'event')} took {summary.method_share:.2%} of the training time "
            f"({seconds:,.0f} s)",
            highlight=False,
        )
    if summary.in_use:
        console.print(summary.density, highlight=False)
    with atomic_path(folder.summary) as file:
        file.write_text(json.dumps(asdict(summary), indent=2) + "\n")
    solves = config.env.kind == "room"
    title = f"{config.name}: {config.title}"
    draw_curve(folder.curve, logbook.rows, title, solves)
    if measured_networks(logbook.rows["metrics"]):
        draw_plasticity(folder.plasticity, logbook.rows, title)
    write_page(config, folder, summary, logbook.rows)
    console.print(f"Everything about this run: [bold]{folder.page}[/]", highlight=False)
    return summary


def _in_use(events: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """Networks are made sparse by the first event, if at all; runs of old did not note how much."""
    if not events or events[0].get("actor_density") is None:
        return {}
    names = {name: f"{name}_density" for name in ("actor", "critic")}
    return {name: (events[0][each], events[-1][each]) for name, each in names.items()}


def _seconds(rows: list[dict[str, Any]]) -> float:
    return float(sum(row["milliseconds"] for row in rows)) / 1000


def _observations(judge: VectorEnv, seed: int) -> np.ndarray:
    """What the policy may meet: observations along random walks."""
    generator = np.random.default_rng(seed)
    judge.action_space.seed(seed)
    judge.restart((seed, 4))
    seen = []
    for _ in range(32):
        seen.append(judge.observations.copy())
        judge.step(np.stack([judge.action_space.sample() for _ in range(len(judge))]))
    stacked = np.concatenate(seen)
    return stacked[generator.permutation(len(stacked))]


def _same_actions(path: Path, deployed: Deployed, seen: np.ndarray) -> bool:
    """Whether onnxruntime chooses the module's actions, on every observation."""
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    observations = example_observations(seen)
    exported = session.run(["action"], {"observation": observations.numpy()})[0]
    with torch.inference_mode():
        expected = deployed(observations)[0].numpy()
    if exported.dtype.kind == "i":
        return bool((exported == expected).all())
    return bool(np.allclose(exported, expected, rtol=1e-5, atol=1e-6))
