"""Which passes are checked together, and what may be a model or a pass."""

import pytest
from torch import nn

from morphir import CompactPass, DeeperPass, RefusalError, ShallowerPass, WiderPass
from morphir.recordings import Clock, Traces
from morphir.stages import as_passes, check_model, next_edits, rewrite, stages_of, told
from tests.specimens import Net

DEEPER, WIDER = DeeperPass(at="extractor.1"), WiderPass(at="extractor.0", width=12)
BACK = ShallowerPass()


@pytest.mark.parametrize(
    ("passes", "stages"),
    [
        ([DEEPER], [[DEEPER]]),
        ([DEEPER, DEEPER], [[DEEPER, DEEPER]]),
        ([WIDER, WIDER], [[WIDER], [WIDER]]),
        ([DEEPER, WIDER, DEEPER, DEEPER], [[DEEPER], [WIDER], [DEEPER, DEEPER]]),
        ([DEEPER, BACK, BACK, DEEPER], [[DEEPER], [BACK, BACK], [DEEPER]]),
    ],
)
def test_a_change_of_sizes_is_a_stage_of_its_own(passes, stages):
    assert stages_of(passes) == stages


def test_a_pass_may_be_several_stages():
    """COMPACT-2: what does nothing goes before copies are merged"""
    merging = CompactPass(merge_copies=True)
    assert stages_of([WIDER, merging]) == [[WIDER], [CompactPass()], [merging]]
    assert stages_of([CompactPass()]) == [[CompactPass()]]


def test_one_pass_or_several():
    assert as_passes(DEEPER) == [DEEPER]
    assert as_passes((DEEPER, WIDER)) == [DEEPER, WIDER]
    for wrong in ("extractor.1", [], [DEEPER, [WIDER]], DeeperPass, None):
        with pytest.raises(RefusalError, match="expected a pass or a flat list of passes"):
            as_passes(wrong)


def test_what_is_no_model_is_refused():
    check_model(Net())
    with pytest.raises(RefusalError):
        check_model("a model")


def test_what_the_passes_said_stands_below_them():
    before = Traces.of(Net(), None, ("forward",))
    rewriter, said = rewrite([DEEPER], before, Clock())
    assert [edit.name for edit in rewriter.insertions] == ["extractor.1_deeper1"]
    assert told(said) == (
        "DeeperPass(at='extractor.1')\n  extractor.1_deeper1 runs after extractor.1 (DEEPER-1)",
    )


def test_stages_that_edit_nothing_are_passed_over_and_say_so():
    before, idle = Traces.of(Net(), None, ("forward",)), CompactPass()
    stages = [[idle], [WIDER], [idle]]
    rewriter, nothing, said = next_edits(stages, before, Clock())
    assert rewriter.edits
    assert [pass_ for pass_, _ in nothing] == [idle]
    assert [pass_ for pass_, _ in said] == [WIDER]
    assert stages == [[idle]]
    rewriter, nothing, said = next_edits(stages, before, Clock())
    assert not rewriter.edits
    assert not nothing
    assert [pass_ for pass_, _ in said] == [idle]


def test_a_refusal_in_one_mode_is_a_refusal():
    net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.Linear(4, 2))
    with pytest.raises(RefusalError):
        rewrite([DeeperPass(at="0")], Traces.of(net, None, ("forward",)), Clock())
