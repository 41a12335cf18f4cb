"""The frontend: from a module to a program."""

from morphir.frontend.admission import check_module
from morphir.frontend.trace import Trace, record, refreshed, trace

__all__ = ["Trace", "check_module", "record", "refreshed", "trace"]
