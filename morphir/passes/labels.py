"""Which unit of a leaf stands at each position of an axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from morphir.ops.forms import Atom, Form, Product, parts_of

Labels = npt.NDArray[np.int64]  # the unit at each position of an axis, -1 for none


def labels_of(form: Form, leaf: Atom, place: int) -> Labels:
    """The unit at each position of an axis, in one of the leaf's places, counted from the left."""
    count = 0

    def read(form: Form) -> Labels:
        nonlocal count
        if isinstance(form, Atom):
            if form is not leaf:
                return np.full(form.size, -1)
            count += 1
            return np.arange(form.size) if count - 1 == place else np.full(form.size, -1)
        each = [read(part) for part in parts_of(form)]
        return _multiplied(each) if isinstance(form, Product) else np.concatenate(each)

    return read(form)


def _multiplied(factors: Sequence[Labels]) -> Labels:
    found = np.full(1, -1)
    for factor in factors:
        found = np.maximum(found[:, None], factor[None, :]).ravel()
    return found
