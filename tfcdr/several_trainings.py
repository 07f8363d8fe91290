"""What differences measured in several trainings say together."""

from collections.abc import Sequence

import numpy as np
import scipy.special

_NORMAL = float(scipy.special.ndtri(0.975))


def interval(
    gains: Sequence[float], lows: Sequence[float], highs: Sequence[float]
) -> tuple[float, float]:
    """Returns the 95 % interval of a mean difference, over test rows and over trainings.

    The trainings share their test rows, whose chance their mean does not lessen: its variance is
    the mean of theirs, as their intervals tell it. To it comes that between trainings, divided by
    their number. The quantile is Student's, its degrees of freedom are Satterthwaite's (Biometrics
    Bulletin 2, 1946); with one training the interval is its own.

    Args:
      gains: the difference in each training.
      lows: lower ends of their 95 % intervals over rows.
      highs: upper ends.
    """
    if len(gains) == 1:
        return float(lows[0]), float(highs[0])
    mean = float(np.mean(gains))
    of_rows = float(np.mean(((np.array(highs) - np.array(lows)) / 2 / _NORMAL) ** 2))
    of_trainings = float(np.var(gains, ddof=1)) / len(gains)
    total = of_rows + of_trainings
    if not of_trainings:
        half = _NORMAL * np.sqrt(total)
    else:
        freedom = (len(gains) - 1) * (total / of_trainings) ** 2
        half = scipy.special.stdtrit(freedom, 0.975) * np.sqrt(total)
    return mean - float(half), mean + float(half)
