"""Which stars train, which tune, which test: by their ids, so that no one can choose."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_test(source_id: Any) -> NDArray[np.bool_]:
    """Stars for testing: ids that end in 0, a fifth of all (Gaia's ids of such stars are even).

    Examples
    --------
    >>> is_test([120, 122]).tolist()
    [True, False]
    """
    return np.asarray(np.asarray(source_id, dtype=np.int64) % 10 == 0)


def is_validation(source_id: Any) -> NDArray[np.bool_]:
    """Stars for tuning and calibration: one in twenty of those that are not for testing."""
    ids = np.asarray(source_id, dtype=np.int64)
    return np.asarray(~is_test(ids) & ((ids // 10) % 20 == 0))
