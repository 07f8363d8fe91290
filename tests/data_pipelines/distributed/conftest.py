"""Beam asks for the signatures of the same methods thousands of times, a third of a conversion."""

import functools
import inspect

import pytest


@pytest.fixture(scope="module", autouse=True)
def _remembered_signatures():
    core = pytest.importorskip("apache_beam.transforms.core")

    @functools.cache
    def of_plain(function, bound):
        return find(function.__get__(object()) if bound else function)

    def remembered(function):
        plain = getattr(function, "__func__", function)
        # What others may change, such as a partial function, is asked for each time.
        return (
            of_plain(plain, plain is not function) if inspect.isfunction(plain) else find(function)
        )

    with pytest.MonkeyPatch.context() as patch:
        find = core.get_signature
        patch.setattr(core, "get_signature", remembered)
        yield
