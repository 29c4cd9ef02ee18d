"""Parameters of a forecaster from options of the command line: bounds, head, and the entries of its `options`."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from titans_ts.forecasting.plain import PlainForecaster

# Entries of `options` that have an option of their own.
OWN = ("head", "aggregate", "snap")


def with_own_options(job: Any) -> Any:
    """The job with the entries of --option that have an option of their own where these are.

    Raises:
        ValueError: an entry is given twice, unknown, or no entry but an option.
    """
    rest: dict[str, Any] = {}
    for name, value in job.options or ():
        flag = f"--{name.replace('_', '-')}"
        if name in rest or (name in OWN and getattr(job, name) not in (None, False)):
            raise ValueError(f"{flag if name in OWN else f'--option {name}'} is given twice: leave one out")
        if name in OWN:
            job = replace(job, **{name: value})
        elif name in {one.name for one in fields(job)}:
            raise ValueError(f"--option {name}={value} is an option of its own: give {flag} instead")
        else:
            rest[name] = value
    if rest or job.head is not None:
        # Imported here, and below: what is wrong with the data is said before PyTorch is imported.
        from titans_ts.forecasting.sizes import split_options

        split_options({**rest, **({} if job.head is None else {"head": job.head})})
    return replace(job, options=tuple(rest.items()))


def bounds(job: Any) -> dict[str, Any]:
    """`lower` and `upper` where they are given; None is no bound."""
    given = {"lower": 0.0 if job.nonnegative else job.lower, "upper": job.upper}
    return {name: None if value == "none" else value for name, value in given.items() if value is not None}


def trained_settings(job: Any, forecaster: PlainForecaster) -> dict[str, tuple[Any, Any]]:
    """Option → what it asks for (None: nothing) and what a loaded model was trained with."""
    from titans_ts.forecasting.sizes import trained_option

    found: dict[str, tuple[Any, Any]] = {}
    for name, value in bounds(job).items():
        trained = forecaster.params[name]
        flag = "--nonnegative" if job.nonnegative and name == "lower" else f"--{name}"
        found[flag] = ("none" if value is None else value, "none" if trained is None else trained)
    config = forecaster.fitted.network.config
    found["--head"] = (job.head, config.head)
    for name, value in job.options:
        if name != "progress":
            found[f"--option {name}"] = (value, trained_option(name, value, config, forecaster.params["options"] or {}))
    return found
