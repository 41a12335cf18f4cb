"""Identity testing over finite fields: models are run with exact arithmetic modulo a prime."""

from morphir.field.checker import check_field

__all__ = ["check_field"]
