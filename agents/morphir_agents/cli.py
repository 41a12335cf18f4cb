"""The command line: `morphir-agents run RECIPE`, `resume FOLDER` and `compare FOLDER...`."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, final

import tyro
from rich.console import Console

import morphir
from morphir_agents.checkpoint import latest
from morphir_agents.comparison import compare
from morphir_agents.config import BaseRunConfig, RunConfig, TD3RunConfig
from morphir_agents.errors import AgentsError
from morphir_agents.folder import RunFolder
from morphir_agents.recipes import RECIPES
from morphir_agents.rehearsal import rehearse
from morphir_agents.runs import default_folder, execute

__all__ = ["main"]

_HELP = """\
morphir-agents: reinforcement learning with networks that grow while they learn.

  morphir-agents run RECIPE [options]    train, and leave a folder with curve, policy, ONNX and page
  morphir-agents resume FOLDER           continue a stopped or killed run, as if it had not been
  morphir-agents recipes                 what can be run
  morphir-agents compare FOLDER...       curves of all seeds, figures with intervals, commands

  morphir-agents run grownn-minihack-room                      a room, solved in minutes
  morphir-agents run grownn-minihack-room --seed 3 --env.size 15 --ppo.total-steps 400000
  morphir-agents run grownn-minihack-room --growth both        grows wider as well as deeper
  morphir-agents run grownn-minihack-room --growth.depths 2 3 --growth.steps 50000 100000
  morphir-agents run grownn-minihack-room --growth wider --growth.widths 192 256 512
  morphir-agents run td3-pendulum                              continuous actions, in half a minute
  morphir-agents run td3-pendulum --method ne                  sparse, grows, prunes; or redo, ...
  morphir-agents run td3-halfcheetah --network.widths 256 128 --td3.total-steps 300000
  morphir-agents run td3-cycle-small --cycle.rounds 2 --td3.total-steps 80000
  morphir-agents run td3-halfcheetah --help                    every setting, with its meaning
  morphir-agents compare runs/td3-halfcheetah-* --by network.widths --measures critic/activated

Ctrl-C stops a run at its next checkpoint, a second one at once. Either way `resume` continues it
from its last checkpoint; before the first one it begins anew.
"""


@final
@dataclass(frozen=True)
class _Run:
    """Train an agent, and explain the run on a page."""

    config: Annotated[RunConfig | TD3RunConfig, tyro.conf.arg(name="")]
    folder: Path | None = None
    """Where to put everything; by default runs/<recipe>-seed<seed>, with the method before the seed
    if the recipe has another, and -2, -3, ... behind it if there is such a folder. One that holds a
    run already is refused."""


@final
@dataclass(frozen=True)
class _Resume:
    """Continue a run from its last checkpoint; the result is as without the interruption."""

    folder: tyro.conf.Positional[Path]
    """The run folder."""


@final
@dataclass(frozen=True)
class _Compare:
    """Compare runs, finished or not: every seed, interquartile means, bootstrap intervals.

    Runs are seeds of the same thing if they have the same recipe and the same configuration, and
    are told apart by the settings in which they differ. It writes comparison.md (a table, and the
    command that makes each run again), comparison.png (every seed thin, the interquartile mean bold
    in its band) and comparison.json (all curves and figures).

    For example: morphir-agents compare runs/td3-pendulum-* --measures critic/dormant
    """

    folders: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, and folders that hold some."""
    by: tuple[str, ...] = ()
    """What to tell apart, as it is called in a config.json: network.widths, td3.batch, env.id.
    Without, all in which runs of a recipe differ, but the seed."""
    measures: tuple[str, ...] = ()
    """Columns of metrics.jsonl that get a panel below the return, such as critic/activated,
    critic/dormant/1 or episode_length."""
    out: Path = Path("comparison")
    """The folder to write into."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status.

    Errors the user can mend are printed without a traceback.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    console = Console(soft_wrap=True)  # a path that is cut in two can't be copied
    errors = Console(soft_wrap=True, stderr=True)
    commands: dict[str, Callable[[list[str], Console], int]] = {
        "run": _run,
        "resume": _resume,
        "recipes": _list,
        "compare": _compare,
    }
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        console.print(_HELP, highlight=False, markup=False)
        return 0
    if arguments[0] not in commands:
        errors.print(
            f"morphir-agents has no command {arguments[0]!r}; expected one of "
            f"{', '.join(commands)}. Try: morphir-agents --help",
            highlight=False,
            markup=False,
        )
        return 2
    try:
        return commands[arguments[0]](arguments[1:], console)
    except (AgentsError, morphir.MorphirError) as error:
        errors.print("[bold red]error[/]: ", end="")
        errors.print(str(error), highlight=False, markup=False)
        return 1
    except KeyboardInterrupt:
        errors.print("Stopped.")
        return 130


def _run(arguments: list[str], console: Console) -> int:
    if arguments and not arguments[0].startswith("-") and arguments[0] not in RECIPES:
        near = difflib.get_close_matches(arguments[0], RECIPES, n=1)
        Console(soft_wrap=True, stderr=True).print(
            f"there is no recipe {arguments[0]!r}. "
            f"{f'Did you mean {near[0]}? ' if near else ''}All of them: morphir-agents recipes",
            highlight=False,
            markup=False,
        )
        return 2
    choices = {name: (recipe.description, _Run(recipe.config)) for name, recipe in RECIPES.items()}
    chosen = tyro.extras.overridable_config_cli(
        choices, args=arguments, prog="morphir-agents run", config=(tyro.conf.AvoidSubcommands,)
    )
    rehearse(chosen.config)
    folder = RunFolder.create(chosen.folder or default_folder(chosen.config), chosen.config)
    console.print(
        f"[bold]{chosen.config.name}[/]: {chosen.config.title}, seed {chosen.config.seed}, "
        f"into {folder.path}",
        highlight=False,
    )
    return _execute(chosen.config, folder, console)


def _resume(arguments: list[str], console: Console) -> int:
    chosen = tyro.cli(_Resume, args=arguments, prog="morphir-agents resume")
    folder, config = RunFolder.open(chosen.folder)
    if folder.is_finished(config):
        console.print(
            f"This run is finished. Everything about it: [bold]{folder.page}[/]", highlight=False
        )
        return 0
    return _execute(config, folder, console)


def _execute(config: BaseRunConfig, folder: RunFolder, console: Console) -> int:
    try:
        return 0 if execute(config, folder, console) is not None else 130
    except KeyboardInterrupt:
        found = latest(folder.checkpoints)
        how = (
            "There is no checkpoint yet, so that it begins anew with"
            if found is None
            else f"Continue from the last checkpoint, at step {int(found.name):,}, with"
        )
        console.print(
            f"Stopped at once. {how}: morphir-agents resume {folder.path}", highlight=False
        )
        return 130


def _list(arguments: list[str], console: Console) -> int:
    tyro.cli(_Nothing, args=arguments, prog="morphir-agents recipes")
    for name, recipe in RECIPES.items():
        console.print(f"[bold]{name}[/]\n    {recipe.description}", highlight=False)
    return 0


def _compare(arguments: list[str], console: Console) -> int:
    chosen = tyro.cli(_Compare, args=arguments, prog="morphir-agents compare")
    compare(chosen.folders, chosen.out, console, chosen.by, chosen.measures)
    return 0


@final
@dataclass(frozen=True)
class _Nothing:
    """List the recipes."""


if __name__ == "__main__":
    sys.exit(main())
