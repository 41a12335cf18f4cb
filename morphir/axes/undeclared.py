"""What is said of ops that have no declaration, and what would work in their place."""

from __future__ import annotations

from typing import Final

_AUTOCAST: Final = "autocast."
# With a sequence's batch sizes in the second place; the form for padded sequences is declared.
_PACKED: Final = ("torch.gru", "torch.lstm", "torch.rnn_relu", "torch.rnn_tanh")
_MARKS: Final = {
    "alias": "a tensor is read that was changed through a view of it",
    "scripted": "a TorchScript module is called",
}


def undeclared(op: str) -> str:
    """Why nothing is known of an op."""
    if op.startswith(_AUTOCAST):
        return f"{op.rpartition('.')[2]} runs under torch.autocast, where no op is declared"
    if op in _PACKED:
        return f"{op} runs on a packed sequence, and is declared for padded ones only"
    return _MARKS.get(op, f"{op} is not a declared op")


def instead_of(op: str) -> tuple[str, ...]:
    """What would work in its place."""
    if op.startswith(_AUTOCAST):
        return ("torch.autocast around the call of the model, not in its forward",)
    return ("padded sequences, without pack_padded_sequence",) if op in _PACKED else ()
