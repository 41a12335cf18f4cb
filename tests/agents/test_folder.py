import os

import pytest

from morphir_agents.config import RunConfig
from morphir_agents.errors import RunFolderError
from morphir_agents.folder import RunFolder


def test_a_new_folder_holds_its_configuration(tmp_path):
    config = RunConfig(seed=3)
    folder = RunFolder.create(tmp_path / "a" / "b", config)
    assert folder.checkpoints.is_dir()
    assert RunFolder.open(folder.path) == (folder, config)


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    RunFolder.create(tmp_path, RunConfig())
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(RunFolderError, match="morphir-agents resume"):
        RunFolder.create(tmp_path, RunConfig(seed=1))
    assert (tmp_path / "config.json").read_bytes() == before


def test_an_unwritable_place_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match=r"can't be written.*Nothing was trained"):
        RunFolder.create(tmp_path / "file" / "run", RunConfig())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_place_is_one_clear_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(RunFolderError, match="can't be written"):
        RunFolder.create(tmp_path / "run", RunConfig())


def test_what_is_not_a_run_is_named(tmp_path):
    with pytest.raises(RunFolderError, match=r"no config\.json"):
        RunFolder.open(tmp_path)
    (tmp_path / "config.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(RunFolderError, match="can't be read"):
        RunFolder.open(tmp_path)


def test_new_runs_get_new_names(tmp_path):
    assert RunFolder.free(tmp_path, "x") == tmp_path / "x"
    (tmp_path / "x").mkdir()
    (tmp_path / "x-2").mkdir()
    assert RunFolder.free(tmp_path, "x") == tmp_path / "x-3"
