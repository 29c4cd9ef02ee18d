"""What a test set shares with its training set: exact copies, other strands, common k-mers."""

from titans_datasets.dna.leakage.overlap import leakage
from titans_datasets.dna.leakage.report import LeakageReport

__all__ = ["LeakageReport", "leakage"]
