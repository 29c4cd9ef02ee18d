"""Tables of other libraries (polars, Arrow, everything with their interfaces) as pandas frames."""

from __future__ import annotations

from typing import Any

import pandas as pd


def as_pandas(data: Any) -> Any:
    """A table with Arrow's C interface (polars, pyarrow, duckdb …) or `__dataframe__` as a DataFrame, a column as an
    array; anything else as it is. The other library is not imported.

    Example:
        >>> import pyarrow
        >>> as_pandas(pyarrow.table({"a": [1, 2]}))["a"].tolist()
        [1, 2]
    """
    if isinstance(data, (pd.DataFrame, pd.Series, pd.Index)):
        return data
    if hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__"):
        return _of_arrow(data)
    if hasattr(data, "__dataframe__"):
        from pyarrow.interchange import from_dataframe

        return from_dataframe(data).to_pandas(date_as_object=False)
    return data


def _of_arrow(data: Any) -> Any:
    import pyarrow

    if not hasattr(data, "__arrow_c_stream__"):
        table = pyarrow.record_batch(data)
    else:
        try:
            table = pyarrow.RecordBatchReader.from_stream(data).read_all()
        except pyarrow.ArrowInvalid:
            # One column, no table.
            return pyarrow.chunked_array(data).to_numpy()
    # Days as datetimes, not as objects of Python.
    return table.to_pandas(date_as_object=False)
