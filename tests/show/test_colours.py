"""Groups that are named one after the other look different."""

from itertools import combinations

from morphir.show.colours import hue


def test_neighbours_are_far_apart_and_the_first_is_blue():
    assert hue("g1") == 215
    hues = [hue(f"g{number}") for number in range(1, 9)]
    apart = [min((a - b) % 360, (b - a) % 360) for a, b in combinations(hues, 2)]
    assert min(apart) > 15
