"""From a module to an ONNX file that is known to compute the same."""

from morphir.export.onnx import OnnxReport, export_onnx

__all__ = ["OnnxReport", "export_onnx"]
