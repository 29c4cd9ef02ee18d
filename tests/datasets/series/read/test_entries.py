"""gluonts entries and records are the same data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from titans_datasets.series import SeriesSchema, SyntheticSpec, from_gluonts, synthetic_frame, to_gluonts, to_records


@pytest.mark.parametrize("freq", ["h", "15min", "D", "MS", "QS", "W-MON"])
def test_round_trip(freq: str) -> None:
    schema = SeriesSchema(static_covariates=("region",), past_covariates=("load",), known_covariates=("promotion",))
    expected = to_records(synthetic_frame(SyntheticSpec(length=40, freq=freq, missing=0.1)), schema).records
    entries = [to_gluonts(record) for record in expected]
    for one, two in zip(from_gluonts(entries).records, expected, strict=True):
        assert (one.item_id, one.start, one.freq) == (two.item_id, two.start, two.freq)
        np.testing.assert_allclose(one.target, two.target, rtol=1e-6)
        for name in ("past_feat_dynamic_real", "feat_dynamic_real", "feat_static_cat"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_errors() -> None:
    with pytest.raises(ValueError, match="entry 0 must have 'start' and 'target', it has 'target'"):
        from_gluonts([{"target": [1.0]}])
    with pytest.raises(ValueError, match="must be a pandas Period, got str"):
        from_gluonts([{"start": "2020", "target": [1.0]}])
    with pytest.raises(ValueError, match="no entries"):
        from_gluonts([])
    with pytest.raises(ValueError, match="one frequency, got D and h"):
        from_gluonts([{"start": pd.Period("2020-01-01", freq=freq), "target": [1.0]} for freq in ("D", "h")])
