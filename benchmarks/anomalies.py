#!/usr/bin/env python
"""Surprise as a signal of anomalies, beside a seasonal z-score and an isolation forest on sliding windows.

    python benchmarks/anomalies.py --output benchmarks/anomalies.csv --plot benchmarks/anomalies.png
    python benchmarks/anomalies.py --weights FILE --seeds 1  # beside a pretrained network of reads

Anomalies are planted into real series (`anomaly_data.py`: weather ships with the package, the other sets and the
labelled series of the Numenta benchmark, NAB, are read from $TITANS_TS_DATA if they are there): five changes of regime
(amplitude, period, phase, dynamics at the same level and variance, trend), level shifts and flat lines of seven days,
and five single spikes. Every method reads the same history and scores the same steps after it:

- surprise: `TitansForecaster(24, max_steps=0).surprise`; "patch", "step", "dynamics" and "season" are its four
  components (the absolute value of the two-sided ones). A step has the score of its token, a day.
- z-score: the distance from the mean of the same phase in the last 28 seasons, in standard deviations of this distance
  over the history; "z-score, patch mean" is its mean over the steps of each token.
- isolation forest: 200 trees on windows of the token's length, each in units of its own history; it is scikit-learn's,
  which PyOD's `IForest` wraps (PyOD itself is used where it is installed);
- with --weights, reads: `reads.streaming.surprise` of a pretrained network, the distance of a value from its forecast
  of up to 8 steps ahead; "reads, lasting" is the score of tokens.

All scores of a step use values up to the end of its token and none after it. Thresholds are conformal quantiles of each
method's own scores over the last part of the history (after the first context and a third of the rest), the same for
all; the forest is fitted on the history before this part. Precision, recall and F1 count single steps inside and
outside of the windows, without point adjustment, over the series of a set together; the AUROC is the mean over series.
Planted kinds: mean and standard deviation over seeds.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from anomaly_data import KINDS, REGIMES, SETS, Labelled, Set, numenta, planted
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

from titans_datasets.series import SeriesWarning
from titans_datasets.writing import in_place_of
from titans_ts import TitansForecaster, __version__
from titans_ts.forecasting.reads import ReadingNetwork
from titans_ts.forecasting.reads.streaming.surprise import TOKEN, forecast_scores, lasting
from titans_ts.forecasting.streaming.detection import BOTH_WAYS, PARTS, conformal_threshold
from titans_ts.support.run_log import commit, machine

try:
    from pyod.models.iforest import IForest as ISOLATION_FOREST

    WITH_PYOD = True
except ImportError:
    from sklearn.ensemble import IsolationForest as ISOLATION_FOREST

    WITH_PYOD = False

FloatArray = npt.NDArray[np.float64]
READS = ("reads", "reads, lasting")
METHODS = ("surprise", *PARTS, "z-score", "z-score, patch mean", "isolation forest")
SHOWN = {"surprise": "#0b6e99", "patch": "#a9d3e5", "z-score": "#e08e2b", "z-score, patch mean": "#d1495b"}
SHOWN["isolation forest"] = "#777777"
PROFILE_SEASONS = 28


def z_scores(x: FloatArray, season: int, history: int) -> FloatArray:
    """(T,), NaN in the first season."""
    back = range(1, max(1, min(PROFILE_SEASONS, history // season)) + 1)
    lagged = np.stack([np.r_[np.full(season * k, np.nan), x[: len(x) - season * k]] for k in back])
    with warnings.catch_warnings():
        # The first season has nothing before it.
        warnings.simplefilter("ignore", RuntimeWarning)
        distance = x - np.nanmean(lagged, axis=0)
    return np.abs(distance) / np.nanstd(distance[:history])


class Forest:
    """An isolation forest of the sliding windows of a history, in units of their own.

    Args:
        x: (T,), the history.
        length: steps of a window.
        seed: of the forest.
    """

    def __init__(self, x: FloatArray, length: int, seed: int) -> None:
        self.length, self.loc, self.scale = length, np.nanmean(x), max(np.nanstd(x), 1e-12)
        self.model = ISOLATION_FOREST(n_estimators=200, random_state=seed).fit(self._windows(x))

    def _windows(self, x: FloatArray) -> FloatArray:
        filled = pd.Series((x - self.loc) / self.scale).ffill().bfill().to_numpy()
        return np.lib.stride_tricks.sliding_window_view(filled, self.length)

    def __call__(self, x: FloatArray, ends: npt.NDArray[np.int_]) -> FloatArray:
        """Scores of the windows of x that end with these steps; higher is more anomalous."""
        windows = self._windows(x)[ends - self.length]
        # PyOD turns scikit-learn's sign round.
        return np.asarray(self.model.decision_function(windows)) * (1 if WITH_PYOD else -1)


class Scorer:
    """A forecaster fitted on the clean history of a set, and the other methods.

    Args:
        data: series and history.
        max_steps: training steps of the forecaster.
        context: its context_length.
        reads: a pretrained network of reads.
    """

    def __init__(
        self, data: Set, max_steps: int, context: int | None = None, reads: ReadingNetwork | None = None
    ) -> None:
        history = {name: values.iloc[: data.history] for name, values in data.series.items()}
        # The linear part does not affect surprise: an untrained model needs none.
        options = {"progress": False, **({} if max_steps else {"linear": "none"})}
        self.data, self.forests, self.reads = data, dict[tuple[str, int], Forest](), reads
        self.model = TitansForecaster(
            24, context_length=context, freq=data.freq, max_steps=max_steps, device="cpu", options=options
        ).fit(history)
        config = self.model.network_.config
        self.context, self.patch, self.stride = config.context_length, config.patch_length, config.patch_stride

    def __call__(self, labelled: list[Labelled], rate: float, seed: int) -> pd.DataFrame:
        """One row per series and method: AUROC, and how many steps were alarms inside and outside of the windows."""
        names = [f"{place:04}" for place in range(len(labelled))]
        found = self.model.surprise({name: one.values for name, one in zip(names, labelled, strict=True)})
        tokens = dict(list(found.groupby("item_id")))
        rows = []
        for name, one in zip(names, labelled, strict=True):
            for method, steps, alarms in self._methods(one, tokens[name], rate, seed):
                rows.append({"series": one.name, "kind": one.kind, "method": method} | self._counts(one, steps, alarms))
        return pd.DataFrame(rows)

    def _methods(
        self, one: Labelled, tokens: pd.DataFrame, rate: float, seed: int
    ) -> Iterable[tuple[str, FloatArray, npt.NDArray[np.bool_]]]:
        """Scores and alarms of the steps after the history, by each method."""
        x, history = one.values.to_numpy(np.float64), self.data.history
        ends = one.values.index.get_indexer(tokens["timestamp"]) + 1
        tokens, ends = tokens[ends > self.context], ends[ends > self.context]
        known = ends <= history
        known &= np.arange(len(ends)) >= known.sum() // 3
        fitted = int(ends[known][0]) - self.stride
        later = ends > history
        by_step = z_scores(x, self.data.season, history)
        scores = {"surprise": tokens["surprise"].to_numpy()}
        for part, both in zip(PARTS, BOTH_WAYS, strict=True):
            scores[part] = np.abs(tokens[part]) if both else tokens[part].to_numpy()
        with warnings.catch_warnings():
            # A patch without an observation has no mean.
            warnings.simplefilter("ignore", RuntimeWarning)
            scores["z-score, patch mean"] = np.array([np.nanmean(by_step[end - self.stride : end]) for end in ends])
        key = (one.name, seed)
        if key not in self.forests:
            # Nothing is planted into the history: one forest serves all kinds.
            self.forests[key] = Forest(x[:fitted], self.patch, seed)
        scores["isolation forest"] = self.forests[key](x, ends)
        by_steps = {"z-score": by_step}
        if self.reads is not None:
            signed = forecast_scores(self.reads, x, self.data.season)
            by_steps["reads"] = np.abs(signed)
            tokens_of_reads = lasting(signed[: ends[-1]])
            # The last token that ends no later.
            place = len(tokens_of_reads) - 1 - -(-(ends[-1] - ends) // TOKEN)
            scores["reads, lasting"] = np.where(place >= 0, tokens_of_reads[place], np.nan)
        for method in (*METHODS, *(READS if self.reads is not None else ())):
            if method in by_steps:
                steps, calibration = by_steps[method][self._steps(ends[later])], by_steps[method][fitted:history]
            else:
                steps, calibration = np.repeat(scores[method][later], self.stride), scores[method][known]
            threshold = float(conformal_threshold(torch.from_numpy(np.asarray(calibration))[None], rate))
            yield method, steps, steps > threshold

    def _steps(self, ends: npt.NDArray[np.int_]) -> npt.NDArray[np.int_]:
        """The new steps of the tokens."""
        return (ends[:, None] - self.stride + np.arange(self.stride)).reshape(-1)

    def _counts(self, one: Labelled, scores: FloatArray, alarms: npt.NDArray[np.bool_]) -> dict[str, float]:
        """AUROC and counts of the steps that were observed."""
        first = len(one.strange) - len(scores) - self._rest(one)
        at = np.arange(first, first + len(scores))
        strange, seen = one.strange[at], np.isfinite(one.values.to_numpy(np.float64)[at]) & np.isfinite(scores)
        strange, scores, alarms = strange[seen], scores[seen], alarms[seen]
        auroc = roc_auc_score(strange, scores) if 0 < strange.sum() < len(strange) else np.nan
        return {
            "auroc": float(auroc),
            "hits": int((strange & alarms).sum()),
            "strange": int(strange.sum()),
            "alarms": int(alarms.sum()),
            "usual": int((~strange).sum()),
        }

    def _rest(self, one: Labelled) -> int:
        """Steps after the last token."""
        return (len(one.values) - self.context) % self.stride


def summary(rows: pd.DataFrame) -> pd.Series:
    """AUROC as the mean over series; the rest from the steps of all series together."""
    hits, strange, alarms, usual = (rows[name].sum() for name in ("hits", "strange", "alarms", "usual"))
    precision, recall = hits / max(alarms, 1), hits / max(strange, 1)
    return pd.Series(
        {
            "auroc": rows["auroc"].mean(),
            "precision": precision,
            "recall": recall,
            "f1": 2 * precision * recall / max(precision + recall, 1e-12),
            "false_alarms": (alarms - hits) / max(usual, 1),
        }
    )


def run_planted(
    name: str, data: Set, seeds: int, rate: float, max_steps: int, reads: ReadingNetwork | None
) -> pd.DataFrame:
    """One row per kind and method ("regimes" is the mean of the five), mean and sd over seeds."""
    scorer, found = Scorer(data, max_steps, reads=reads), []
    for seed in range(seeds):
        rows = scorer(list(planted(data, KINDS, seed)), rate, seed)
        groups = [*rows.groupby("kind"), ("regimes", rows[rows["kind"].isin(list(REGIMES))])]
        for kind, group in groups:
            found += [
                {"kind": kind, "method": method, "seed": seed, **summary(part)}
                for method, part in group.groupby("method")
            ]
    table = pd.DataFrame(found).groupby(["kind", "method"]).agg(["mean", "std"]).drop(columns="seed", level=0)
    table.columns = [name if which == "mean" else f"{name}_sd" for name, which in table.columns]
    return table.reset_index().assign(set=name, series=len(data.series), seeds=seeds, rate=rate, max_steps=max_steps)


def run_numenta(rate: float, max_steps: int, reads: ReadingNetwork | None) -> pd.DataFrame:
    """One row per series and method, and the mean over series."""
    parts = []
    for data, one in numenta():
        context = min(720, data.history // 3)
        rows = Scorer(data, max_steps, context, reads)([one], rate, 0)
        parts += [{"kind": one.name, "method": row["method"], **summary(rows.loc[[at]])} for at, row in rows.iterrows()]
    if not parts:
        return pd.DataFrame()
    table = pd.DataFrame(parts)
    mean = table.drop(columns="kind").groupby("method", as_index=False).mean().assign(kind="mean")
    table = pd.concat([table, mean], ignore_index=True)
    return table.assign(set="NAB", series=table["kind"].nunique() - 1, seeds=1, rate=rate, max_steps=max_steps)


def show(table: pd.DataFrame, number: str) -> str:
    """Kinds down, methods across."""
    text = table.apply(
        lambda row: f"{row[number]:.3f}" + (f" ± {row[f'{number}_sd']:.3f}" if f"{number}_sd" in row else ""), axis=1
    )
    wide = table.assign(text=text).pivot(index="kind", columns="method", values="text")
    order = [kind for kind in (*KINDS, "regimes", "mean") if kind in wide.index]
    order = [*[kind for kind in wide.index if kind not in order], *order]
    return wide.loc[order, [method for method in (*METHODS, *READS) if method in wide]].to_string()


def draw(table: pd.DataFrame, path: Path) -> None:
    """AUROC of every kind, one panel per set."""
    sets = list(dict.fromkeys(table["set"]))
    figure = Figure(figsize=(12, 1 + 2.4 * len(sets)), dpi=100, layout="constrained")
    for panel, name in zip(figure.subplots(len(sets), 1, squeeze=False)[:, 0], sets, strict=True):
        part = table[table["set"] == name]
        order = [kind for kind in (*KINDS, "regimes") if kind in set(part["kind"])]
        order = order or list(dict.fromkeys(part["kind"]))
        for place, (method, colour) in enumerate(SHOWN.items()):
            rows = part[part["method"] == method].set_index("kind").loc[order]
            at = np.arange(len(order)) + 0.15 * (place - 2)
            error = rows["auroc_sd"] if "auroc_sd" in rows and rows["auroc_sd"].notna().all() else None
            label = f"{method} part alone" if method in PARTS else method
            panel.bar(at, rows["auroc"], 0.13, yerr=error, color=colour, label=label, error_kw={"elinewidth": 1})
        panel.axhline(0.5, color="#777777", linewidth=0.9, linestyle=(0, (4, 3)), label="by chance")
        panel.set(ylim=(0.2, 1.02), ylabel="AUROC", xticks=np.arange(len(order)))
        short = [kind.replace("_system_failure", "").replace("_asg_misconfiguration", "") for kind in order]
        panel.set_xticklabels(short, fontsize=9, rotation=0 if name != "NAB" else 15)
        count = part["series"].iloc[0]
        panel.set_title(f"{name}, {count} series", loc="left", fontsize=11, fontweight="bold", color="#222222")
        panel.spines[["top", "right"]].set_visible(False)
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False)
    with in_place_of(path) as beside:
        figure.savefig(beside, format=path.suffix.removeprefix("."))


def main() -> None:
    """Measure, print tables, write the csv and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sets", type=lambda text: text.split(","), default=[*SETS, "nab"], help="(all)")
    parser.add_argument("--seeds", type=int, default=5, help="of the planted anomalies (5)")
    parser.add_argument("--rate", type=float, default=0.02, help="false-alarm rate, planted anomalies (.02)")
    parser.add_argument("--nab-rate", type=float, default=0.05, help="of NAB, whose histories are short (.05)")
    parser.add_argument("--max-steps", type=int, default=0, help="training steps of the forecaster (0)")
    parser.add_argument("--weights", type=Path, help="of a network of reads, safetensors")
    parser.add_argument("--output", type=Path, help="write the table as csv")
    parser.add_argument("--plot", type=Path, help="write the picture")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", SeriesWarning)
    tables, reads = [], None if arguments.weights is None else ReadingNetwork.load(arguments.weights)
    for name in arguments.sets:
        started = time.monotonic()
        if name == "nab":
            table = run_numenta(arguments.nab_rate, arguments.max_steps, reads)
        else:
            data = SETS[name]()
            table = pd.DataFrame()
            if data is not None:
                table = run_planted(name, data, arguments.seeds, arguments.rate, arguments.max_steps, reads)
        if table.empty:
            print(f"{name}: not in $TITANS_TS_DATA, left out\n")
            continue
        print(f"{name}: {table['series'].iloc[0]} series, {time.monotonic() - started:.0f} s")
        for number in ("auroc", "precision", "recall", "f1", "false_alarms"):
            print(f"\n{name}, {number}, alarms at {table['rate'].iloc[0]:g}\n{show(table, number)}", flush=True)
        print()
        tables.append(table)
    found = pd.concat(tables, ignore_index=True)
    if arguments.output:
        origin: dict[str, Any] = {"date": date.today().isoformat(), "commit": commit(), "titans_ts": __version__}
        first = ["set", "series", "kind", "method", "seeds", "rate", "max_steps"]
        found = found[[*first, *[name for name in found if name not in first]]].assign(**origin, machine=machine())
        with in_place_of(arguments.output) as beside:
            found.to_csv(beside, index=False, float_format="%.4f", lineterminator="\n")
    if arguments.plot:
        draw(found, arguments.plot)


if __name__ == "__main__":
    main()
