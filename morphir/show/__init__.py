"""Pictures of programs and their axis groups: text, SVG and one HTML page."""

from morphir.show.census import Axis, Census, Dim
from morphir.show.page import show_page
from morphir.show.svg import show_svg
from morphir.show.text import show_text

__all__ = ["Axis", "Census", "Dim", "show_page", "show_svg", "show_text"]
