import re

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
        "2,048",
        "DeeperPass",
        "deterministic",
        "sampling",
        "policy.onnx",
        "policy.safetensors",
        "lineage.json",
        "learning_rate",
        f"{summary.parameters:,} parameters",
        "the same actions",
        "observation[batch, 1] -&gt; action[batch, 1], mean[batch, 1]",
    ):
        assert text in page, text


def test_the_page_needs_no_other_file_and_no_network(finished):  # noqa: F811
    page = finished[1].page.read_text()
    sources = re.findall(r'(?:src|srcset)="([^"]+)"', page)
    assert len(sources) == 1
    assert sources[0].startswith("data:image/png;base64,")
    assert "http" not in page
    assert "<script" not in page
    assert "$" not in re.sub(r"<pre>.*?</pre>", "", page, flags=re.S)  # nothing left to fill in
