import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from morphir_agents.cycle import CycleConfig
from morphir_agents.envs import RoomConfig
from morphir_agents.folder import RunFolder
from morphir_agents.logbook import read_rows
from morphir_agents.page import write_page
from morphir_agents.runs import execute
from tests.agents.methods.method_runs import run_of
from tests.agents.test_finish import finished  # noqa: F401 - a fixture


def test_one_page_shows_the_whole_run(finished):  # noqa: F811
    _config, folder, summary = finished
    page = folder.page.read_text()
    assert page.startswith("<!doctype html>")
    for text in (
        "tiny run",
        "tiny/Aim-v0",
        "PROVED",
        "1 → 2",
        "16 → 24",
        "2 layers",
        "up to 24 units wide",
        "2,048",
        "DeeperPass",
        "WiderPass",
        "deterministic",
        "sampling",
        "policy.onnx",
        "policy.safetensors",
        "lineage.json",
        "learning_rate",
        f"{summary.parameters:,} parameters",
        "The actions of onnxruntime are the module's, up to rounding.",
        "observation[batch, 1] -&gt; action[batch, 1], mean[batch, 1]",
    ):
        assert text in page, text


def test_a_run_that_noted_no_widths_still_has_a_page(finished):  # noqa: F811
    config, folder, summary = finished
    row = read_rows(folder.path / "growth.jsonl")[0]
    del row["width_before"], row["width_after"]
    page = folder.page.read_text()
    write_page(config, folder, summary, {"growth": [row], "events": [], "evaluations": []})
    found = folder.page.read_text()
    folder.page.write_text(page)
    assert "<td>1 → 2</td><td></td>" in found


def test_of_a_method_s_run_the_events_are_shown_and_no_growth(tiny_td3_config, tmp_path):
    config = run_of(tiny_td3_config, "injection", total_steps=300)
    folder = RunFolder.create(tmp_path / "run", config)
    summary = execute(config, folder, Console(quiet=True))
    page = folder.page.read_text()
    assert summary.method_events == 1
    for text in ("<b>1 event</b>", "of the training time", "<h2>Events of the method</h2>"):
        assert text in page
    assert "<th>churn of the actor</th><th>of the critic</th>" in page
    assert "growth event" not in page
    assert "In use" not in page
    assert "<h2>Growth</h2>" not in page
    assert "kept its network" not in page


def test_of_a_sparse_run_it_says_how_many_weights_are_in_use(tiny_td3_config, tmp_path):
    config = run_of(tiny_td3_config, "random-growth")
    folder, console = RunFolder.create(tmp_path / "run", config), Console(record=True, width=200)
    summary = execute(config, folder, console)
    events = read_rows(folder.path / "events.jsonl")
    first, last = events[0], events[-1]
    assert summary.in_use == {
        name: (first[f"{name}_density"], last[f"{name}_density"]) for name in ("actor", "critic")
    }
    assert summary.in_use["actor"][0] < summary.in_use["actor"][1]
    text = "in use: actor 25 % -> {:.3g} %, critic 25 % -> {:.3g} % of the weights of sparse layers"
    text = text.format(*(100 * end for _, end in summary.in_use.values()))
    assert text in console.export_text()
    assert text.replace("->", "→").replace("in use", "In use") in folder.page.read_text()


def test_a_run_that_noted_no_densities_says_nothing_of_them(tiny_td3_config, tmp_path):
    config = run_of(tiny_td3_config, "static-sparse", total_steps=300)
    folder = RunFolder.create(tmp_path / "run", config)
    execute(config, folder, Console(quiet=True))
    (row,) = read_rows(folder.path / "events.jsonl")
    del row["actor_density"], row["critic_density"]
    (folder.path / "events.jsonl").write_text(json.dumps(row) + "\n")
    summary = execute(config, folder, Console(quiet=True))
    assert summary.in_use == {}
    assert "In use" not in folder.page.read_text()


def test_a_run_that_grew_and_had_a_method_shows_both(finished):  # noqa: F811
    config, folder, summary = finished
    page = folder.page.read_text()
    event = {"step": 8, "kind": "recycle", "grade": "EMPIRICAL", "began": 0, "ceased": 0}
    event |= {"actor_churn": 0.1, "critic_churn": 0.2, "milliseconds": 1.0, "report": "fine"}
    rows = {"growth": read_rows(folder.path / "growth.jsonl"), "evaluations": []}
    write_page(config, folder, replace(summary, method_events=1), {**rows, "events": [event]})
    found = folder.page.read_text()
    folder.page.write_text(page)
    for text in ("1 growth event", "<b>1 event</b>", "<h2>Growth</h2>", "Events of the method"):
        assert text in found


def test_only_a_room_can_be_solved(finished):  # noqa: F811
    config, folder, summary = finished
    page = folder.page.read_text()
    assert "solved" not in page
    write_page(
        replace(config, env=RoomConfig()),
        folder,
        summary,
        {"growth": [], "events": [], "evaluations": []},
    )
    found = folder.page.read_text()
    folder.page.write_text(page)
    assert "<th>solved</th>" in found
    assert "<td>0%</td>" in found


def test_a_run_whose_networks_were_not_measured_has_no_such_picture(finished):  # noqa: F811
    _config, folder, _summary = finished
    assert not folder.plasticity.exists()
    assert "Plasticity" not in folder.page.read_text()


def test_of_several_tasks_evaluations_name_theirs(finished):  # noqa: F811
    config, folder, summary = finished
    evaluation = read_rows(folder.path / "evaluations.jsonl")[0]
    page = folder.page.read_text()
    rows = [{**evaluation, "task": name} for name in ("Ant-v5", "Hopper-v5")]
    write_page(config, folder, summary, {"growth": [], "events": [], "evaluations": rows})
    found = folder.page.read_text()
    folder.page.write_text(page)
    assert "<th>task</th>" in found
    assert "<th>task</th>" not in page
    assert found.count("<td>Ant-v5</td>") == 1
    assert found.count("<td>Hopper-v5</td>") == 3  # the final evaluations are of the last task


def test_a_cycle_names_its_last_task_and_calls_new_heads_what_they_are(tiny_td3_config, tmp_path):
    config = tiny_td3_config("tiny/Aim-v0")
    config = replace(config, cycle=CycleConfig(("tiny/Aim-v0", "tiny/Reach-v0"), rounds=2))
    folder, console = RunFolder.create(tmp_path / "run", config), Console(record=True, width=200)
    summary = execute(config, folder, console)
    said, page = console.export_text(), folder.page.read_text()
    assert summary.growth_events == 1
    assert "deterministic policy over 8 episodes of tiny/Reach-v0: return" in said
    assert "1 new head took" in said
    assert "new head at step 150: " in said
    assert "deterministic policy, 8 episodes of tiny/Reach-v0<" in page
    for text in ("<b>1 new head</b>", "<h2>New heads</h2>"):
        assert text in page
    for text in ("growing took", "grew", "growth event", "<h2>Growth"):
        assert text not in said + page


@pytest.mark.parametrize("kind", ["none", "static-sparse"])
def test_it_says_that_a_lineage_leaves_events_out(tiny_td3_config, tmp_path, kind):
    """STATE-21"""
    config = run_of(tiny_td3_config, kind, total_steps=300)
    folder = RunFolder.create(tmp_path / "run", config)
    execute(config, folder, Console(quiet=True))
    text = 'keeps only the last one (STATE-21). All of them are in <a href="events.jsonl">'
    assert (text in " ".join(folder.page.read_text().split())) == (kind == "static-sparse")


def test_continuous_actions_are_not_called_the_same(finished):  # noqa: F811
    config, folder, summary = finished
    page = folder.page.read_text()
    assert "The actions of onnxruntime are the module's, up to rounding." in " ".join(page.split())
    assert "chooses the same" not in page
    rows = {"growth": [], "events": [], "evaluations": []}
    outputs = {"action": ("batch",), "logits": ("batch", 4)}
    discrete = replace(summary, onnx=replace(summary.onnx, outputs=outputs))
    write_page(config, folder, discrete, rows)
    chosen = folder.page.read_text()
    write_page(config, folder, replace(summary, onnx_same_actions=False), rows)
    other = folder.page.read_text()
    folder.page.write_text(page)
    assert "onnxruntime chooses the same actions as the module." in chosen
    assert "The actions of onnxruntime are NOT the module's." in other


def test_the_page_needs_no_other_file_and_no_network(finished):  # noqa: F811
    page = finished[1].page.read_text()
    sources = re.findall(r'(?:src|srcset)="([^"]+)"', page)
    assert len(sources) == 1
    assert sources[0].startswith("data:image/png;base64,")
    assert "http" not in page
    assert "<script" not in page
    assert "$" not in re.sub(r"<pre>.*?</pre>", "", page, flags=re.S)  # nothing left to fill in
