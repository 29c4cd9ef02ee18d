"""A DNA classifier, with a check of leakage.

Is a window of the chloroplast of *Arabidopsis thaliana* coding? Test windows come from regions that training has not
seen, and the report counts what both share: a score on sequences that were in the training set says nothing.
"""

from pathlib import Path

import pandas as pd

from titans_datasets.builtin import load_dna
from titans_datasets.dna import coding_labels
from titans_datasets.dna.leakage import leakage
from titans_ts import DNAClassifier

out = Path("out/examples")
out.mkdir(parents=True, exist_ok=True)

record = load_dna("chloroplast")[0]
letters, coding = str(record.seq), coding_labels(record) > 0
rows = [
    (letters[start : start + 200], "coding" if coding[start : start + 200].mean() >= 0.5 else "other", start // 4000)
    for start in range(0, 80_000, 100)
]
table = pd.DataFrame(rows, columns=["sequence", "label", "region"])
held_out = table["region"] % 5 == 2

# Windows overlap by half. Split by region, no base of the test is in training; drawn at random, nearly every one is.
shuffled = table.sample(frac=1, random_state=0)
for name, train, test in (
    ("at random", shuffled[160:], shuffled[:160]),
    ("by region", table[~held_out], table[held_out]),
):
    report = leakage(train["sequence"], test["sequence"], train["label"], test["label"])
    print(f"split {name}: {report.clean.mean():.0%} of the test sequences share no 31 bases with training")

train, test = table[~held_out], table[held_out]
model = DNAClassifier(reverse_complement="augment", head="pooled", max_epochs=6)
model.fit(train["sequence"], train["label"], groups=train["region"])
report = model.report(test["sequence"], test["label"])
print(report)
report.plot(out / "dna_classifier.png")
