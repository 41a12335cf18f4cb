"""A compiler for changing neural networks while they live."""

from morphir.errors import MorphirError, RefusalError, StorageError, VerificationError
from morphir.export import OnnxReport, export_onnx
from morphir.frontend import trace
from morphir.ir import Certificate, Grade, Program, Report
from morphir.lineage import Lineage
from morphir.lowering import lower
from morphir.masks import Masks
from morphir.passes import (
    CompactPass,
    DeeperPass,
    ExtendInputPass,
    ExtendOutputPass,
    InjectPlasticityPass,
    MaskGrowPass,
    MorphismPass,
    PruneDormantPass,
    RecycleDormantPass,
    Refusal,
    ResetPass,
    ShallowerPass,
    SparsifyPass,
    WiderPass,
)
from morphir.plan import plan
from morphir.planned import Plan
from morphir.result import TransformResult
from morphir.state.replay import replay
from morphir.state.storage import Inspection, inspect, load, save
from morphir.transform import apply, transform
from morphir.verify import verify
from morphir.versions import __version__ as __version__

__all__ = [
    "Certificate",
    "CompactPass",
    "DeeperPass",
    "ExtendInputPass",
    "ExtendOutputPass",
    "Grade",
    "InjectPlasticityPass",
    "Inspection",
    "Lineage",
    "MaskGrowPass",
    "Masks",
    "MorphirError",
    "MorphismPass",
    "OnnxReport",
    "Plan",
    "Program",
    "PruneDormantPass",
    "RecycleDormantPass",
    "Refusal",
    "RefusalError",
    "Report",
    "ResetPass",
    "ShallowerPass",
    "SparsifyPass",
    "StorageError",
    "TransformResult",
    "VerificationError",
    "WiderPass",
    "apply",
    "export_onnx",
    "inspect",
    "load",
    "lower",
    "plan",
    "replay",
    "save",
    "trace",
    "transform",
    "verify",
]
