"""Effects of variants.

A classifier that tells motifs from background is asked what every substitution would change (in-silico saturation
mutagenesis), and what the variants of a table do. The motif was planted: whether the map finds it can be seen.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from titans_ts import DNAClassifier
from titans_ts.genomics import mutate, plot_mutations, variant_effects

out = Path("out/examples")
out.mkdir(parents=True, exist_ok=True)

# A TATA box somewhere in the middle of half of the sequences.
rng = np.random.default_rng(0)
sequences = ["".join(row) for row in rng.choice(list("ACGT"), (600, 80))]
labels = ["promoter" if number % 2 else "background" for number in range(600)]
for number in range(1, 600, 2):
    place = int(rng.integers(30, 45))
    sequences[number] = sequences[number][:place] + "TATAAA" + sequences[number][place + 6 :]
model = DNAClassifier(reverse_complement="none", head="pooled", max_epochs=8).fit(sequences, labels)

# A contig that the model has not seen, with the box at its bases 101 to 106.
contig = "".join(rng.choice(list("ACGT"), 200))
contig = contig[:100] + "TATAAA" + contig[106:]
effects = mutate(model, contig[60:140])
print("most important of 80 bases:", sorted(np.abs(effects.importance).argsort()[-6:].tolist()))
plot_mutations(effects, path=out / "variant_effects.png")

# Positions of variants count from 1; the reference allele is compared with the genome.
swap = {"A": "G", "C": "T", "G": "A", "T": "C"}
places = [90, 102, 104, 106, 120]
alleles = [contig[place - 1] for place in places]
variants = pd.DataFrame({"chrom": "chr1", "pos": places, "ref": alleles, "alt": [swap[base] for base in alleles]})
print(variant_effects(model, variants, {"chr1": contig}, window=80)[["pos", "ref", "alt", "effect"]])
