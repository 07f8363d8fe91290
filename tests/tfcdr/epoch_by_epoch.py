"""Data sources of tests that make the batches of one epoch at a time."""

import functools


class EpochByEpoch:
    """Reads several epochs by the derived class's `batches`, which reads one."""

    @functools.cached_property
    def shared_readings(self):
        return {}

    def epochs(self, view, split, *, epochs, steps=None, **options):
        read = [self.batches(view, split, epoch=epoch, **options) for epoch in epochs]
        if steps is not None:
            read = [batches.take(number) for batches, number in zip(read, steps, strict=True)]
        return functools.reduce(lambda first, second: first.concatenate(second), read)
