"""A long genome.

A memory of fixed size reads the chloroplast of *Arabidopsis thaliana*, 154,478 bases, and then its other strand. The
genome holds one region twice, in opposite directions: on the other strand the memory meets it again, knows what comes
next, and nowhere else.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from titans_datasets.builtin import load_dna
from titans_datasets.dna import encode
from titans_recipes.genome_recall.kmer_memory import GenomeConfig, GenomeModel

out = Path("out/examples")
out.mkdir(parents=True, exist_ok=True)

genome = load_dna("chloroplast")[0].seq
strands = [np.asarray(encode(str(strand))) for strand in (genome, genome.reverse_complement())]
strands = [np.where(strand < 4, strand, 0) for strand in strands]

# 16 matrices of 128 × 128, written by the update of the paper: keys are the 12 bases before each base.
model = GenomeModel(GenomeConfig(width=128, heads=16, order=4), learned=strands[0].astype(np.uint8))
state, evidence = None, []
for number, strand in enumerate(strands):
    for piece in torch.from_numpy(strand.astype(np.int64)).split(8192):
        features, state = model.features(piece[None], state)
        if number == 1:
            # In standard deviations of chance: how well the last 128 bases were foretold.
            evidence.append(features.hits[0, :, 1])
found = torch.cat(evidence).numpy()
known = found > 6
print(f"{known.sum():,} of {len(found):,} bases of the other strand are in known surroundings")
starts, ends = np.flatnonzero(np.diff(known.astype(int)) == 1), np.flatnonzero(np.diff(known.astype(int)) == -1)
size = sum(tensor.numel() for tensor in state.memory.weights)
print(f"the memory holds {size:,} numbers, whatever the length of the genome")

figure, axes = plt.subplots(figsize=(9, 3.4), layout="constrained")
bins = found[: len(found) // 256 * 256].reshape(-1, 256).mean(axis=1)
axes.fill_between(np.arange(len(bins)) * 0.256, bins)
axes.set(xlabel="kilobases of the other strand", ylabel="evidence (standard deviations)")
axes.set_title("Where the memory knows the way: the inverted repeat")
figure.savefig(out / "long_genome.png", dpi=80)
