"""How far a share of few trials may lie from the true one."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist


def wilson(passed: int, trials: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a share, which keeps its coverage with a dozen trials and at 0 and 1.

    Source: E. B. Wilson, Journal of the American Statistical Association 22 (1927) 209-212.

    Raises:
        ValueError: there is no trial, or not so many that passed.
    """
    if not 0 <= passed <= trials or not trials:
        raise ValueError(f"{passed} of {trials} is no share")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (passed + z * z / 2) / (trials + z * z)
    reach = z / (trials + z * z) * sqrt(passed * (trials - passed) / trials + z * z / 4)
    return max(0.0, middle - reach), min(1.0, middle + reach)
