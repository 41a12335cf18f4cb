import os
import signal
import threading

import pytest

from morphir_agents.interrupt import Interrupt


def _press():
    os.kill(os.getpid(), signal.SIGINT)
    signal.getsignal(signal.SIGINT)  # gives the handler a chance to run


def test_the_first_is_noted_and_the_second_ends():
    told = []
    before = signal.getsignal(signal.SIGINT)
    with Interrupt(lambda: told.append(1)) as interrupt:
        assert not interrupt.requested
        _press()
        assert interrupt.requested
        assert told == [1]
        with pytest.raises(KeyboardInterrupt):
            _press()
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_ctrl_c_keeps_its_meaning():
    seen = []

    def work():
        with Interrupt(lambda: None):
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
