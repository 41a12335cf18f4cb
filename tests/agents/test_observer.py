from morphir_agents.observer import Silent


def test_silence_never_stops_a_run_and_hears_everything():
    silent = Silent()
    assert silent.stops is False
    silent.begins(0, None, False)
    silent.enters(0, "Ant-v5")
    silent.updated(1, 1, [], {}, None)
    silent.grew(None)
    silent.evaluated(1, None)
    silent.settles(1)
    silent.saved(1)
