"""Settings of the process: entered by the first of overlapping blocks, left by the last, once each."""

import threading
from contextlib import contextmanager

import pytest

from toughen.machine.process_wide import process_wide


@pytest.fixture
def setting():
    """Return a setting and what became of it."""
    told = []

    @process_wide
    @contextmanager
    def setting():
        told.append("entered")
        yield
        told.append("left")

    return setting, told


def test_of_blocks_that_overlap_the_last_leaves(setting):
    """Neither the first to begin nor the inner one: whoever ends last. Then it can be entered again."""
    block, told = setting
    first, second = block(), block()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert told == ["entered"]
    second.__exit__(None, None, None)
    assert told == ["entered", "left"]
    with block():
        assert told == ["entered", "left", "entered"]
    assert told == ["entered", "left"] * 2


def test_a_block_that_raises_leaves(setting):
    block, told = setting
    with pytest.raises(ValueError, match="inside"), block(), block():
        raise ValueError("inside")
    assert told == ["entered", "left"]


def test_blocks_of_many_threads_are_counted(setting):
    """Every one begins before any ends; the barrier would break otherwise."""
    block, told = setting
    together = threading.Barrier(8, timeout=10)

    def work():
        with block():
            together.wait()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == ["entered", "left"]


def test_a_setting_that_cannot_be_entered_is_tried_again():
    tries = []

    @process_wide
    @contextmanager
    def setting():
        tries.append(len(tries))
        if tries == [0]:
            raise OSError("not now")
        yield

    with pytest.raises(OSError, match="not now"), setting():
        pass
    with setting():
        pass
    assert tries == [0, 1]
