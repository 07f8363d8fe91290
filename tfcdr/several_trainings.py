"""What differences measured in several trainings say together."""

from collections.abc import Sequence

import numpy as np
import scipy.special

_LEVEL = 0.95  # of the intervals over rows
_NORMAL = float(scipy.special.ndtri((1 + _LEVEL) / 2))


def interval(
    gains: Sequence[float], lows: Sequence[float], highs: Sequence[float], level: float = _LEVEL
) -> tuple[float, float]:
    """Returns the interval of a mean difference, over test rows and over trainings.

    The trainings share their test rows, whose chance their mean does not lessen: its variance is
    the mean of theirs, as their intervals tell it. To it comes that between trainings, divided by
    their number. The quantile is Student's, its degrees of freedom are Satterthwaite's (Biometrics
    Bulletin 2, 1946); with one training the interval is its own, stretched by the normal
    distribution's quantiles if another level is asked for.

    Args:
      gains: the difference in each training.
      lows: lower ends of their 95 % intervals over rows.
      highs: upper ends.
      level: of the interval that is returned.
    """
    upper = (1 + level) / 2
    if len(gains) == 1:
        (gain,), (low,), (high,) = gains, lows, highs
        if level == _LEVEL:
            return float(low), float(high)
        wider = float(scipy.special.ndtri(upper)) / _NORMAL
        return float(gain - wider * (gain - low)), float(gain + wider * (high - gain))
    mean = float(np.mean(gains))
    of_rows = float(np.mean(((np.array(highs) - np.array(lows)) / 2 / _NORMAL) ** 2))
    of_trainings = float(np.var(gains, ddof=1)) / len(gains)
    total = of_rows + of_trainings
    if not of_trainings:
        half = float(scipy.special.ndtri(upper)) * np.sqrt(total)
    else:
        freedom = (len(gains) - 1) * (total / of_trainings) ** 2
        half = scipy.special.stdtrit(freedom, upper) * np.sqrt(total)
    return mean - float(half), mean + float(half)
