"""The op table: what morphir knows about torch's operations."""

from typing import Final

from morphir.ops import (
    activation,
    arithmetic,
    attention,
    cast,
    comparison,
    complexes,
    convolution,
    counting,
    creation,
    dropout,
    indexing,
    joining,
    linear,
    losses,
    mixing,
    multihead,
    normalization,
    pointwise,
    pooling,
    recurrent,
    reduction,
    sampling,
    scattering,
    shape,
    smooth,
    softmax,
    vision,
)
from morphir.ops.axes import Layout, Role, Site, SizeRule, Way
from morphir.ops.base import Instance, Op, Sample, Spelling
from morphir.ops.bounds import propagate
from morphir.ops.forms import Atom, Axes, Form, Product, Sum
from morphir.ops.interval import ANYTHING, Interval
from morphir.ops.parameters import Parameter, parse_parameters
from morphir.ops.table import OpTable

OPS: Final = (
    *linear.OPS,
    *convolution.OPS,
    *normalization.OPS,
    *activation.OPS,
    *smooth.OPS,
    *softmax.OPS,
    *arithmetic.OPS,
    *mixing.OPS,
    *pointwise.OPS,
    *comparison.OPS,
    *reduction.OPS,
    *shape.OPS,
    *joining.OPS,
    *indexing.OPS,
    *scattering.OPS,
    *complexes.OPS,
    *pooling.OPS,
    *vision.OPS,
    *dropout.OPS,
    *attention.OPS,
    *multihead.OPS,
    *recurrent.OPS,
    *creation.OPS,
    *sampling.OPS,
    *counting.OPS,
    *losses.OPS,
    *cast.OPS,
)
DEFAULT_TABLE: Final = OpTable(OPS)

__all__ = [
    "ANYTHING",
    "DEFAULT_TABLE",
    "OPS",
    "Atom",
    "Axes",
    "Form",
    "Instance",
    "Interval",
    "Layout",
    "Op",
    "OpTable",
    "Parameter",
    "Product",
    "Role",
    "Sample",
    "Site",
    "SizeRule",
    "Spelling",
    "Sum",
    "Way",
    "parse_parameters",
    "propagate",
]
