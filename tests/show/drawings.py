"""Schemes of the models that are drawn."""

from functools import cache

import torch

import morphir
from morphir.show import Census
from morphir.show.scheme import Scheme, scheme_of
from tests.show.nets import EVERY


@cache
def census_of(name: str) -> Census:
    torch.manual_seed(0)
    build, inputs = EVERY[name]
    return Census(morphir.trace(build(), example_inputs=inputs))


@cache
def scheme(name: str) -> Scheme:
    census = census_of(name)
    return scheme_of(census.program, census.program.graphs["forward"], census)
