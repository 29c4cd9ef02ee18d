from .reads import PretrainedReads as PretrainedReads
from .weights import Card as Card
from .weights import Pretrained as Pretrained
from .weights import installed as installed
from .weights import load_pretrained as load_pretrained
from .weights import read_pretrained as read_pretrained
from .weights import write_pretrained as write_pretrained
