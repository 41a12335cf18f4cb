"""What a plan says, and how it prints."""

from morphir.planned.rows import (
    Plan,
    PlannedModule,
    PlannedStage,
    PlannedTensor,
    count_parameters,
    planned_branch,
    planned_module,
    planned_removal,
    planned_tensors,
)

__all__ = [
    "Plan",
    "PlannedModule",
    "PlannedStage",
    "PlannedTensor",
    "count_parameters",
    "planned_branch",
    "planned_module",
    "planned_removal",
    "planned_tensors",
]
