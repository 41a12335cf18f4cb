"""Random changes of axes."""

from fractions import Fraction

from hypothesis import strategies as st

from morphir.ir import FRESH, Added, AxisChange, AxisMap, Mapped, Multiplied


@st.composite
def maps(draw, size: int | None = None, *, onto: bool = False) -> AxisMap:
    """Maps with unequal shares, negative ones among them, which are exact in any float."""
    size = draw(st.integers(1, 4)) if size is None else size
    source = draw(st.lists(st.integers(-1, size - 1), min_size=1, max_size=6))
    source = draw(st.permutations([*source, *range(size)])) if onto else source
    share = [Fraction(0)] * len(source)
    for unit in {*source} - {FRESH}:
        places = [j for j, i in enumerate(source) if i == unit]
        for j in places[:-1]:
            share[j] = Fraction(draw(st.integers(-4, 8)), 8)
        share[places[-1]] = 1 - sum((share[j] for j in places[:-1]), Fraction(0))
    return AxisMap(size, tuple(source), tuple(share))


def atoms(*, onto: bool = False) -> st.SearchStrategy[AxisChange]:
    """Atoms that are kept, copied or split."""
    changed = st.tuples(maps(onto=onto), st.sampled_from(("copy", "split")))
    return st.integers(1, 3).map(Mapped) | changed.map(lambda c: Mapped(c[0].size, *c))


def axes(*, onto: bool = False) -> st.SearchStrategy[AxisChange]:
    """Axes of up to three atoms, some of them in products and sums."""
    return st.recursive(
        atoms(onto=onto),
        lambda inner: (
            st.lists(inner, min_size=2, max_size=2).map(lambda parts: Multiplied(tuple(parts)))
            | st.lists(inner, min_size=2, max_size=3).map(lambda parts: Added(tuple(parts)))
        ),
        max_leaves=3,
    )
