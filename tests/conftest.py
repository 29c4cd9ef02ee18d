"""Triton's interpreter where there is no GPU: to be chosen before any test imports anything that imports triton."""

import os

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
