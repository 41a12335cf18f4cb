import pytest

from morphir_agents.errors import ConfigError
from morphir_agents.methods import MethodConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "nothing"}, "method is 'nothing'; expected one of none, ne"),
        ({"kind": "redo", "as_released": True}, "method.as_released is on and method is 'redo'"),
        ({"every": 0}, "method.every is 0"),
        ({"reset_every": 0}, "method.reset_every is 0"),
        ({"inject_at": 0}, "method.inject_at is 0"),
        ({"density": 0.0}, "method.density is 0.0"),
        ({"density": 1.5}, "method.density is 1.5"),
        ({"prune": -1.0}, "method.prune is -1.0; expected between 0 and 1"),
        ({"prune": 1.5}, "method.prune is 1.5; expected between 0 and 1"),
        ({"threshold": -1.0}, "method.threshold is -1.0"),
        ({"threshold": float("nan")}, "method.threshold is nan"),
        ({"review_threshold": 0.0}, "method.review_threshold is 0.0"),
        ({"review_share": 2.0}, "method.review_share\n? ?2.0"),
    ],
)
def test_settings_that_can_t_work(options, message):
    with pytest.raises(ConfigError, match=message):
        MethodConfig(**options)
