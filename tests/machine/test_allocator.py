"""What becomes of freed memory: kept inside the block, given back after it, left alone where somebody else decides."""

import os
import platform
import subprocess
import sys
import threading

import pytest
import torch

from toughen.machine import allocator
from toughen.machine.allocator import freed_memory_kept

SIZE, HEAP = 64 << 20, 64 << 20
glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or torch.accelerator.is_available(), reason="glibc on a machine without GPU only"
)

FAULTS = """
import resource, sys, threading
import torch
from toughen.machine.allocator import freed_memory_kept

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(int(sys.argv[2])).sum()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

def run():
    print(faults())
    with freed_memory_kept(sys.argv[1] != "given back"):
        print(faults())
        inside = resident()
    print(inside - resident())

torch.set_num_threads(1)
if sys.argv[1] == "kept in a thread":
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
else:
    run()
"""


def measured(how, size=SIZE, **environment):
    """Return the page faults of 20 blocks, one after the other, before and inside, and the bytes given back.

    glibc's aligned blocks need a little more room than they leave behind, so that the first few do not fit.
    """
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how, str(size // 4)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    return [int(line) for line in done.stdout.split()]


@glibc
def test_a_thread_of_its_own_keeps_them_too():
    """Where they fit into the heap of such a thread; canary: larger ones do not."""
    without, kept, _ = measured("kept in a thread", size=HEAP * 3 // 4)
    assert kept < without / 2
    without, kept, _ = measured("kept in a thread", size=HEAP)
    assert kept > 0.9 * without


@glibc
def test_blocks_inside_are_used_again_and_given_back_at_the_end():
    """Canary: without it every block is handed out page by page, and nothing is left to give back."""
    without, kept, given_back = measured("kept")
    assert kept < without / 2
    assert given_back >= SIZE // 2
    _, unwanted, nothing = measured("given back")
    assert unwanted > 0.9 * without
    assert nothing < SIZE // 2


@glibc
@pytest.mark.parametrize("environment", [{"MALLOC_ARENA_MAX": "2"}, {"GLIBC_TUNABLES": "glibc.malloc.check=0"}])
def test_an_environment_that_decides_is_left_alone(environment):
    without, inside, _ = measured("kept", **environment)
    assert inside > 0.9 * without


class Libc:
    """Writes down what it is told."""

    def __init__(self):
        self.told = []

    def mallopt(self, parameter, value):
        self.told.append((parameter, value))

    def malloc_trim(self, _):
        self.told.append("trim")


@pytest.fixture
def libc(monkeypatch):
    made = Libc()
    monkeypatch.setattr(allocator, "_glibc", lambda: made)
    return made


def test_the_last_of_nested_blocks_gives_back(libc):
    with freed_memory_kept():
        with freed_memory_kept():
            pass
        assert "trim" not in libc.told
    assert libc.told.count("trim") == 1
    assert len(libc.told) == len(allocator._KEEP) + len(allocator._GIVE_BACK) + 1
    assert {parameter for parameter, _ in libc.told[:2]} < set(allocator._GIVE_BACK), "what was set is set back"


def test_a_block_that_raises_gives_back(libc):
    with pytest.raises(RuntimeError, match="inside"), freed_memory_kept():
        raise RuntimeError("inside")
    assert libc.told[-1] == "trim"


def test_of_two_threads_the_last_gives_back(libc):
    ready, over = threading.Event(), threading.Event()

    def other():
        with freed_memory_kept():
            ready.set()
            over.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    assert ready.wait(10)
    with freed_memory_kept():
        pass
    assert "trim" not in libc.told
    over.set()
    thread.join()
    assert libc.told[-1] == "trim"


def test_little_memory_asks_for_nothing(libc):
    with freed_memory_kept(False):
        pass
    assert not libc.told


@glibc
def test_on_a_gpu_the_hosts_memory_is_left_alone(monkeypatch):
    for name in [name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"]:
        monkeypatch.delenv(name)
    assert allocator._glibc() is not None
    monkeypatch.setattr(allocator, "best_device", lambda: torch.device("cuda"))
    assert allocator._glibc() is None
