"""Templates that switch and return, and motifs announced by a cue: what a long memory can be of use for."""

from __future__ import annotations

import numpy as np

from titans_datasets.series.generators.components import (
    autoregression,
    coloured_noise,
    cosine_sums,
    lasting_states,
    profiles,
    random_walks,
    smooth_paths,
)
from titans_datasets.series.generators.draws import FloatArray, IntArray, chance, check_size, log_uniform, rows_of

DAYS = np.array([4, 6, 8, 12, 24, 24, 48, 48, 96, 96, 144])
WEEK, MOST_TEMPLATES = 7, 5
MOTIFS, EVENTS, SHORTEST_MOTIF, LONGEST_MOTIF = 4, 40, 4, 400


def templates(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """Days that follow templates (two thirds of the series), or motifs behind cues (a third) (N, T).

    Templates have about unit variance, noise 0.03 to 0.5, a slow path up to 0.5. Motifs come back after gaps that are
    log-uniform between their length and a third of the series: 2,000 to 50,000 steps where the series is that long.
    """
    check_size(count, length)
    motifs = chance(rng, 1 / 3, count)
    values = np.empty((count, length))
    for rows, make in ((rows_of(motifs), _motifs), (rows_of(~motifs), _days)):
        if len(rows):
            values[rows] = make(rng, len(rows), length)
    values += chance(rng, 0.5, (count, 1)) * rng.uniform(0, 0.5, (count, 1)) * smooth_paths(rng, count, length)
    return np.asarray(values + log_uniform(rng, 0.03, 0.5, (count, 1)) * coloured_noise(rng, count, length))


def _days(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """One template a day (N, T), by a weekly order or a Markov chain, with an amplitude that drifts."""
    periods = rng.choice(DAYS[max(length / 4, 4) >= DAYS], count)
    shortest = int(periods.min())
    days = length // shortest + 2
    order = _order(rng, count, days)
    amplitude = 1 + 0.3 * random_walks(rng, count, days)
    shapes = np.stack([profiles(rng, periods) for _ in range(MOST_TEMPLATES)], axis=1)
    shapes *= log_uniform(rng, 0.4, 1.6, (count, MOST_TEMPLATES, 1))
    shapes += 0.5 * rng.standard_normal((count, MOST_TEMPLATES, 1))
    time = np.arange(length) + (rng.random((count, 1)) * periods[:, None]).astype(np.int64)
    day, phase = time // periods[:, None], time % periods[:, None]
    series = np.arange(count)[:, None]
    return np.asarray(shapes[series, np.take_along_axis(order, day, 1), phase] * np.take_along_axis(amplitude, day, 1))


def _order(rng: np.random.Generator, count: int, days: int) -> IntArray:
    """Which template each day has (N, days)."""
    several = rng.integers(2, MOST_TEMPLATES + 1, (count, 1))
    week = rng.integers(several, size=(count, WEEK))
    weekly = np.take_along_axis(week, np.tile(np.arange(days) % WEEK, (count, 1)), axis=1)
    chain = lasting_states(rng, np.repeat(rng.uniform(0.5, 0.97, (count, 1)), MOST_TEMPLATES, axis=1), days) % several
    return np.asarray(np.where(chance(rng, 0.5, (count, 1)), weekly, chain))


def _motifs(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """Up to four motifs a series (N, T) that return after long gaps, each behind a spike of its own height."""
    longest = max(min(LONGEST_MOTIF, length // 8), SHORTEST_MOTIF)
    spans = log_uniform(rng, SHORTEST_MOTIF, longest + 1, count).astype(np.int64)
    shapes = _motif_shapes(rng, spans)
    cues = rng.uniform(1.0, 4.0, (count, MOTIFS)) * np.where(chance(rng, 0.7, (count, 1)), 1.0, -1.0)
    lead = 1 + (rng.random(count) * spans / 2).astype(np.int64)
    gaps = log_uniform(rng, 1.0, np.maximum(length / 3 / spans, 2)[:, None], (count, EVENTS)) * spans[:, None]
    starts = (np.cumsum(gaps + spans[:, None] + lead[:, None], axis=1) - gaps[:, :1] * rng.random((count, 1))).astype(
        np.int64
    )
    which = rng.integers(rng.integers(1, MOTIFS + 1, (count, 1)), size=(count, EVENTS))
    padded = np.zeros((count, length + shapes.shape[2]))
    for event in range(EVENTS):
        rows = rows_of(starts[:, event] < length)
        if not len(rows):
            break
        start, motif = starts[rows, event], which[rows, event]
        places = start[:, None] + np.arange(shapes.shape[2])
        padded[rows[:, None], places] += shapes[rows, motif] * rng.uniform(0.85, 1.15, (len(rows), 1))
        padded[rows, np.maximum(start - lead[rows], 0)] += cues[rows, motif]
    background = autoregression(0.3 * rng.standard_normal((count, length)), rng.uniform(0.0, 0.9, count))
    return np.asarray(padded[:, :length] + rng.uniform(0, 0.5, (count, 1)) * background)


def _motif_shapes(rng: np.random.Generator, spans: IntArray) -> FloatArray:
    """Waves that begin and end at 0 (N, 4, longest span)."""
    count, width = len(spans), int(spans.max())
    frequencies = np.repeat(2 * np.pi * rng.uniform(0.5, 6.0, (count, MOTIFS, 4)) / spans[:, None, None], 1, axis=0)
    heights = rng.standard_normal((count, MOTIFS, 4))
    phases = rng.uniform(0, 2 * np.pi, (count, MOTIFS, 4))
    flat = [array.reshape(count * MOTIFS, 4) for array in (frequencies, phases, heights)]
    waves = cosine_sums(flat[0], flat[1], flat[2], width).reshape(count, MOTIFS, width)
    window = np.sin(np.pi * np.clip((np.arange(width) + 0.5) / spans[:, None], 0.0, 1.0)) ** 0.6
    return np.asarray(waves * window[:, None, :])
