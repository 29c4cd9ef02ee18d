"""Genes that Prodigal predicts: labels for bacterial genomes without an annotation."""

from __future__ import annotations

from titans_datasets.dna.alphabet import Codes, decode


def prodigal_genes(codes: Codes) -> list[tuple[int, int, str]]:
    """[start, end), 0-based, and strand of the genes that Prodigal predicts after training on these bases.

    Args:
        codes: all bases of a genome (n,); Prodigal learns its codons from them.

    Raises:
        FileNotFoundError: pyrodigal is not installed.
    """
    try:
        from pyrodigal import GeneFinder
    except ImportError as error:
        raise FileNotFoundError(
            "these labels come from Prodigal through pyrodigal (GPL-3), which is not installed: pip install pyrodigal"
        ) from error
    text, finder = decode(codes).encode(), GeneFinder()
    finder.train(text)
    return [(gene.begin - 1, gene.end, "+" if gene.strand > 0 else "-") for gene in finder.find_genes(text)]
