from .model import TitansModel as TitansModel
