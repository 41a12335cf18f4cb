"""Mutation testing of the checkers: which small changes of them no test notices.

    python .ci/mutation.py [PATTERN ...]    goes on where it was stopped, and tries survivors again
    python .ci/mutation.py --page           only writes docs/mutation.md

mutmut makes the mutants, has mypy reject those that are not well typed, and sees which tests reach
a function; `[tool.mutmut]` in pyproject.toml says what is mutated and which tests there are. Its
runner begins a session of pytest for every mutant, which takes longer than most of the tests. Here
one session collects them, and a fork of it runs those that reach the mutant until one fails. What
was found stays in `mutants/`, where `mutmut show` and `mutmut browse` read it.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import json
import os
import re
import resource
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, Final, final

import libcst as cst
import mutation_page
import pytest
from mutation_page import FAILED, ILL_TYPED, NO_TESTS, SURVIVED, UNTRIED
from mutmut.__main__ import create_mutants
from mutmut.configuration import config
from mutmut.mutation.data import MutantLineSpans, SourceFileMutationData
from mutmut.mutation.mutators import mutation_operators, operator_string
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state
from mutmut.type_checking import run_type_checker
from mutmut.utils.file_utils import (
    change_cwd,
    copy_also_copy_files,
    copy_src_dir,
    setup_source_paths,
    walk_mutatable_files,
)

ROOT: Final = Path(__file__).resolve().parent.parent
TYPED: Final = Path("mutants/typed")  # is there if mypy has seen all mutants
# Seconds of tests that a mutant is tried on at first: of the mutated file's tests, and of others.
OWN: Final = 5.0
OTHERS: Final = 1.5
# Of the files of the other checkers a sample is tried: so many mutants each, by the hashes of their
# names, so that it is nearly the same one after an edit.
SAMPLE: Final = 40
SAMPLED: Final = (
    "carried", "comparison", "differential", "gradients", "kept", "native", "power", "statistics",
)  # fmt: skip
STRICT: Final = re.compile(r", (strict\w*=(True|False|None)|(?=\)))")

Mutant = tuple[SourceFileMutationData, str]


# -- which mutants there are -----------------------------------------------------------------------


def decided(node: Any) -> Iterator[cst.CSTNode]:
    """A condition that is never true, and one that always is: mutmut leaves guards alone."""
    condition = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    for operator, outcome in ((cst.And(), "False"), (cst.Or(), "True")):
        test = cst.BooleanOperation(condition, operator, cst.Name(outcome))
        yield node.with_changes(test=test)


def renamed(node: cst.BaseString) -> Iterator[cst.CSTNode]:
    """Another name where a string is one; sentences, which only people read, are left alone."""
    if " " not in getattr(node, "value", ""):
        yield from operator_string(node)


def generate() -> list[SourceFileMutationData]:
    """Makes the mutants of files that have changed, and reads what is known about all."""
    operators = [(kind, make) for kind, make in mutation_operators if kind is not cst.BaseString]
    guards = [(kind, decided) for kind in (cst.If, cst.CompIf, cst.While)]
    mutation_operators[:] = [*operators, (cst.BaseString, renamed), *guards]
    set_mutant_under_test("mutant_generation")
    Path("mutants").mkdir(exist_ok=True)
    copy_src_dir()
    copy_also_copy_files()
    setup_source_paths()
    made = create_mutants(1)
    found = [SourceFileMutationData(path=path) for path in walk_mutatable_files()]
    for data in found:
        data.load()
        data.meta_path = data.meta_path.absolute()  # pytest runs in another folder
    if made.mutated or not TYPED.exists():
        drop_assertions(found)
        check_types(found)
    order = config().only_mutate
    return sorted(found, key=lambda data: order.index(str(data.path)))


def drop_assertions(found: Sequence[SourceFileMutationData]) -> None:
    """Forgets mutants that only change a `strict=True`: what it does is to raise."""
    for data in found:
        for name in [name for name, code in data.exit_code_by_key.items() if code is UNTRIED]:
            _, was, now = mutation_page.survivor(data, name)
            if STRICT.sub("", was) == STRICT.sub("", now):
                del data.exit_code_by_key[name]
        data.save()


def check_types(found: Sequence[SourceFileMutationData]) -> None:
    """Notes which new mutants mypy rejects: CI runs it as it runs the tests."""
    TYPED.unlink(missing_ok=True)
    with change_cwd("mutants"):
        errors = run_type_checker(config().type_check_command)
    lines = defaultdict(list)
    for error in errors:
        lines[error.file_path].append(error.line_number)
    for data in found:
        spans = MutantLineSpans.load(data.path).span_by_function_name
        wrong = lines[Path("mutants", data.path).absolute()]
        for name, code in data.exit_code_by_key.items():
            span = spans[name.rpartition(".")[2]]
            if code is UNTRIED and any(span.start <= line <= span.end for line in wrong):
                data.exit_code_by_key[name] = ILL_TYPED
        data.save()
    TYPED.touch()


def chosen(found: Sequence[SourceFileMutationData], patterns: Sequence[str]) -> list[Mutant]:
    """The mutants to try: those that are new, then survivors without an explanation."""
    explained = mutation_page.explanations(ROOT)
    new, again = [], []
    for data in found:
        names = [*data.exit_code_by_key]
        if data.path.stem in SAMPLED and data.path.parent.name == "checks":
            names = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())[:SAMPLE]
        for name in names:
            code = data.exit_code_by_key[name]
            if not any(fnmatch(name, pattern) for pattern in patterns or "*"):
                continue
            if code is UNTRIED:
                new.append((data, name))
            elif code in SURVIVED and mutation_page.survivor(data, name) not in explained:
                again.append((data, name))
    return new + again


# -- what the tests say ----------------------------------------------------------------------------


@final
class Forks:
    """A plugin of pytest: forks of the session that collected the tests run them."""

    def __init__(self, mutants: Sequence[Mutant]) -> None:
        self._mutants = mutants
        self._folder = Path.cwd()
        self._seconds: dict[str, float] = {}
        self._reaching: dict[str, list[str]] = {}
        self._digests: dict[str, str] = {}  # of the files with the tests
        self._kills: Counter[str] = Counter()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Runs every new test once as it is, and then for each mutant those that reach it."""
        items = {item.nodeid: item for item in session.items}
        self._load()
        digests = {str(path): _digest(path) for path in {item.path for item in session.items}}
        changed = {path for path, each in digests.items() if self._digests.get(path) != each}
        new = [item for item in session.items if str(item.path) in changed]
        self._forget(changed)
        self._digests = digests
        if new and _forked(partial(self._reach, session, new)):
            failed = self._file("failed").read_text()
            raise pytest.UsageError(f"{failed} fails without any mutant")
        self._load()
        gc.freeze()  # else every fork copies what it collects
        for number, (data, name) in enumerate(self._mutants, 1):
            tests = self._tests(data, name, items)
            began = time.monotonic()
            code = _forked(partial(self._try, session, name, tests)) if tests else NO_TESTS
            seconds = time.monotonic() - began
            print(f"{number}/{len(self._mutants)} {seconds:5.1f} s {code:3} {name}", flush=True)
            data.exit_code_by_key[name] = code
            data.save()
            if code == FAILED:
                self._kills[self._file("failed").read_text()] += 1
                self._file("kills").write_text(json.dumps(self._kills))
        return True

    def _file(self, name: str) -> Path:
        return self._folder / name

    def _load(self) -> None:
        if self._file("reaching").exists():
            known = json.loads(self._file("reaching").read_text())
            self._seconds, self._reaching, self._digests = known
        if self._file("kills").exists():
            self._kills = Counter(json.loads(self._file("kills").read_text()))

    def _forget(self, changed: Collection[str]) -> None:
        """Forgets what the tests of some files reached."""
        files = {str(Path(path).relative_to(self._folder)) for path in changed}
        for function, names in [*self._reaching.items()]:
            self._reaching[function] = [n for n in names if n.partition("::")[0] not in files]
            if not self._reaching[function]:
                del self._reaching[function]

    def _reach(self, session: pytest.Session, items: Sequence[pytest.Item]) -> int:
        """Notes which functions tests call, and how long they take."""
        set_mutant_under_test("stats")
        for item in items:
            state()._stats.clear()
            began = time.process_time()
            if _first_failure(session, [item]) is not None:
                self._file("failed").write_text(item.nodeid)
                return FAILED
            self._seconds[item.nodeid] = time.process_time() - began
            for function in state()._stats:
                self._reaching.setdefault(function, []).append(item.nodeid)
        known = self._seconds, self._reaching, self._digests
        self._file("reaching").write_text(json.dumps(known))
        return 0

    def _tests(
        self, data: SourceFileMutationData, mutant: str, items: Mapping[str, pytest.Item]
    ) -> list[pytest.Item]:
        """The tests that reach a mutant, first what has noticed others; at first a part of them."""
        function = mutant.partition("__mutmut_")[0]
        if function in self._reaching:
            names = items.keys() & self._reaching[function]
        else:  # it may be called where its module is imported
            module = mutant.rpartition(".")[0]
            reached = (r for f, r in self._reaching.items() if f.startswith(f"{module}.x"))
            names = items.keys() & {name for each in reached for name in each}
        again = data.exit_code_by_key[mutant] is not UNTRIED
        left = {True: inf if again else OWN, False: inf if again else OTHERS}
        found = []
        for name in sorted(names, key=lambda name: (-self._kills[name], self._seconds[name])):
            is_own = f"/test_{data.path.stem}" in name
            left[is_own] -= self._seconds[name]
            if left[is_own] > 0:
                found.append(items[name])
        return found

    def _try(self, session: pytest.Session, mutant: str, tests: Sequence[pytest.Item]) -> int:
        """Whether a test fails; the system ends what takes long."""
        expected = sum(self._seconds[test.nodeid] for test in tests)
        limit = int(time.process_time() + 10 + 10 * expected)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        set_mutant_under_test(mutant)
        if mutant.partition("__mutmut_")[0] not in self._reaching:
            importlib.reload(sys.modules[mutant.rpartition(".")[0]])
        failed = _first_failure(session, tests)
        if failed is None:
            return 0
        self._file("failed").write_text(failed.nodeid)
        return FAILED


def _forked(function: Callable[[], int]) -> int:
    """What a function returns in a process of its own."""
    child = os.fork()
    if child == 0:
        try:
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            os._exit(function())
        finally:
            os._exit(99)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _first_failure(session: pytest.Session, items: Sequence[pytest.Item]) -> pytest.Item | None:
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return item
    return None


def main(arguments: Sequence[str]) -> int:
    """Tries what is to be tried and writes the page; fails where that does."""
    os.chdir(ROOT)
    os.environ |= {"CI": "true", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    found = generate()
    mutants = [] if "--page" in arguments else chosen(found, arguments)
    if mutants:
        options = ["--rootdir=.", "-q", "-s", "-p", "no:cacheprovider"]
        tests = config().pytest_add_cli_args_test_selection
        with change_cwd("mutants"):
            status = pytest.main([*options, *tests], plugins=[Forks(mutants)])
        if status:
            return int(status)
    return mutation_page.write(ROOT, found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
