import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from neuroadda.errors import UserError
from neuroadda.locks import lock_folder


def hold(folder: Path, told) -> None:
    told.send("here")
    with lock_folder(folder, wait=True):
        told.send("held")
        told.recv()


def start(folder: Path):
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=hold, args=(folder, theirs))
    process.start()
    return process, ours


def test_a_killed_holder_frees_its_folder(tmp_path):
    process, told = start(tmp_path / "run")
    assert (told.recv(), told.recv()) == ("here", "held")
    with pytest.raises(UserError, match="run: another run is at work in this folder; wait for it, or stop it"):
        lock_folder(tmp_path / "run").__enter__()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with lock_folder(tmp_path / "run"):
        assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


def test_a_process_waits_where_it_is_told_to(tmp_path):
    with lock_folder(tmp_path):
        process, told = start(tmp_path)
        assert told.recv() == "here"
        assert not told.poll(0.5)
    assert told.recv() == "held"
    told.send("leave")
    process.join()
    assert process.exitcode == 0


def test_an_error_frees_the_folder(tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), lock_folder(tmp_path):
            raise ZeroDivisionError


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: the folder cannot be written to: File exists") as error:
        lock_folder(tmp_path / "file").__enter__()
    assert "\n" not in str(error.value)
