"""A NeuralMemory in your own network.

The memory is a module like any other: tokens and a state in, tokens and a state out. Here it recalls: pairs of a key
and a value are read once, then a key is asked for. Without the memory the same network can only guess.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import nn

from titans_ts import MemoryConfig, NeuralMemory

out = Path("out/examples")
out.mkdir(parents=True, exist_ok=True)

KEYS, VALUES, PAIRS, STEPS = 16, 8, 6, 200


class Recall(nn.Module):
    """Token embeddings, one memory, a read-out."""

    def __init__(self, memory: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(KEYS * (VALUES + 1), 32)
        config = MemoryConfig(kind="linear", anchor="token", chunk_size=16)
        self.memory = NeuralMemory(width=32, heads=2, config=config) if memory else None
        self.readout = nn.Linear(32, VALUES)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (B, T) to logits of the value asked for by the last one (B, VALUES)."""
        x = self.embed(tokens)
        if self.memory is not None:
            y, _ = self.memory(x, self.memory.initial_state(batch=len(x)))
            x = x + y
        return self.readout(x[:, -1])


def episode(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (B, PAIRS + 1), each a pair of a key and a value, the last a key without one; and the values asked for."""
    keys = torch.rand(batch, KEYS).argsort(dim=1)[:, :PAIRS]
    values = torch.randint(0, VALUES, (batch, PAIRS))
    asked = torch.randint(0, PAIRS, (batch, 1))
    question = keys.gather(1, asked) * (VALUES + 1) + VALUES
    return torch.cat([keys * (VALUES + 1) + values, question], dim=1), values.gather(1, asked)[:, 0]


figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
for name, with_memory in (("with NeuralMemory", True), ("without", False)):
    torch.manual_seed(0)
    network = Recall(with_memory)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    right = []
    for _ in range(STEPS):
        tokens, answers = episode(128)
        logits = network(tokens)
        loss = nn.functional.cross_entropy(logits, answers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        right.append((logits.argmax(dim=1) == answers).float().mean().item())
    print(f"{name}: {sum(right[-20:]) / 20:.0%} right")
    axes.plot(right, label=name)
axes.axhline(1 / VALUES, color="grey", linestyle=":", label="chance")
axes.set(xlabel="training step", ylabel="share of right answers", ylim=(0, 1.02))
axes.legend(frameon=False)
figure.savefig(out / "neural_memory.png", dpi=80)
