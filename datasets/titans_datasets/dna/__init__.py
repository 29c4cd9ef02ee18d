"""DNA: from files and strings to batches of numbers. Names are imported when they are first used.

The leakage check is `titans_datasets.dna.leakage.leakage`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from titans_datasets.dna.alphabet import (
        DNAWarning,
        as_sequences,
        decode,
        encode,
        encode_all,
        reverse_complement,
        reverse_complement_text,
        soft_mask,
    )
    from titans_datasets.dna.batches import LabelledSequences, bucketed, pad
    from titans_datasets.dna.benchmarks import (
        DNATask,
        benchmark,
        benchmark_names,
        ecoli_promoters,
        gue,
        reference_genome,
        uci_splice,
    )
    from titans_datasets.dna.files import DNARecord, iterate_records, read_annotated, read_records, record_batches
    from titans_datasets.dna.genome import Genome, IndexedGenome, MemoryGenome, cut_intervals, read_genome
    from titans_datasets.dna.leakage_report import LeakageReport
    from titans_datasets.dna.module import DNADataModule
    from titans_datasets.dna.orfs import ReadingFrame, reading_frame_labels, reading_frames
    from titans_datasets.dna.splits import ChromosomeSplit, chromosome_split, groups, interval_overlap
    from titans_datasets.dna.tables import read_bed, read_vcf
    from titans_datasets.dna.windows import (
        Window,
        around,
        coding_labels,
        genome_windows,
        interval_labels,
        reverse_labels,
    )

_HOMES = {
    "alphabet": (
        "DNAWarning",
        "as_sequences",
        "decode",
        "encode",
        "encode_all",
        "reverse_complement",
        "reverse_complement_text",
        "soft_mask",
    ),
    "batches": (
        "LabelledSequences",
        "bucketed",
        "pad",
    ),
    "benchmarks": (
        "DNATask",
        "benchmark",
        "benchmark_names",
        "ecoli_promoters",
        "gue",
        "reference_genome",
        "uci_splice",
    ),
    "files": (
        "DNARecord",
        "iterate_records",
        "read_annotated",
        "read_records",
        "record_batches",
    ),
    "genome": (
        "Genome",
        "IndexedGenome",
        "MemoryGenome",
        "cut_intervals",
        "read_genome",
    ),
    "leakage_report": ("LeakageReport",),
    "module": ("DNADataModule",),
    "orfs": (
        "ReadingFrame",
        "reading_frame_labels",
        "reading_frames",
    ),
    "splits": (
        "ChromosomeSplit",
        "chromosome_split",
        "groups",
        "interval_overlap",
    ),
    "tables": (
        "read_bed",
        "read_vcf",
    ),
    "windows": (
        "Window",
        "around",
        "coding_labels",
        "genome_windows",
        "interval_labels",
        "reverse_labels",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ChromosomeSplit",
    "DNADataModule",
    "DNARecord",
    "DNATask",
    "DNAWarning",
    "Genome",
    "IndexedGenome",
    "LabelledSequences",
    "LeakageReport",
    "MemoryGenome",
    "ReadingFrame",
    "Window",
    "around",
    "as_sequences",
    "benchmark",
    "benchmark_names",
    "bucketed",
    "chromosome_split",
    "coding_labels",
    "cut_intervals",
    "decode",
    "ecoli_promoters",
    "encode",
    "encode_all",
    "genome_windows",
    "groups",
    "gue",
    "interval_labels",
    "interval_overlap",
    "iterate_records",
    "pad",
    "read_annotated",
    "read_bed",
    "read_genome",
    "read_records",
    "read_vcf",
    "reading_frame_labels",
    "reading_frames",
    "record_batches",
    "reference_genome",
    "reverse_complement",
    "reverse_complement_text",
    "reverse_labels",
    "soft_mask",
    "uci_splice",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
