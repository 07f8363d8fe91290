"""Fixtures and settings for all tests, and how they are spread over this machine's cores."""

import collections
import gc
import os
import pathlib
from collections.abc import Callable, Iterator

import pytest

from tests import lighter_graphs
from tests import real_data as real_data_folder

# Before TensorFlow is imported, and inherited by the processes that tests start.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as `import tfcdr` does, which may come later
# Programs that run a few times are compiled in less time than LLVM's optimizations of them take;
# what XLA itself makes of them is as in use.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# What oneDNN rewrites depends on the machine, and looking for it takes longer than it gives.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
if os.environ.get("PYTEST_XDIST_WORKER"):
    # Workers fill the cores already, and share a GPU.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

try:
    import hypothesis
except ImportError:  # the property tests say so themselves
    pass
else:
    # The same examples in every run and no deadline: a loaded machine must not fail a test.
    hypothesis.settings.register_profile("tfcdr", deadline=None, max_examples=30, derandomize=True)
    hypothesis.settings.load_profile("tfcdr")


def pytest_xdist_auto_num_workers() -> int:
    """Returns one more than the cores that this process may use, if there are 4 GiB for each.

    One more, since tests of clusters wait for each other's processes. XLA keeps every program that
    it has compiled. xdist itself would count the machine's physical cores, whether this process may
    use them or not.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(len(os.sched_getaffinity(0)) + 1, memory // 2**32))


def pytest_configure(config: pytest.Config) -> None:
    """Before modules of tests are imported, of which some use TensorFlow."""
    if os.environ.get("PYTEST_XDIST_WORKER") or config.getoption("dist") == "no":
        lighter_graphs.leave_out_passes_and_stacks()


def pytest_collection_finish() -> None:
    """Leaves what has been imported out of every search for cycles of references."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts modules with slow tests first, so that no worker is left with one at the end."""
    slow_tests = collections.Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow_tests[item.path])


# Memory of a worker above which what a module has left is freed, which can take many seconds.
_ROOM = 3 * 2**30
# Tracing makes objects by the million, of which few lie in cycles: to look for these as often as
# Python does by default takes 3 % of a run.
gc.set_threshold(50_000, 20, 20)


@pytest.fixture(scope="module", autouse=True)
def _forgotten_models() -> Iterator[None]:
    """Frees models with their compiled programs, which lie in cycles of references, in time."""
    yield
    if _resident_bytes() > _ROOM:
        gc.collect()


def _resident_bytes() -> float:
    """Memory that this process holds; infinite where the system does not say."""
    try:
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return float("inf")
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], pathlib.Path]:
    """Gives the path of a real data set's folder, or skips the test that asks for it."""
    root = real_data_folder.root()

    def folder(name: str) -> pathlib.Path:
        path = root / name
        if not path.is_dir():
            pytest.skip(f"real data set {name} is not in {root}; set TFCDR_REAL_DATA to have it")
        return path

    return folder
