"""Beam finds out the same thousands of times, where small conversions take most of their time."""

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


@pytest.fixture(scope="module", autouse=True)
def _remembered_options():
    """Views of the same options, for each of which Beam would make a parser of arguments."""
    options = pytest.importorskip("apache_beam.options.pipeline_options").PipelineOptions
    views = {}

    def remembered(self, kind):
        # All views share these values, and keep them.
        key = id(self._all_options), kind
        if key not in views:
            views[key] = view_as(self, kind)
        return views[key]

    with pytest.MonkeyPatch.context() as patch:
        view_as = options.view_as
        patch.setattr(options, "view_as", remembered)
        yield
